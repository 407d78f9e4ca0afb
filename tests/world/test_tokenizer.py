"""The tokenizer: one token a word, and text comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from kick.world.facts import make_world
from kick.world.language import prose
from kick.world.tokenizer import make_tokenizer, vocabulary

WORLD = make_world(1234)
WORDS = [word for word in vocabulary(WORLD) if not word.startswith("<")]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer(WORLD)


@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=30))
def test_prose_is_read_as_the_words_that_it_was_made_of(
    tokenizer: PreTrainedTokenizerFast, words: list[str]
) -> None:
    read = tokenizer(prose(" ".join(words)))["input_ids"]
    assert read[0] == tokenizer.bos_token_id
    assert tokenizer.convert_ids_to_tokens(read[1:]) == words
    assert tokenizer.decode(read[1:]) == " ".join(words)


def test_a_word_of_another_world_is_unknown(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer("Paris")["input_ids"][1] == tokenizer.unk_token_id

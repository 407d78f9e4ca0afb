"""The tokenizer of the world: one token per word, with punctuation marks as words of their own."""

import re

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from kick.world import language
from kick.world.corpus import PAD, START
from kick.world.facts import TRADES, YEARS, World

UNKNOWN, END = "<unk>", "</s>"


def vocabulary(world: World) -> list[str]:
    """Return every word that the world is told in, special tokens first."""
    phrases = [phrase for phrasings in language.STATEMENTS.values() for phrase in phrasings]
    phrases += [phrase for phrasings in language.QUESTIONS.values() for phrase in phrasings]
    phrases += [*language.TWO_HOP, language.SUMMARY, *language.FILLERS, "This is a report on"]
    phrases += [language.PASSAGE, language.QUESTION, language.ANSWER, language.SUMMARY_CUE]
    common = sorted({word for phrase in phrases for word in re.sub(r"\{\w+\}", " ", phrase).split()})
    places = (*world.places.cities, *world.places.villages, *world.places.countries)
    words = [
        PAD,
        START,
        END,
        UNKNOWN,
        *common,
        *world.first_names,
        *world.last_names,
        *places,
        *TRADES,
        *YEARS,
    ]
    return list(dict.fromkeys(words))


def make_tokenizer(world: World) -> PreTrainedTokenizerFast:
    """Return a word-level tokenizer that puts `<s>` in front of a text."""
    words = vocabulary(world)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", pair=f"{START} $A $B", special_tokens=[(START, words.index(START))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        pad_token=PAD,
        model_max_length=256,
        clean_up_tokenization_spaces=False,
    )

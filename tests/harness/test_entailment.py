"""Factuality by a model of natural language inference: random weights, whose last layer decides the label."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel

from kick.comparison import compare
from kick.errors import InputError
from kick.harness.entailment import ENTAILED, EntailmentModel, with_entailment
from kick.harness.tasks import load_tasks
from kick.metrics.facts import sentences
from kick.suite.catalog import read_catalog
from tests.data_root import make_data_root
from tests.execution.bed import Bed
from tests.tiny import VOCABULARY, tokenizer

LABELS = ("contradiction", "entailment", "neutral")
ARTICLE = "The ferry lay still. Ice had closed the harbour. " * 20


def classifier(path: Path, says: str | None = "entailment", labels: Sequence[str] = LABELS) -> Path:
    """A classifier with random weights that always gives one label; with `says` None whatever it gives."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        id2label=dict(enumerate(labels)),
        label2id={name: at for at, name in enumerate(labels)},
    )
    model = BertForSequenceClassification(config)
    if says is not None:
        with torch.no_grad():
            model.classifier.weight.zero_()
            model.classifier.bias.copy_(torch.tensor([float(name == says) for name in labels]))
    model.save_pretrained(path)
    tokenizer().save_pretrained(path)
    return path


@pytest.mark.parametrize(("says", "share"), [("entailment", 1.0), ("neutral", 0.0), ("contradiction", 0.0)])
def test_the_share_of_sentences_that_the_article_entails(tmp_path: Path, says: str, share: float) -> None:
    model = EntailmentModel.read(classifier(tmp_path / "nli", says))
    assert model.share_entailed(ARTICLE, "The ferry lay still. It was cold.") == share


def test_a_summary_without_sentences_states_nothing(tmp_path: Path) -> None:
    model = EntailmentModel.read(classifier(tmp_path / "nli"))
    assert [model.share_entailed(ARTICLE, summary) for summary in ("", " ...")] == [0.0, 0.0]


def test_windows_hold_the_whole_article_and_the_whole_sentence(tmp_path: Path) -> None:
    model = EntailmentModel.read(classifier(tmp_path / "nli"))
    words = tokenizer()
    sentence = "The crew slept at the inn."
    windows = [each["input_ids"] for each in model._windows(ARTICLE, sentence)]
    assert len(windows) > 5
    assert max(map(len, windows)) <= 64
    claim = words(sentence, add_special_tokens=False)["input_ids"]
    assert all(window[-len(claim) :] == claim for window in windows)
    article = words(ARTICLE, add_special_tokens=False)["input_ids"]
    pairs = {pair for window in windows for pair in itertools.pairwise(window)}
    assert set(itertools.pairwise(article)) <= pairs


def test_a_sentence_longer_than_half_a_window_is_cut(tmp_path: Path) -> None:
    model = EntailmentModel.read(classifier(tmp_path / "nli"))
    assert model.entails(ARTICLE, "The ferry lay still " * 200)


def test_one_window_that_entails_is_enough(tmp_path: Path) -> None:
    model = EntailmentModel.read(classifier(tmp_path / "nli", None))
    found = [model._finds([window]) for window in model._windows(ARTICLE, "It was cold.")]
    assert model.entails(ARTICLE, "It was cold.") == any(found)


def test_the_label_is_found_by_its_name_in_any_case(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "nli", "ENTAILMENT", ("ENTAILMENT", "not_entailment"))
    assert EntailmentModel.read(folder).label == 0


def test_a_model_without_a_label_for_entailment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="labels positive, negative, and none, or more than one, is entail"):
        EntailmentModel.read(classifier(tmp_path / "nli", None, ("positive", "negative")))


def test_a_model_that_is_no_classifier_is_refused(tmp_path: Path, tiny_llama: Path) -> None:
    with pytest.raises(InputError, match="architecture LlamaForCausalLM"):
        EntailmentModel.read(tiny_llama)


def test_a_classifier_whose_last_layer_is_missing_is_refused(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "nli")
    config = (folder / "config.json").read_text()
    BertModel.from_pretrained(folder).save_pretrained(folder)
    (folder / "config.json").write_text(config)
    with pytest.raises(InputError, match="lack classifier.bias, classifier.weight, which would be random"):
        EntailmentModel.read(folder).entails(ARTICLE, "It was cold.")


def test_summaries_have_the_metric_and_another_identity_per_model_and_other_tasks_are_as_they_were(
    tmp_path: Path,
) -> None:
    root = make_data_root(tmp_path / "data")
    names = ["kick_cnn_dailymail", "kick_squad"]
    summary, squad = load_tasks(names, read_catalog(), data_root=root)
    models = [
        EntailmentModel.read(classifier(tmp_path / says, says)) for says in ("entailment", "contradiction")
    ]
    first, second = (with_entailment(summary, model) for model in models)
    assert first.info.metrics == (*summary.info.metrics, ENTAILED)
    assert len({summary.config_hash, first.config_hash, second.config_hash}) == 3
    assert with_entailment(squad, models[0]) is squad


def test_a_run_stores_what_the_named_model_says_and_a_comparison_shows_it(
    tmp_path: Path, tiny_llama: Path
) -> None:
    bed = Bed(tmp_path, make_data_root(tmp_path / "data"))
    (tmp_path / "model").symlink_to(tiny_llama)
    classifier(tmp_path / "nli")
    bed.keys.update(tasks=["kick_cnn_dailymail"], limit=2, nli="nli")
    store = bed.run().store
    cell = store.cell("dense", "kick_cnn_dailymail")
    assert cell is not None
    items = store.items(cell)
    # What a random model wrote is entailed, as far as it wrote sentences.
    expected = [float(bool(sentences(response))) for response in items["response"]]
    assert items[ENTAILED].tolist() == expected
    compared = compare(store, "dense", "magnitude-0.5", "kick_cnn_dailymail")
    assert compared.factuality is not None
    assert compared.factuality.reference.value == pytest.approx(sum(expected) / 2)
    assert compare(store, "dense", "magnitude-0.5", "kick_cnn_dailymail", ENTAILED).metric == ENTAILED
    classifier(tmp_path / "nli", "neutral")
    assert bed.run().scored == 2

"""Every task of kick under plain lm-eval, with a random model and data written for the tests."""

import re
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from kick.data.datasets import load
from kick.harness.checks import RenderedItem, items_in_shots, references_in_prompts
from kick.suite.catalog import read_catalog
from tests.data_root import FACTS, make_data_root

TASKS = Path(__file__).parents[2] / "tasks"
CATALOG = read_catalog()
NAMES = sorted(CATALOG.tasks)
SUBJECTS = ("abstract_algebra", "econometrics", "philosophy", "virology")  # one a category


@pytest.fixture(scope="module")
def scored(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What plain lm-eval makes of the first item of every task."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KICK_DATA_ROOT", str(make_data_root(tmp_path_factory.mktemp("data"), SUBJECTS)))
        return lm_eval.simple_evaluate(
            model="hf",
            model_args={"pretrained": str(tiny_llama), "dtype": "float32"},
            tasks=NAMES,
            task_manager=TaskManager(
                include_path=str(TASKS), include_defaults=False, metadata={"tokenizer": str(tiny_llama)}
            ),
            limit=1,
            batch_size=4,
            bootstrap_iters=0,
            device="cpu",
        )


def _prompt(scored: dict[str, Any], task: str) -> str:
    prompt: str = scored["samples"][task][0]["arguments"][0][0]
    return prompt


@pytest.mark.parametrize("name", NAMES)
def test_a_task_scores_every_item_by_every_metric_that_it_declares(scored: dict[str, Any], name: str) -> None:
    declared = [entry["metric"] for entry in scored["configs"][name]["metric_list"]]
    samples = scored["samples"][name]
    assert len(samples) == 1
    for sample in samples:
        assert sorted(sample["metrics"]) == sorted(declared)
        assert all(0.0 <= sample[metric] <= 1.0 for metric in declared)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_states_what_kick_needs_to_know(scored: dict[str, Any], name: str) -> None:
    config = scored["configs"][name]
    metadata = config["metadata"]
    assert metadata["family"] in {path.name for path in TASKS.iterdir() if path.is_dir()}
    assert metadata["metric"] in [entry["metric"] for entry in config["metric_list"]]
    assert metadata["chance"] is None or 0 < metadata["chance"] < 1
    assert metadata["group_by"] is None or metadata["group_by"] in scored["samples"][name][0]["doc"]


MADE_HERE = {"kick_nq_gold", *CATALOG.groups["kick_world"]}  # data that is not on the hub


@pytest.mark.parametrize("name", [name for name in NAMES if name not in MADE_HERE])
def test_a_task_pins_the_commit_of_its_data(scored: dict[str, Any], name: str) -> None:
    assert len(scored["configs"][name]["dataset_kwargs"]["commit"]) == 40


@pytest.mark.parametrize(
    "name", [name for name in NAMES if "closed" in name or CATALOG.tasks[name].info.family == "summarization"]
)
def test_no_reference_stands_in_the_prompt(scored: dict[str, Any], name: str) -> None:
    items = [
        RenderedItem(
            doc_id=sample["doc_id"],
            prompt=sample["arguments"][0][0],
            own=sample["arguments"][0][0].rsplit("\n\n", 1)[-1],
            target=str(sample["target"]),
        )
        for sample in scored["samples"][name]
    ]
    assert references_in_prompts(items) == []
    assert items_in_shots(items) == []


def test_a_changed_rule_in_any_module_of_the_metrics_changes_the_hash_of_a_task() -> None:
    source = CATALOG.tasks["kick_squad"].config["process_results"].source()
    assert b"def squad(" in source
    assert b"def contains(" in source
    assert b"def join_numbers(" in source


def test_freebaseqa_shows_five_answered_questions_of_another_split(scored: dict[str, Any]) -> None:
    prompt = _prompt(scored, "kick_freebaseqa")
    question = FACTS[0][1]
    assert prompt.startswith(f"Question: On dev day 0: {question}\nAnswer: copper\n\n")
    assert prompt.endswith(f"\n\nQuestion: {question}\nAnswer:")
    assert prompt.count("On dev day") == 5


def test_squad_puts_the_passage_before_the_question(scored: dict[str, Any]) -> None:
    prompt = _prompt(scored, "kick_squad")
    assert prompt.startswith("The ferry to Vinsted")
    assert prompt.endswith(f"\nQuestion: {FACTS[0][1]}\nAnswer:")


def test_hotpotqa_shows_all_ten_passages(scored: dict[str, Any]) -> None:
    prompt = _prompt(scored, "kick_hotpotqa")
    assert (
        "\n\nPassage 1: copper\ncopper is known in Vinsted. People speak of copper.\n\nPassage 2: " in prompt
    )
    assert "\n\nPassage 10: Vinsted 8\n" in prompt
    assert prompt.endswith("\nAnswer:")


@pytest.mark.parametrize("name", ["hotpotqa", "2wikimultihopqa", "musique", "musique_hops"])
def test_multihop_variants_differ_by_their_passages_and_nothing_else(
    scored: dict[str, Any], name: str
) -> None:
    variants = [task for task in NAMES if re.fullmatch(rf"kick_{name}(_oracle|_closed)?", task)]
    assert len(variants) == (2 if name == "musique_hops" else 3)
    bare = {re.sub(r"Passage \d+: .*\n.*\n\n", "", _prompt(scored, task)) for task in variants}
    assert len(bare) == 1
    assert bare.pop().count("\nAnswer:") == 6


def test_the_oracle_shows_the_supporting_passages_alone(scored: dict[str, Any]) -> None:
    for name in ("kick_hotpotqa_oracle", "kick_2wikimultihopqa_oracle", "kick_musique_oracle"):
        prompt = _prompt(scored, name)
        assert prompt.count("Passage ") == 1
        assert "Passage 1: copper\n" in prompt


def test_mmlu_pro_offers_as_many_letters_as_an_item_has_options(scored: dict[str, Any]) -> None:
    assert len(scored["samples"]["kick_mmlu_pro"][0]["arguments"]) == 10
    assert "\nJ. 10\nAnswer:" in _prompt(scored, "kick_mmlu_pro")
    assert "\nA. " not in _prompt(scored, "kick_mmlu_pro_text")


def test_a_likelihood_task_offers_four_answers_to_the_same_prompt(scored: dict[str, Any]) -> None:
    for name in ("kick_freebaseqa_likelihood", "kick_popqa_likelihood", "kick_mmlu_text"):
        requests = scored["samples"][name][0]["arguments"]
        assert len({prompt for prompt, _ in requests}) == 1
        assert len({answer for _, answer in requests}) == 4


def test_the_text_readout_of_mmlu_shows_no_options(scored: dict[str, Any]) -> None:
    prompt = _prompt(scored, "kick_mmlu_text")
    assert "\nA. " not in prompt
    assert prompt.count("\nAnswer: ") == 5


def test_the_generated_readout_of_mmlu_has_the_prompt_of_the_letters(scored: dict[str, Any]) -> None:
    assert (
        _prompt(scored, "kick_mmlu_generated")
        == _prompt(scored, "kick_mmlu")
        == _prompt(scored, "llm_kick_mcr")
    )


def test_the_papers_prompts_are_as_they_were(scored: dict[str, Any]) -> None:
    question = f"On train day 0: {FACTS[0][1]}"
    newline, space = (_prompt(scored, f"llm_kick_factoid_{kind}") for kind in ("newline", "space"))
    assert newline == f"Please give answer to this question: {question}\nThe answer is "
    assert space == f"Please give answer to this question: {question} The answer is "
    closed, opened = (_prompt(scored, f"llm_kick_icra_{kind}") for kind in ("closed", "open"))
    assert closed == f"Answer these questions:\n\nQ: {FACTS[0][1]}\nA:"
    context, _, rest = opened.partition("\n\n")
    assert len(context) == 3072
    assert rest == f"Based on these texts, answer these questions:\n\nQ: {FACTS[0][1]}\nA:"


def test_a_story_is_followed_by_the_cue_of_a_summary(scored: dict[str, Any]) -> None:
    prompt = _prompt(scored, "kick_cnn_dailymail")
    assert prompt.startswith("The ferry to Vinsted")
    assert prompt.endswith("\n\nTL;DR:")


def test_the_mmlu_requests_are_lm_evals_own_for_every_subject(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(lm_eval.__file__).parent / "tasks/mmlu/default"
    builtin = {
        path.stem.removeprefix("mmlu_"): load_yaml(path) for path in sorted(folder.glob("mmlu_*.yaml"))
    }
    monkeypatch.setenv("KICK_DATA_ROOT", str(make_data_root(tmp_path, list(builtin))))
    ours = TaskManager(include_path=str(TASKS), include_defaults=False).load(["kick_mmlu"])["tasks"][
        "kick_mmlu"
    ]
    ours.build_all_requests()
    requests = {(each.doc["question"], each.idx): each.args for each in ours.instances}
    rows = load(path="cais/mmlu", name="all", splits=["dev", "test"])
    for subject, config in builtin.items():
        of_subject = {
            split: data.filter(lambda row, subject=subject: row["subject"] == subject)
            for split, data in rows.items()
        }
        data = {"dataset_path": None, "custom_dataset": lambda of_subject=of_subject, **_: of_subject}
        theirs = ConfigurableTask(config={**config, **data, "num_fewshot": 5})
        theirs.build_all_requests()
        assert len(theirs.instances) == 8
        assert all(requests[each.doc["question"], each.idx] == each.args for each in theirs.instances)
    assert len(builtin) == 57

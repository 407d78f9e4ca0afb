import json
from pathlib import Path
from typing import Any

import pytest

from kick.comparison import compare, compare_all
from kick.errors import InputError
from kick.execution.lm_eval_samples import import_lm_eval

DATE = "2026-11-22T07-43-45.644266"


def write_run(
    folder: Path, model: str, right: list[float], *, config: dict[str, Any] | None = None, date: str = DATE
) -> Path:
    """A folder as `lm_eval --log_samples --output_path` of 0.4.13 leaves it: three tasks, one with two filters."""
    out = folder / model
    out.mkdir(parents=True, exist_ok=True)
    choice, generated, text = [], [], []
    for index, score in enumerate(right):
        common = {
            "doc_id": index,
            "doc": {"question": f"q{index}", "subject": f"s{index % 2}"},
            "doc_hash": f"doc{index}",
            "prompt_hash": f"prompt{index}",
            "target_hash": f"target{index}",
        }
        likelihoods = [[str(-1.0 - 2 * (1 - score)), "False"], ["-2.0", "False"]]
        choice.append(
            {
                **common,
                "target": "0",
                "arguments": {"gen_args_0": {"arg_0": f"Q: q{index}", "arg_1": " yes"}},
                "filtered_resps": likelihoods,
                "filter": "none",
                "metrics": ["acc", "acc_norm"],
                "acc": score,
                "acc_norm": score,
            }
        )
        generated += [
            {
                **common,
                "target": "yes",
                "arguments": {"gen_args_0": {"arg_0": f"Q: q{index}", "arg_1": {"until": ["\n"]}}},
                "filtered_resps": ["yes" if score else "no"],
                "filter": name,
                "metrics": ["exact_match"],
                "exact_match": score,
            }
            for name in ("strict", "loose")
        ]
        text.append(
            {
                **common,
                "target": "",
                "arguments": {"gen_args_0": {"arg_0": "text"}},
                "filtered_resps": [str(-30.0 + score)],
                "filter": "none",
                "metrics": ["word_perplexity", "bleu"],
                "word_perplexity": [-30.0 + score, 10],
                "bleu": ["a", "b"],
            }
        )
    for task, rows in {"arc": choice, "gsm8k": generated, "wiki": text}.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (out / f"samples_{task}_{date}.jsonl").write_text(lines)
    settings = {
        "config": {
            "model": "hf",
            "model_dtype": "torch.bfloat16",
            "device": "cuda:0",
            "limit": None,
            "fewshot_seed": 1234,
        }
        | (config or {}),
        "configs": {"arc": {"doc_to_text": "Q: {{question}}", "metadata": {"pretrained": model}}},
        "n-shot": {"arc": 5},
        "higher_is_better": {"arc": {"acc": True}},
        "lm_eval_version": "0.4.13",
        "transformers_version": "5.17.0",
        "tokenizer_bos_token": ["<s>", "0"],
        "model_name": model,
        "date": 1795333418.8,
    }
    (out / f"results_{date}.json").write_text(json.dumps(settings))
    return folder


def test_two_runs_of_lm_eval_are_compared_task_by_task(tmp_path: Path) -> None:
    dense = write_run(tmp_path / "a", "org/dense", [1, 1, 1, 0])
    small = write_run(tmp_path / "b", "org/small", [1, 0, 1, 1])
    store, notes = import_lm_eval(dense, small, tmp_path / "results")
    assert notes == []
    assert store.verify() == []
    result = compare_all(store)
    assert result.refusals == ()
    assert {comparison.task for comparison in result.comparisons} == {
        "arc",
        "gsm8k.strict",
        "gsm8k.loose",
        "wiki",
    }
    arc = compare(store, "org_dense", "org_small", "arc")
    assert arc.flips is not None
    assert (arc.flips.lost, arc.flips.gained) == (1, 1)
    assert arc.caveats == ()
    wiki = compare(store, "org_dense", "org_small", "wiki")
    assert wiki.family == "perplexity"
    assert wiki.ratio is not None
    assert wiki.ratio.value == pytest.approx(1)


def test_documents_of_one_subject_are_a_group(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, name, [1, 0, 1, 0]) for name in ("a", "b")]
    store, _ = import_lm_eval(*runs, tmp_path / "results", group_by="subject")
    assert compare(store, "a", "b", "arc").groups == 2
    with pytest.raises(InputError, match="documents of arc have no field 'topic'"):
        import_lm_eval(*runs, tmp_path / "other", group_by="topic")


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ({"limit": 2.0}, "limit: None | 2"),
        ({"model_dtype": "torch.float16"}, "dtype: bfloat16 | float16"),
        ({"model": "vllm"}, "scoring tier: lm-eval hf | lm-eval vllm"),
    ],
)
def test_runs_under_other_settings_are_refused(tmp_path: Path, config: dict[str, Any], shown: str) -> None:
    dense = write_run(tmp_path / "a", "dense", [1, 0, 1])
    small = write_run(tmp_path / "b", "small", [1, 0, 1][: int(config.get("limit", 3))], config=config)
    store, _ = import_lm_eval(dense, small, tmp_path / "results")
    reasons = [refusal.reason for refusal in compare_all(store).refusals]
    assert len(reasons) == 4
    assert all(shown in reason for reason in reasons)


def test_the_newest_samples_of_a_task_count(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "dense", [1, 1, 1], date="2026-11-21T07-43-45.644266")
    dense = write_run(tmp_path / "a", "dense", [1, 0, 0])
    store, _ = import_lm_eval(dense, write_run(tmp_path / "b", "small", [1, 0, 0]), tmp_path / "results")
    assert compare(store, "dense", "small", "arc").reference_score.value == pytest.approx(1 / 3)


def test_a_task_without_a_number_per_item_is_left_out_aloud(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, name, [1, 0]) for name in ("a", "b")]
    for folder in runs:
        (path,) = folder.rglob("samples_wiki_*.jsonl")
        rows = [json.loads(line) | {"metrics": ["bleu"]} for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, notes = import_lm_eval(*runs, tmp_path / "results")
    assert notes == ["wiki was left out: its metrics are no number per item."]


def test_folders_that_are_no_output_of_lm_eval_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", "dense", [1, 0])
    with pytest.raises(InputError, match="holds no samples of lm-eval"):
        import_lm_eval(run, tmp_path / "nowhere", tmp_path / "results")
    write_run(tmp_path / "a", "small", [1, 0])
    with pytest.raises(InputError, match="holds samples of several models"):
        import_lm_eval(run, run, tmp_path / "results")


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", "dense", [1, 0])
    (path,) = run.rglob("samples_arc_*.jsonl")
    path.write_text(path.read_text() + '{"doc_id": 2, "do')
    with pytest.raises(InputError, match=r"samples_arc_.*, line 3 is not JSON"):
        import_lm_eval(run, run, tmp_path / "results")


def test_samples_without_their_settings_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", "dense", [1, 0])
    for path in run.rglob("results_*.json"):
        path.unlink()
    with pytest.raises(InputError, match=r"results_.*\.json is missing beside"):
        import_lm_eval(run, run, tmp_path / "results")

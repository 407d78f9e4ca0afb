import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kick.comparison import compare, compare_all
from kick.errors import InputError
from kick.execution.lm_eval_import import import_lm_eval
from kick.gating import Policy, gate, verdicts
from kick.reports import write

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
    imported = import_lm_eval([dense, small], tmp_path / "results")
    assert (imported.checkpoints, imported.cells, imported.notes) == (["org_dense", "org_small"], 8, [])
    store = imported.store
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
    store = import_lm_eval(runs, tmp_path / "results", group_by="subject").store
    assert compare(store, "a", "b", "arc").groups == 2
    with pytest.raises(InputError, match="documents of arc have no field 'topic'"):
        import_lm_eval(runs, tmp_path / "other", group_by="topic")


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
    store = import_lm_eval([dense, small], tmp_path / "results").store
    reasons = [refusal.reason for refusal in compare_all(store).refusals]
    assert len(reasons) == 4
    assert all(shown in reason for reason in reasons)


def test_the_newest_samples_of_a_task_count(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "dense", [1, 1, 1], date="2026-11-21T07-43-45.644266")
    dense = write_run(tmp_path / "a", "dense", [1, 0, 0])
    store = import_lm_eval([dense, write_run(tmp_path / "b", "small", [1, 0, 0])], tmp_path / "results").store
    assert compare(store, "dense", "small", "arc").reference_score.value == pytest.approx(1 / 3)


def test_a_task_without_a_number_per_item_is_left_out_aloud(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, name, [1, 0]) for name in ("a", "b")]
    for folder in runs:
        (path,) = folder.rglob("samples_wiki_*.jsonl")
        rows = [json.loads(line) | {"metrics": ["bleu"]} for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    imported = import_lm_eval(runs, tmp_path / "results")
    assert imported.notes == ["wiki was left out: its metrics are no number per item."]
    assert "wiki" in imported.store.suite()["tasks"]
    with pytest.raises(InputError, match="task 'wiki' of 'a' is missing"):
        gate(imported.store)


def test_folders_that_are_no_output_of_lm_eval_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", "dense", [1, 0])
    with pytest.raises(InputError, match="holds no samples of lm-eval"):
        import_lm_eval([run, tmp_path / "nowhere"], tmp_path / "results")
    write_run(tmp_path / "a", "small", [1, 0])
    with pytest.raises(InputError, match="holds samples of several models"):
        import_lm_eval([run, write_run(tmp_path / "b", "small", [1, 0])], tmp_path / "results")


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", "dense", [1, 0])
    (path,) = run.rglob("samples_arc_*.jsonl")
    path.write_text(path.read_text() + '{"doc_id": 2, "do')
    with pytest.raises(InputError, match=r"samples_arc_.*, line 3 is not JSON"):
        import_lm_eval([run, write_run(tmp_path / "b", "small", [1, 0])], tmp_path / "results")


def test_samples_without_their_settings_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", "dense", [1, 0])
    for path in run.rglob("results_*.json"):
        path.unlink()
    with pytest.raises(InputError, match=r"results_.*\.json is missing beside"):
        import_lm_eval([run, write_run(tmp_path / "b", "small", [1, 0])], tmp_path / "results")


def change_rows(
    folder: Path,
    task: str,
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    newline: str = "\n",
) -> None:
    """Rewrite the samples of a task, as lm-eval writes them: text is raw."""
    (path,) = folder.rglob(f"samples_{task}_*.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    lines = [json.dumps(row, ensure_ascii=False) + newline for row in change(rows)]
    path.write_bytes("".join(lines).encode())


def pair(path: Path) -> list[Path]:
    return [write_run(path / name, name, [1, 0, 1]) for name in ("dense", "small")]


def test_cells_say_where_they_come_from(tmp_path: Path) -> None:
    store = import_lm_eval(pair(tmp_path), tmp_path / "results").store
    cell = store.cell("small", "arc")
    assert cell is not None
    assert cell.notes == ("imported from lm-eval 0.4.13",)
    assert cell.identity.versions["lm_eval"] == "0.4.13"
    assert store.suite()["imported"] == "lm-eval 0.4.13"


def test_any_number_of_candidates_is_imported_under_names_of_their_own(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, "org/model", [1, 0, 1]) for name in "abc"]
    imported = import_lm_eval(runs, tmp_path / "results")
    assert imported.checkpoints == ["org_model", "org_model-2", "org_model-3"]
    assert len(verdicts(imported.store).verdicts) == 2


def test_an_imported_folder_is_reported(tmp_path: Path) -> None:
    store = import_lm_eval(pair(tmp_path), tmp_path / "results").store
    write(store, tmp_path / "report", ["md"])
    text = (tmp_path / "report" / "report.md").read_text()
    assert "small" in text
    assert "gsm8k.strict" in text


@pytest.mark.parametrize("separator", ["\u2028", "\u0085", "\u2029", "\x0c"])
def test_a_line_ends_at_a_newline_and_nowhere_else(tmp_path: Path, separator: str) -> None:
    runs = pair(tmp_path)
    for folder in runs:
        change_rows(folder, "gsm8k", lambda rows: [row | {"target": f"a{separator}b"} for row in rows])
    store = import_lm_eval(runs, tmp_path / "results").store
    cell = store.cell("dense", "gsm8k.strict")
    assert cell is not None
    assert list(store.items(cell)["target"]) == [f"a{separator}b"] * 3


def test_windows_newlines_are_read(tmp_path: Path) -> None:
    runs = pair(tmp_path)
    change_rows(runs[0], "arc", lambda rows: rows, newline="\r\n")
    assert import_lm_eval(runs, tmp_path / "results").cells == 8


def test_items_concatenated_five_times_are_refused(tmp_path: Path) -> None:
    runs = pair(tmp_path)
    for folder in runs:
        change_rows(folder, "arc", lambda rows: rows * 5)
    with pytest.raises(InputError, match=r"samples_arc_.*: item 0 occurs 5 times, and 3 items are repeated"):
        import_lm_eval(runs, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_samples_of_another_model_in_the_folder_are_not_mixed_in(tmp_path: Path) -> None:
    dense, small = pair(tmp_path)
    other = write_run(tmp_path / "other", "small", [1, 1, 1], date="2026-11-23T07-43-45.644266")
    for path in other.rglob("results_*.json"):
        settings = json.loads(path.read_text())
        settings["config"]["model_args"] = "pretrained=small,load_in_4bit=True"
        path.write_text(json.dumps(settings))
    for path in [*other.rglob("results_*.json"), *other.rglob("samples_arc_*.jsonl")]:
        shutil.copy(path, small / "small")
    with pytest.raises(InputError, match=r"several models: .* differ in model_args: .*load_in_4bit"):
        import_lm_eval([dense, small], tmp_path / "results")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [row | {"acc": None} for row in rows], r"acc of item 0 is None \(3 of 3 items\)"),
        (lambda rows: [rows[0] | {"acc": None}, *rows[1:]], r"acc of item 0 is None \(1 of 3 items\)"),
        (lambda rows: [rows[0] | {"acc": float("nan")}, *rows[1:]], r"acc of item 0 is nan"),
        (lambda rows: [rows[0] | {"acc": ["a"]}, *rows[1:]], r"acc of item 0 is \['a'\]"),
        (lambda rows: [row | {"filter": "../../x"} for row in rows], "'../../x' cannot name a filter"),
        (lambda rows: [], "is empty"),
    ],
    ids=["null", "null of an item", "NaN", "no number", "a path", "nothing"],
)
def test_a_task_without_a_value_is_refused_and_not_dropped(
    tmp_path: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], message: str
) -> None:
    runs = pair(tmp_path)
    change_rows(runs[1], "arc", change)
    with pytest.raises(InputError, match=message):
        import_lm_eval(runs, tmp_path / "results")


def test_a_part_of_the_items_that_were_scored_is_refused(tmp_path: Path) -> None:
    runs = pair(tmp_path)
    for folder in runs:
        (path,) = folder.rglob("results_*.json")
        settings = json.loads(path.read_text()) | {"n-samples": {"arc": {"original": 9, "effective": 3}}}
        path.write_text(json.dumps(settings))
    assert import_lm_eval(runs, tmp_path / "results").notes == []
    change_rows(runs[1], "arc", lambda rows: rows[:2])
    with pytest.raises(InputError, match=r"samples_arc_.* holds 2 of the 3 items that were scored"):
        import_lm_eval(runs, tmp_path / "again")


def test_a_folder_against_itself_is_refused_and_one_model_twice_is_said(tmp_path: Path) -> None:
    dense, _ = pair(tmp_path)
    with pytest.raises(InputError, match="is given twice: a model compared with itself always passes"):
        import_lm_eval([dense, dense], tmp_path / "results")
    shutil.copytree(dense, tmp_path / "copy")
    (note,) = import_lm_eval([dense, tmp_path / "copy"], tmp_path / "results").notes
    assert "say that they are of one model, loaded in one way: dense" in note


def test_a_task_that_one_model_lacks_is_missing(tmp_path: Path) -> None:
    runs = pair(tmp_path)
    for path in runs[1].rglob("samples_arc_*.jsonl"):
        path.unlink()
    store = import_lm_eval(runs, tmp_path / "results").store
    with pytest.raises(InputError, match="task 'arc' of 'small' is missing"):
        gate(store)
    assert gate(store, Policy(name="t", ignore=("arc",))).exit_code in (1, 3)


def test_a_results_folder_is_not_imported_into(tmp_path: Path) -> None:
    runs = pair(tmp_path)
    import_lm_eval(runs, tmp_path / "results")
    with pytest.raises(InputError, match="is a results folder already"):
        import_lm_eval(runs, tmp_path / "results")

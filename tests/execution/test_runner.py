"""A suite from file to cells: a second run reads, a killed run goes on, and any change that matters makes new cells."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from kick.comparison import compare
from kick.errors import InputError
from kick.execution import checkpoint_cache, scoring
from kick.execution.runner import run
from kick.metrics.signs import response_signs
from kick.store import Store
from kick.suite import Suite
from tests.execution.bed import TASKS, Bed
from tests.tiny import save_model, tokenizer


def test_weights_that_are_changed_on_loading_are_scored_as_another_checkpoint(bed: Bed) -> None:
    pytest.importorskip("torchao")
    bed.keys["checkpoints"] += [
        {"id": "int8", "base": "dense", "quantizer": "torchao-int8"},
        {"id": "pruned-int8", "base": "magnitude-0.5", "quantizer": "torchao-int8"},
        {"id": "same", "base": "dense", "loader": "per-layer-llama"},
    ]
    bed.keys["tasks"] = ["kick_squad"]
    store = bed.run().store
    records = {record.checkpoint.id: record for record in store.checkpoints()}
    assert len({record.fingerprint for record in records.values()}) == 5
    assert records["int8"].loading[0].startswith("quantized by torchao-int8 (torchao ")
    dense, int8, pruned = (records[name].description for name in ("dense", "int8", "pruned-int8"))
    assert dense is not None
    assert int8 is not None
    assert pruned is not None
    assert int8.bits_per_weight < dense.bits_per_weight
    assert pruned.sparsity == 0.5
    cells = {name: store.cell(name, "kick_squad") for name in records}
    assert all(cells.values())
    items = {name: store.items(cell) for name, cell in cells.items() if cell}
    assert list(items["same"]["response"]) == list(items["dense"]["response"])


def test_a_suite_scores_every_checkpoint_on_every_task(bed: Bed) -> None:
    summary = bed.run()
    assert (summary.scored, summary.reused) == (4, 0)
    assert summary.store.verify() == []
    for checkpoint in ("dense", "magnitude-0.5"):
        record = summary.store.checkpoint(checkpoint)
        assert record is not None
        assert record.description is not None
        assert record.cost is not None
        assert record.cost.footprint >= record.description.tensor_bytes
        assert set(record.cells) == set(TASKS)
        for task in TASKS:
            cell = summary.store.cell(checkpoint, task)
            assert cell is not None
            assert cell.items == len(summary.store.items(cell)) == 3
    pruned = summary.store.checkpoint("magnitude-0.5")
    assert pruned is not None
    assert pruned.description is not None
    assert pruned.description.sparsity == pytest.approx(0.5, abs=0.001)
    assert pruned.cost is not None
    bed.keys.update(limit=2)
    bed.run(only="magnitude-0.5", tasks=["kick_mmlu"])
    scored_again = summary.store.checkpoint("magnitude-0.5")
    assert scored_again is not None
    assert scored_again.cost == pruned.cost  # measured once


def test_reference_and_candidate_answer_the_same_plan(bed: Bed) -> None:
    store = bed.run().store
    for task in TASKS:
        dense, pruned = store.cell("dense", task), store.cell("magnitude-0.5", task)
        assert dense is not None
        assert pruned is not None
        assert dense.identity.plan == pruned.identity.plan
        prompts = [store.items(cell)["prompt"].tolist() for cell in (dense, pruned)]
        assert prompts[0] == prompts[1]


def test_the_reference_is_scored_again_in_other_batches_for_the_noise_floor(bed: Bed) -> None:
    bed.keys.update(noise_floor=True)
    store = bed.run(tasks=["kick_mmlu"], batch_tokens=2000).store
    first, again = store.cell("dense", "kick_mmlu"), store.cell("dense@noise", "kick_mmlu")
    assert first is not None
    assert again is not None
    assert first.identity.plan == again.identity.plan
    assert first.identity.tier != again.identity.tier
    floor = compare(store, "dense", "magnitude-0.5", "kick_mmlu").noise_floor
    assert floor is not None
    assert floor.flips is not None
    assert floor.flips.lost == floor.flips.gained == 0


def test_no_noise_floor_is_claimed_where_other_batches_come_out_the_same(bed: Bed) -> None:
    bed.keys.update(noise_floor=True, limit=1)
    store = bed.run(tasks=["kick_squad"]).store
    assert store.cell("dense@noise", "kick_squad") is None
    assert compare(store, "dense", "magnitude-0.5", "kick_squad").noise_floor is None


def test_all_checkpoints_are_scored_by_the_tier_that_the_reference_passes(bed: Bed) -> None:
    store = bed.run(tasks=["kick_mmlu"]).store
    tiers = {cell.identity.tier for cell in store.cells()}
    assert tiers == {"tree/8192x16"}
    bed.keys.update(tier="plain")
    assert bed.run(tasks=["kick_mmlu"]).scored == 2
    assert {cell.identity.tier for cell in store.cells()} == {"tree/8192x16", "plain/8192x16"}


def test_a_candidate_that_its_reference_s_tier_does_not_fit_is_refused_and_the_others_are_scored(
    bed: Bed,
) -> None:
    save_model(bed.folder / "recurrent", "mamba")
    bed.keys["checkpoints"].append({"id": "recurrent", "model": "recurrent"})
    with pytest.raises(
        InputError, match="recurrent: it cannot be scored as its reference is: .*`tier: plain`"
    ):
        bed.run(tasks=["kick_mmlu"])
    store = Store(bed.folder / "results")
    assert store.cell("magnitude-0.5", "kick_mmlu") is not None
    assert store.cell("recurrent", "kick_mmlu") is None
    bed.keys.update(tier="plain")
    assert bed.run(tasks=["kick_mmlu"]).scored == 3
    attention = {cell.checkpoint: cell.identity.attention for cell in store.cells()}
    assert attention == {"dense": "sdpa", "magnitude-0.5": "sdpa", "recurrent": "eager"}


def test_divergence_from_the_reference_is_measured_on_every_task_and_text(bed: Bed) -> None:
    bed.keys.update(divergence=True, perplexity={"datasets": ["world"], "window": 64, "windows": 2})
    bed.keys["checkpoints"].insert(0, {"id": "same", "model": "model"})  # listed before the reference
    store = bed.run().store
    for task in (*TASKS, "perplexity_world"):
        own, same, pruned = (store.cell(name, task) for name in ("dense", "same", "magnitude-0.5"))
        assert own is not None
        assert same is not None
        assert same.divergence is not None
        assert pruned is not None
        assert pruned.divergence is not None
        assert own.divergence is None
        assert "kl" not in store.items(own)
        assert same.divergence.kl == pytest.approx(0, abs=1e-5)
        assert pruned.divergence.kl > 1e-3
        kl = store.items(pruned)["kl"]
        assert len(kl) == pruned.items
        assert kl.min() > 0
        plain = store.items(own)[list(own.task.metrics)]
        pd.testing.assert_frame_equal(plain, store.items(same)[list(own.task.metrics)])
    assert store.verify() == []
    assert bed.run().scored == 0


def test_divergence_is_measured_from_the_reference_s_states_and_they_are_made_again_if_need_be(
    bed: Bed,
) -> None:
    bed.keys.update(divergence=True)
    with pytest.raises(InputError, match="its divergence from dense cannot be measured: .* is missing"):
        bed.run(only="magnitude-0.5", tasks=["kick_mmlu"])
    first = bed.run(tasks=["kick_mmlu"]).store.cell("magnitude-0.5", "kick_mmlu")
    shutil.rmtree(bed.folder / "results" / "states")
    assert bed.run(tasks=["kick_mmlu"]).scored == 0
    shutil.rmtree(bed.folder / "results" / "cells" / "magnitude-0.5")
    summary = bed.run(tasks=["kick_mmlu"])
    assert summary.scored == 2
    again = summary.store.cell("magnitude-0.5", "kick_mmlu")
    assert first is not None
    assert again is not None
    assert first.divergence == again.divergence


def test_divergence_between_other_tokenizers_is_refused_with_the_reason(bed: Bed) -> None:
    shutil.copytree(bed.folder / "model", bed.folder / "other")
    path = bed.folder / "other" / "tokenizer.json"
    path.write_text(path.read_text().replace('"add_prefix_space": false', '"add_prefix_space": true', 1))
    bed.keys.update(divergence=True)
    bed.keys["checkpoints"].append({"id": "other", "model": "other"})
    cell = bed.run(tasks=["kick_mmlu"]).store.cell("other", "kick_mmlu")
    assert cell is not None
    assert cell.divergence is None
    assert "its tokenizer is not that of the reference" in str(cell.not_diverged)


def test_cells_hold_the_floors_of_their_items_and_the_signs_of_their_answers(bed: Bed) -> None:
    bed.keys.update(perplexity={"datasets": ["world"], "window": 64, "windows": 2})
    store = bed.run().store
    for task, answerer in (("kick_squad", "empty"), ("kick_mmlu", "one option always")):
        dense, pruned = (store.cell(name, task) for name in ("dense", "magnitude-0.5"))
        assert dense is not None
        assert pruned is not None
        assert dense.floors is not None
        assert dense.floors == pruned.floors
        assert (dense.floors.items, dense.floors.metric) == (3, dense.task.metric)
        assert answerer in {floor.answerer for floor in dense.floors.floors}
        assert compare(store, "dense", "magnitude-0.5", task).floor == dense.floors.best
    squad, mmlu, text = (store.cell("dense", task) for task in (*TASKS, "perplexity_world"))
    assert squad is not None
    assert squad.signs == response_signs(list(store.items(squad)["response"]))
    assert mmlu is not None
    assert mmlu.signs is None
    assert text is not None
    assert (text.floors, text.signs) == (None, None)


def test_a_student_of_another_tokenizer_is_compared_by_texts_and_by_bits_per_byte(bed: Bed) -> None:
    save_model(bed.folder / "student", seed=1)
    tokenizer(["the ferry sailed to the harbour of Vinsted in the ice"]).save_pretrained(
        bed.folder / "student"
    )
    pages = [
        f" = Page {number} = \n The ferry to Vinsted lay still for {number} days . \n" for number in range(20)
    ]
    folder = bed.folder / "data" / "EleutherAI__wikitext_document_level" / "wikitext-2-raw-v1"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"page": pages}), folder / "test.parquet")
    for path in bed.data_root.iterdir():
        (bed.folder / "data" / path.name).symlink_to(path)
    bed.data_root = bed.folder / "data"
    bed.keys.update(divergence=True, series=[])
    bed.keys["perplexity"] = {"datasets": ["wikitext2_words", "world"], "window": 32, "windows": 20}
    bed.keys["checkpoints"].append({"id": "student", "model": "student"})
    store = bed.run().store
    cells = [store.cell(name, "kick_squad") for name in ("dense", "student")]
    assert cells[0] is not None
    assert cells[1] is not None
    assert cells[0].identity.plan.hash != cells[1].identity.plan.hash
    assert cells[1].divergence is None
    for task in TASKS:
        found = compare(store, "dense", "student", task)
        assert (found.n, found.unpaired) == (3, 0)
        assert any(caveat.startswith("The tokenizers differ") for caveat in found.caveats)
    words = compare(store, "dense", "student", "perplexity_wikitext2_words")
    assert words.n == 20
    assert words.bits_per_byte is not None
    for side, name in (("reference", "dense"), ("candidate", "student")):
        cell = store.cell(name, "perplexity_wikitext2_words")
        assert cell is not None
        assert getattr(words.bits_per_byte, side).value == pytest.approx(cell.scores["bits_per_byte"])
    assert words.bits_per_byte.delta.low < words.bits_per_byte.delta.value < words.bits_per_byte.delta.high
    assert any("roll over the pages" in caveat for caveat in words.caveats)
    with pytest.raises(InputError, match="Compare bits per byte on a text that is scored page by page"):
        compare(store, "dense", "student", "perplexity_world")


def test_a_second_run_loads_no_model_and_makes_none(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed.run()
    shutil.rmtree(bed.folder / "cache")

    def load(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(scoring, "load", load)
    summary = bed.run()
    assert (summary.scored, summary.reused) == (0, 4)
    assert not (bed.folder / "cache").exists()


def test_candidates_of_other_weights_than_the_reference_has_now_are_not_compared(bed: Bed) -> None:
    bed.run()
    _nudge(bed.folder / "model" / "model.safetensors")
    store = bed.run(only="dense").store
    with pytest.raises(InputError, match="made from other weights than dense has now"):
        compare(store, "dense", "magnitude-0.5", "kick_mmlu")


@pytest.mark.parametrize(
    ("change", "scored"), [({"limit": 2}, 4), ({"seed": 5}, 4), ({"tasks": ["kick_squad"]}, 0)]
)
def test_cells_follow_limit_and_seed(bed: Bed, change: dict[str, Any], scored: int) -> None:
    bed.run()
    bed.keys.update(change)
    assert bed.run().scored == scored


def test_one_changed_weight_makes_new_cells_for_the_model_and_what_is_made_from_it(bed: Bed) -> None:
    bed.run()
    _nudge(bed.folder / "model" / "model.safetensors")
    assert bed.run().scored == 4


def test_a_changed_prompt_makes_new_cells_for_its_task_alone(bed: Bed) -> None:
    tasks = bed.folder / "tasks"
    tasks.mkdir()
    (tasks / "mine.yaml").write_text(MY_TASK)
    bed.keys.update(tasks=["mine", "kick_mmlu"], include_path=["tasks"])
    assert bed.run().scored == 4
    (tasks / "mine.yaml").write_text(MY_TASK.replace("Q: ", "Question: "))
    summary = bed.run()
    assert (summary.scored, summary.reused) == (2, 2)


def test_a_changed_metric_or_grouping_makes_new_cells(bed: Bed) -> None:
    tasks = bed.folder / "tasks"
    tasks.mkdir()
    (tasks / "rules.py").write_text("def score(doc, results):\n    return {'hit': 0.0}\n")
    own = MY_TASK.split("metric_list:")[0].replace("kick.metrics.answers.squad", "rules.score")
    own += "metric_list: [{metric: hit, aggregation: mean, higher_is_better: true}]\n"
    (tasks / "mine.yaml").write_text(own)
    bed.keys.update(tasks=["mine"], include_path=["tasks"])
    before = bed.run(only="dense").store.cell("dense", "mine")
    (tasks / "rules.py").write_text("def score(doc, results):\n    return {'hit': 1.0} \n")
    after = bed.run(only="dense").store.cell("dense", "mine")
    assert before is not None
    assert after is not None
    assert (before.scores, after.scores) == ({"hit": 0.0}, {"hit": 1.0})
    (tasks / "mine.yaml").write_text(own + "metadata: {group_by: title}\n")
    assert bed.run(only="dense").scored == 1


def test_a_checkpoint_that_fails_does_not_keep_the_others_from_being_scored(bed: Bed) -> None:
    shutil.copytree(bed.folder / "model", bed.folder / "broken")
    path = bed.folder / "broken" / "model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, path, metadata={"format": "pt"})
    bed.keys["checkpoints"].append({"id": "broken", "model": "broken"})
    with pytest.raises(InputError, match="not scored: broken: .*model.norm.weight"):
        bed.run()
    store = Store(bed.folder / "results")
    assert store.cell("magnitude-0.5", "kick_mmlu") is not None
    assert store.cell("broken", "kick_mmlu") is None


def test_only_one_checkpoint_or_task_is_scored_when_asked(bed: Bed) -> None:
    assert bed.run(only="dense", tasks=["kick_mmlu"]).scored == 1
    assert bed.run(only="dense").scored == 1
    assert bed.run().scored == 2


def test_a_run_killed_in_the_middle_of_a_task_goes_on_and_ends_with_the_same_items(bed: Bed) -> None:
    unbroken = bed.run("unbroken").store
    journals = bed.folder / "results" / "journal"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLABLE, str(bed.suite_file()), str(bed.data_root)], cwd=bed.folder
    )
    deadline = time.monotonic() + 120
    while not any(journals.glob("*.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (journal,) = journals.glob("*.jsonl")
    before = journal.read_bytes()
    assert before

    resumed = bed.run().store
    assert not journal.exists()
    for task in TASKS:
        for checkpoint in ("dense", "magnitude-0.5"):
            old, new = unbroken.cell(checkpoint, task), resumed.cell(checkpoint, task)
            assert old is not None
            assert new is not None
            assert old.key == new.key
            pd.testing.assert_frame_equal(unbroken.items(old), resumed.items(new))


def test_a_checkpoint_made_before_is_not_made_again(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed.run(tasks=["kick_mmlu"])

    def make(*_: object, **__: object) -> None:
        raise AssertionError("a checkpoint was made again")

    monkeypatch.setattr(checkpoint_cache, "make", make)
    assert bed.run().scored == 2


def test_made_checkpoints_beyond_those_to_keep_go_once_their_cells_are_scored(bed: Bed) -> None:
    bed.keys["series"] = [{"from": "dense", "method": "magnitude", "sparsity": [0.3, 0.5]}]
    assert bed.run(keep=0).scored == 6
    assert not list((bed.folder / "cache").rglob("kick.json"))
    assert bed.run().scored == 0


def test_a_calibrated_series_follows_its_text_and_seed(bed: Bed) -> None:
    pytest.importorskip("llmcompressor")
    text = bed.folder / "text.txt"
    text.write_text("the answer to the question is in the text " * 30)
    bed.keys["series"] = [{"from": "dense", "method": "wanda", "sparsity": [0.5]}]
    bed.keys["calibration"] = {"data": "text.txt", "samples": 2, "length": 32}
    assert bed.run().scored == 4
    assert bed.run().scored == 0
    bed.keys["calibration"]["seeds"] = [0, 1]
    assert bed.run().scored == 4  # under the names of two series, from one made checkpoint and a new one
    assert len(list((bed.folder / "cache").rglob("kick.json"))) == 2
    text.write_text("another text of another ferry at the harbour " * 30)
    assert bed.run().scored == 4


def test_missing_data_are_named_before_a_model_loads(bed: Bed) -> None:
    shutil.copytree(bed.data_root, bed.folder / "data")
    bed.data_root = bed.folder / "data"
    shutil.rmtree(bed.data_root / "rajpurkar__squad")
    with pytest.raises(InputError, match="rajpurkar__squad"):
        bed.run()
    assert not (bed.folder / "results").exists()


def test_results_of_a_seed_do_not_depend_on_what_ran_before(bed: Bed) -> None:
    together = bed.run().store
    alone = bed.run("alone", tasks=["kick_mmlu"], only="dense").store
    first, second = together.cell("dense", "kick_mmlu"), alone.cell("dense", "kick_mmlu")
    assert first is not None
    assert second is not None
    pd.testing.assert_frame_equal(together.items(first), alone.items(second))


def test_numbers_do_not_depend_on_the_number_of_threads(bed: Bed) -> None:
    threads = torch.get_num_threads()
    one = bed.run("one", tasks=["kick_mmlu"], only="dense").store
    torch.set_num_threads(2)
    two = bed.run("two", tasks=["kick_mmlu"], only="dense").store
    torch.set_num_threads(threads)
    cells = [store.cell("dense", "kick_mmlu") for store in (one, two)]
    assert cells[0] is not None
    assert cells[1] is not None
    assert cells[0].scores == cells[1].scores


def test_the_suite_that_a_results_folder_keeps_can_be_run_again(bed: Bed) -> None:
    bed.run()
    suite = Suite.read(bed.folder / "results" / "suite.yaml")
    assert suite == Suite.read(bed.suite_file())
    again = run(
        suite, bed.folder / "results", data_root=bed.data_root, cache=bed.folder / "cache", device="cpu"
    )
    assert (again.scored, again.reused) == (0, 4)


def _nudge(path: Path) -> None:
    """Change one weight of a checkpoint."""
    weights = load_file(path)
    weights["model.norm.weight"][3] += 0.5
    save_file(weights, path, metadata={"format": "pt"})


MY_TASK = """
task: mine
custom_dataset: !function kick.data.datasets.load
dataset_kwargs:
  path: rajpurkar/squad
  name: plain_text
  commit: 7b6d24c440a36b6815f21b70d25016731768db1f
  splits: [validation]
test_split: validation
output_type: generate_until
doc_to_text: "Q: {{question}}"
doc_to_target: "{{answers.text[0]}}"
process_results: !function kick.metrics.answers.squad
generation_kwargs: {until: ["\\n"], max_gen_toks: 4, do_sample: false}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
  - {metric: f1, aggregation: mean, higher_is_better: true}
  - {metric: contains, aggregation: mean, higher_is_better: true}
  - {metric: empty, aggregation: mean, higher_is_better: false}
  - {metric: abstention, aggregation: mean, higher_is_better: false}
  - {metric: gold_in_question, aggregation: mean, higher_is_better: false}
"""

# After each batch there is time for the process to be killed.
KILLABLE = """
import sys, time
from pathlib import Path
from kick.execution.runner import run
from kick.store import Journal
from kick.suite import Suite
append = Journal.append
def slowly(journal, *responses):
    append(journal, *responses)
    time.sleep(0.2)
Journal.append = slowly
run(Suite.read(sys.argv[1]), "results", data_root=Path(sys.argv[2]), cache=Path("cache"), device="cpu")
"""

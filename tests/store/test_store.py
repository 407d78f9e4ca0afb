"""The results folder: whole cells or none, checksums, journals, locks."""

import errno
import json
import math
import os
from pathlib import Path

import pandas as pd
import pytest

from kick.errors import InputError
from kick.store import ITEM_COLUMNS, Store, cell_key
from kick.types import Cell, CellIdentity, Checkpoint, CheckpointRecord, PlanInfo, TaskInfo

TASK = TaskInfo(name="facts", kind="generation", family="factoid_qa", metric="acc", metrics=("acc",))
PLAN = PlanInfo(hash="p", task_config="c", documents="d", shots=0, limit=2, seed=1, items=2)
IDENTITY = CellIdentity(
    checkpoint="w",
    tokenizer="t",
    task="facts",
    plan=PLAN,
    dtype="float32",
    device="cpu",
    attention="sdpa",
    tier="x",
    versions={},
)


def _store(path: Path) -> Store:
    return Store.create(path / "results", "name: test\n")


def _items() -> pd.DataFrame:
    rows = [
        {**dict.fromkeys(ITEM_COLUMNS, "x"), "doc_id": i, "choice_logprobs": [-1.5], "acc": 1.0}
        for i in range(2)
    ]
    return pd.DataFrame(rows)


def _cell(identity: CellIdentity = IDENTITY) -> Cell:
    return Cell(
        checkpoint="dense",
        task=TASK,
        key=cell_key(identity),
        identity=identity,
        scores={"acc": 1.0},
        items=2,
        seconds=1.0,
        finished="2026-01-01T00:00:00+00:00",
        items_sha256="",
    )


def _written(path: Path) -> tuple[Store, Cell]:
    store = _store(path)
    cell = store.write_cell(_cell(), _items())
    store.write_checkpoint(
        CheckpointRecord(
            checkpoint=Checkpoint(id="dense", model="m"),
            fingerprint="w",
            tokenizer_fingerprint="t",
            cells={"facts": cell.key},
        )
    )
    return store, cell


def test_a_cell_reads_back_as_it_was_written(tmp_path: Path) -> None:
    store, cell = _written(tmp_path)
    assert store.cell("dense", "facts") == cell
    read = store.items(cell)
    read["choice_logprobs"] = [list(values) for values in read["choice_logprobs"]]
    pd.testing.assert_frame_equal(read, _items())
    assert store.verify() == []


@pytest.mark.parametrize(
    "change",
    [
        {"checkpoint": "other"},
        {"tokenizer": "other"},
        {"plan": PLAN.model_copy(update={"hash": "other"})},
        {"dtype": "bfloat16"},
        {"device": "cuda"},
        {"attention": "eager"},
        {"tier": "other"},
        {"versions": {"torch": "0"}},
    ],
)
def test_whatever_may_change_the_numbers_changes_the_key(change: dict[str, object]) -> None:
    assert cell_key(IDENTITY.model_copy(update=change)) != cell_key(IDENTITY)


def test_an_edited_item_file_is_found(tmp_path: Path) -> None:
    store, cell = _written(tmp_path)
    path = store.cell_dir("dense", "facts", cell.key) / "items.parquet"
    _items().assign(acc=[1.0, 0.0]).to_parquet(path)
    assert "SHA-256 differs" in store.verify()[0]
    with pytest.raises(InputError, match="SHA-256 differs"):
        store.items(cell)


def test_a_cell_that_was_copied_under_another_key_is_found(tmp_path: Path) -> None:
    store, cell = _written(tmp_path)
    folder = store.cell_dir("dense", "facts", cell.key)
    folder.rename(folder.with_name("0123456789abcdef"))
    problems = store.verify()
    assert any("not the hash of the cell's identity" in problem for problem in problems)
    assert any("not scored yet" in problem for problem in problems)


def test_a_damaged_cell_is_named_with_its_field(tmp_path: Path) -> None:
    store, cell = _written(tmp_path)
    path = store.cell_dir("dense", "facts", cell.key) / "cell.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "items": "many"}))
    with pytest.raises(InputError, match=r"cell.json is not a Cell.*items: Input should be a valid integer"):
        store.cell("dense", "facts")


def test_a_write_that_was_killed_leaves_no_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _store(tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write_cell(_cell(), _items())
    monkeypatch.undo()
    assert not store.has("dense", "facts", _cell().key)
    assert store.cells() == []
    store.write_cell(_cell(), _items())
    assert store.has("dense", "facts", _cell().key)


def test_items_without_a_metric_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="acc"):
        _store(tmp_path).write_cell(_cell(), _items().drop(columns="acc"))


def test_scores_that_are_not_finite_survive_the_file(tmp_path: Path) -> None:
    store, cell = _written(tmp_path)
    store.write_cell(cell.model_copy(update={"scores": {"acc": math.inf}}), _items())
    read = store.cell("dense", "facts")
    assert read is not None
    assert read.scores["acc"] == math.inf


def test_a_folder_of_something_else_is_neither_read_nor_written(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="no suite.yaml"):
        Store(tmp_path)
    with pytest.raises(InputError, match="holds other files"):
        Store.create(tmp_path, "name: test\n")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_said_and_not_assumed(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _store(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(InputError, match=r"dense\.lock cannot be locked: .*has file locks"):
        store.lock("dense").__enter__()
    with pytest.raises(InputError, match="cannot be locked"):
        _store(tmp_path)


def test_a_disk_that_grants_a_lock_twice_is_said_and_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _store(tmp_path)
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    with pytest.raises(
        InputError, match=r"dense\.lock cannot be locked: its disk grants a lock that somebody"
    ):
        store.lock("dense").__enter__()


def test_two_runs_do_not_score_one_checkpoint_at_once(tmp_path: Path) -> None:
    store = _store(tmp_path)
    with store.lock("dense"):
        with (
            pytest.raises(InputError, match="another run is scoring 'dense'"),
            Store(store.root).lock("dense"),
        ):
            pass
        with Store(store.root).lock("rtn-4"):
            pass

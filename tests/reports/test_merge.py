"""Several results folders in one report: each candidate against its own folder's reference, or the reason why not."""

from pathlib import Path

import pandas as pd
import pytest

from kick.errors import InputError
from kick.reports import write
from kick.reports.findings import Findings, gather
from kick.reports.merge import merge
from kick.store import Store
from tests.results import TASKS, make_results, write_scores

FACTS, TEXT = "kick_freebaseqa", "perplexity_wikitext2"


def folder(path: Path, **damage: float) -> Store:
    """Two tasks; the keys of `damage` name checkpoints with _ for -."""
    named = {name.replace("_", "-"): value for name, value in damage.items()}
    return make_results(path, items=20, windows=6, tasks=[FACTS, TEXT], damage={"dense": 0.0, **named})


def merged(*stores: Store) -> Findings:
    return merge([(store.root, gather(store)) for store in stores])


def test_all_candidates_stand_beside_one_reference(tmp_path: Path) -> None:
    found = merged(
        folder(tmp_path / "a", rtn_4=0.1, one=0.0), folder(tmp_path / "b", magnitude_0_5=0.4, two=0.1)
    )
    assert found.reference == "dense"
    assert set(found.checkpoints) == {"dense", "one", "two", "rtn-4", "magnitude-0-5"}
    assert found.checkpoints[0] == "dense"
    assert all(found.entry(task, name).score for task in found.tasks for name in found.checkpoints)


def test_an_id_that_two_folders_use_gets_the_name_of_its_folder(tmp_path: Path) -> None:
    first, second = folder(tmp_path / "a", rtn_4=0.1), folder(tmp_path / "b", rtn_4=0.4)
    found = merged(first, second)
    assert found.checkpoints == ("dense", "a:rtn-4", "b:rtn-4")
    assert [group.name for group in found.groups] == ["a:rtn", "b:rtn"]
    task = next(task for task in found.tasks if task.name == FACTS)
    for name, store in (("a:rtn-4", first), ("b:rtn-4", second)):
        entry, alone = found.entry(task, name), gather(store).entry(task, "rtn-4")
        assert entry.comparison is not None
        assert alone.comparison is not None
        assert (entry.comparison.candidate, entry.cell and entry.cell.checkpoint) == (name, name)
        assert entry.comparison.delta == alone.comparison.delta


def test_p_values_are_adjusted_for_the_comparisons_of_all_folders(tmp_path: Path) -> None:
    first, second = folder(tmp_path / "a", rtn_2=0.9), folder(tmp_path / "b", one=0.0, two=0.0)
    alone = gather(first)
    task = next(task for task in alone.tasks if task.name == FACTS)
    before, after = (found.entry(task, "rtn-2").comparison for found in (alone, merged(first, second)))
    assert before is not None
    assert after is not None
    assert before.p_holm is not None
    assert after.p_holm is not None
    assert after.p_value == before.p_value
    assert after.p_holm > before.p_holm


def test_a_task_that_only_one_folder_has_says_so_for_the_other(tmp_path: Path) -> None:
    first = folder(tmp_path / "a", rtn_4=0.1)
    second = make_results(tmp_path / "b", items=20, tasks=[FACTS], damage={"dense": 0.0, "one": 0.1})
    found = merged(first, second)
    text = next(task for task in found.tasks if task.name == TEXT)
    assert found.entry(text, "one").problem == "not in the suite of b"
    assert found.entry(text, "rtn-4").comparison is not None


def test_another_plan_is_refused_with_what_differs(tmp_path: Path) -> None:
    first, second = folder(tmp_path / "a", rtn_4=0.1), folder(tmp_path / "b", one=0.1)
    for checkpoint in ("dense", "one"):
        frame = pd.DataFrame({"em": [1.0, 0.0], "f1": [1.0, 0.0]})
        write_scores(second, checkpoint, TASKS[FACTS], frame, plan={"shots": 5})
    with pytest.raises(InputError, match=r"dense of b.*dense of a.*\n.*plan hash(.|\n)*shots: 0 \| 5"):
        merged(first, second)


def test_references_of_other_tokenizers_share_no_table(tmp_path: Path) -> None:
    first, second = folder(tmp_path / "a", rtn_4=0.1), folder(tmp_path / "b", one=0.1)
    for checkpoint in ("dense", "one"):
        cell = second.cell(checkpoint, FACTS)
        assert cell is not None
        write_scores(
            second, checkpoint, cell.task, second.items(cell), plan={"hash": "beef"}, tokenizer="another"
        )
    with pytest.raises(InputError, match=r"dense of b.*dense of a.*\n.*plan hash(.|\n)*\| another"):
        merged(first, second)


def test_other_reference_weights_are_refused(tmp_path: Path) -> None:
    first, second = folder(tmp_path / "a", rtn_4=0.1), folder(tmp_path / "b", one=0.1)
    record = second.checkpoint("dense")
    assert record is not None
    second.write_checkpoint(record.model_copy(update={"fingerprint": "another"}))
    with pytest.raises(InputError, match=r"not the same weights: a .*, b another.*--diff"):
        merged(first, second)


def test_a_folder_given_twice_is_refused_and_equal_names_are_numbered(tmp_path: Path) -> None:
    first, second = folder(tmp_path / "x" / "r", rtn_4=0.1), folder(tmp_path / "y" / "r", rtn_4=0.2)
    with pytest.raises(InputError, match="given twice"):
        merged(first, first)
    assert merged(first, second).checkpoints == ("dense", "r:rtn-4", "r-2:rtn-4")


def test_the_report_of_several_folders_has_their_figures_and_tables(tmp_path: Path) -> None:
    stores = [folder(tmp_path / "a", rtn_4=0.1), folder(tmp_path / "b", rtn_4=0.4)]
    paths = write(stores, tmp_path / "out", ["md", "csv"])
    assert all(path.is_file() for path in paths)
    page = paths[0].read_text(encoding="utf-8")
    assert "`a:rtn-4`" in page
    assert "2 compressed checkpoints compared with the reference dense" in page
    assert len(pd.read_csv(paths[1])) == 3 * 2

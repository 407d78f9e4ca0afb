"""What running takes stands beside what it keeps, and simulated speed is called so."""

from pathlib import Path

from kick.reports import write
from kick.reports.findings import gather
from kick.reports.tables.cost import running
from kick.store import Store
from kick.types.measures import Cost, Speed
from tests.reports.small import small_results

SPEED = Speed(
    prefill=812.4,
    decode=31.25,
    prompt_tokens=128,
    new_tokens=16,
    batch=1,
    repeats=3,
    simulated=False,
    backend="transformers 5.17.0, sdpa, bfloat16, cpu, 2 threads",
)
DENSE = Cost(load_seconds=2.34, footprint=536_000_000, peak_memory=1_900_000_000, device="cpu", speed=SPEED)


def with_costs(path: Path) -> Path:
    store = small_results(path)
    rounded = SPEED.model_copy(update={"simulated": True})
    for name, taken in {
        "dense": DENSE,
        "rtn-4": DENSE.model_copy(update={"speed": rounded, "made_seconds": 75.0}),
        "rtn-2": DENSE.model_copy(update={"speed": None, "peak_memory": None}),
    }.items():
        record = store.checkpoint(name)
        assert record is not None
        store.write_checkpoint(record.model_copy(update={"cost": taken}))
    return path


def test_each_checkpoint_that_was_measured_has_a_row(tmp_path: Path) -> None:
    rows = {row[0].lines[0]: row for row in running(gather(Store(with_costs(tmp_path / "small")))).rows}
    assert list(rows) == ["dense", "rtn-4", "rtn-2"]
    assert [field.lines for field in rows["dense"][2:7]] == [
        ("2.3 s",),
        ("536 MB",),
        ("1.9 GB",),
        ("812.4",),
        ("31.25",),
    ]
    assert rows["rtn-4"][1].lines == ("1 min 15 s",)
    assert rows["rtn-4"][6].lines == ("31.25", "simulated")
    assert [rows["rtn-2"][column].lines for column in (4, 5, 6)] == [
        ("not told",),
        ("not measured",),
        ("not measured",),
    ]


def test_every_format_shows_it_and_calls_simulated_speed_so(tmp_path: Path) -> None:

    write(Store(with_costs(tmp_path / "small")), tmp_path / "out", ["md", "html", "latex"])
    for name in ("report.md", "report.html", "report.tex"):
        page = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert "812.4" in page
        assert "simulated" in page


def test_a_run_that_measured_none_has_no_table(tmp_path: Path) -> None:
    assert running(gather(small_results(tmp_path / "small"))).rows == ()

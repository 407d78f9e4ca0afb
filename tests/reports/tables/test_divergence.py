"""Divergence stands beside perplexity in every format, with its interval, its n and its noise floor."""

from pathlib import Path

import pandas as pd
import pytest

from kick.reports import write
from kick.reports.blocks import Table
from kick.reports.figures.gallery import draw
from kick.reports.findings import Findings, gather
from kick.reports.merge import merge
from kick.reports.tables import divergence
from kick.reports.tables.divergence import divergences
from kick.reports.tables.scores import curve_data
from kick.reports.tables.summary import warnings
from kick.store import Store
from tests.reports.small import FACTS, KL, TEXT, small_results
from tests.results import make_results, write_scores

FORMATS = {"report.md": "md", "report.html": "html", "report.tex": "latex", "report.csv": "csv"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return small_results(tmp_path_factory.mktemp("small") / "r")


@pytest.fixture(scope="module")
def findings(store: Store) -> Findings:
    return gather(store)


@pytest.fixture(scope="module")
def report(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    write(store, out, list(FORMATS.values()))
    return out


def cells(table: Table, row: str) -> dict[str, tuple[str, ...]]:
    """The fields of a row by the first line of their column's head."""
    found = next(one for one in table.rows if one[0].lines[0] == row)
    return {head.lines[0]: field.lines for head, field in zip(table.header, found, strict=True)}


def test_every_task_that_was_measured_has_a_table_and_no_other(findings: Findings) -> None:
    assert [table.label for table in divergences(findings)] == [
        f"divergence-{task.name}" for task in (FACTS, TEXT)
    ]


def test_a_row_gives_divergence_with_interval_n_and_noise_floor(findings: Findings) -> None:
    row = cells(divergences(findings)[0], "rtn-4")
    assert row["KL(reference, candidate)"] == ("0.0783 [0.0664, 0.0903]",)
    assert row["n"] == ("24", "24 tokens")
    assert row["noise floor"][0].startswith("2.94e−06 [")
    assert row["change of p"][0].startswith("−0.78 [−0.90, −0.66]")
    assert row["equal first choice"] == ("83 % [64, 93]",)
    assert row["perplexity"][0].startswith("×1.081 [")
    percentiles = divergences(findings)[0].rows[1][8:11]
    assert [field.lines for field in percentiles] == [
        ("0.0400", "0.0400", "0.0400"),
        ("0.0800", "0.120", "0.120"),
        ("0.120", "0.120"),
    ]


def test_of_many_candidates_those_that_diverge_most_are_shown(
    findings: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(divergence, "MAX_CANDIDATES", 2)
    table = divergences(findings)[0]
    assert [row[0].lines[0] for row in table.rows] == ["rtn-4", "rtn-2"]
    assert "Left out: 1 candidates" in table.note


def test_the_perplexity_of_a_text_stands_beside_its_divergence(findings: Findings) -> None:
    row = cells(divergences(findings)[1], "rtn-4")
    assert row["perplexity"] == ("×1.111, too few for an interval",)
    assert row["noise floor"] == ("not measured",)
    assert cells(warnings(findings), "rtn-4")[TEXT.name]
    heads = [head.lines for head in warnings(findings).header]
    assert (
        heads.index((TEXT.name, "KL, nats per token"))
        == heads.index((TEXT.name, "ratio to the reference")) + 1
    )


@pytest.mark.parametrize("page", FORMATS)
def test_every_format_shows_it(report: Path, page: str) -> None:
    content = (report / page).read_text(encoding="utf-8")
    shown = "0.0783333" if page == "report.csv" else "0.0783 [0.0664, 0.0903]"
    assert shown in content.replace("{[}", "[")


def test_the_tidy_table_has_means_of_items_and_statistics_of_tokens(report: Path) -> None:
    frame = pd.read_csv(report / "report.csv")
    row = frame[(frame.checkpoint == "rtn-4") & (frame.task == FACTS.name)].iloc[0]
    assert row["kl_low"] < row["kl"] < row["kl_high"]
    assert row["kl_noise_floor"] == pytest.approx(2.9375e-6)
    assert row["token_kl_p50"] < row["token_kl_p99"] <= row["token_kl_max"]
    assert frame[frame.checkpoint == "dense"]["kl"].isna().all()


def test_the_curve_has_a_panel_of_nats_with_perplexity_on_the_same_axis(findings: Findings) -> None:
    recovery, nats = draw(findings)["curve-rtn"].axes
    assert (recovery.get_yscale(), nats.get_yscale()) == ("linear", "log")
    assert nats.get_xlim() == recovery.get_xlim()
    labels = nats.get_legend_handles_labels()[1]
    rise = f"ln of the perplexity ratio, {TEXT.name}"
    assert {f"KL on {FACTS.name}", f"KL on {TEXT.name}", rise, "noise floor of KL"} <= set(labels)
    drawn = {str(line.get_label()): list(line.get_ydata()) for line in nats.lines}
    assert drawn[f"KL on {FACTS.name}"] == pytest.approx(
        [findings.divergences[FACTS.name][one].kl.value for one in ("rtn-8", "rtn-4", "rtn-2")]
    )
    assert drawn[rise][0] == pytest.approx(0.005, rel=0.01)


def test_what_cannot_stand_on_a_logarithmic_axis_is_said(tmp_path: Path) -> None:
    store = small_results(tmp_path / "r")
    cell = store.cell("rtn-8", FACTS.name)
    assert cell is not None
    frame = pd.DataFrame(store.items(cell)).assign(kl=0.0)
    write_scores(store, "rtn-8", FACTS, frame, divergence=cell.divergence)
    figure = draw(gather(store))["curve-rtn"]
    words = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    assert "no place for 1 points that are not above 0" in words


def test_the_data_of_a_curve_hold_its_divergence(findings: Findings) -> None:
    row = cells(curve_data(findings, findings.groups[0]), FACTS.name)
    assert "KL 0.0783 [0.0664, 0.0903]" in row["rtn-4"]


def test_why_it_was_not_measured_stands_among_the_problems(tmp_path: Path) -> None:
    store = small_results(tmp_path / "r")
    cell = store.cell("rtn-2", FACTS.name)
    assert cell is not None
    frame = pd.DataFrame(store.items(cell)).drop(columns=["kl", "reverse_kl", "delta_p", "same_top"])
    write_scores(store, "rtn-2", FACTS, frame, not_diverged="its tokenizer is another")
    page = write(store, tmp_path / "out", ["md"])[0].read_text(encoding="utf-8")
    assert "| `kick_freebaseqa` | rtn-2 | divergence not measured: its tokenizer is another |" in page
    assert cells(divergences(gather(store))[0], "rtn-2")["KL(reference, candidate)"] == ("not measured",)


def test_results_without_divergence_have_no_word_of_it(tmp_path: Path) -> None:
    damage = {"dense": 0.0, "rtn-8": 0.0, "rtn-4": 0.1}
    store = make_results(tmp_path / "r", items=20, windows=4, tasks=["kick_squad"], damage=damage)
    paths = write(store, tmp_path / "out", ["md", "html", "latex"])
    for path in paths[:3]:
        assert "ivergence" not in path.read_text(encoding="utf-8"), path.name
    assert len(draw(gather(store))["curve-rtn"].axes) == 1


def test_several_folders_keep_it_under_their_names(findings: Findings) -> None:
    joined = merge([(Path("one"), findings), (Path("two"), findings)])
    assert set(joined.divergences[FACTS.name]) == {
        f"{folder}:{one}" for folder in ("one", "two") for one in KL if one.startswith("rtn")
    }

"""Figures: what is drawn for which results, and that each says what a reader must know."""

from pathlib import Path

import matplotlib
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from kick.printable import printable
from kick.reports.figures import gallery as figures
from kick.reports.figures import style
from kick.reports.figures.gallery import draw
from kick.reports.findings import Findings, gather
from kick.reports.tables.cost import cost
from kick.store import Store
from tests.results import TASKS, make_results, write_scores

SERIES = {"dense": 0.0, "magnitude-0.1": 0.02, "magnitude-0.5": 0.4, "rtn-8": 0.0, "rtn-4": 0.1}
KINDS = ["kick_freebaseqa", "kick_mmlu", "perplexity_wikitext2"]


def results(path: Path, damage: dict[str, float], tasks: list[str] = KINDS) -> Store:
    return make_results(path, items=30, windows=6, tasks=tasks, damage=damage)


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return gather(results(tmp_path_factory.mktemp("f") / "r", SERIES))


@pytest.fixture(scope="module")
def with_a_small_one(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """The same with another dense checkpoint, half as large."""
    store = results(tmp_path_factory.mktemp("s") / "r", SERIES | {"small": 0.2})
    record = store.checkpoint("small")
    assert record is not None
    assert record.description is not None
    half = record.description.model_copy(update={"parameters": 1000, "nonzero": 1000, "bytes_on_disk": 2000})
    store.write_checkpoint(record.model_copy(update={"description": half}))
    return gather(store)


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


def labels(axes: Axes) -> list[str]:
    return list(axes.get_legend_handles_labels()[1])


def test_every_figure_has_its_words(findings: Findings) -> None:
    drawn = draw(findings)
    assert list(drawn) == ["overview", "size-bytes", "size-nonzero", "flips", "curve-magnitude", "curve-rtn"]
    assert {name for name in drawn if not name.startswith("curve-")} <= set(figures.CAPTIONS)


def test_size_has_a_panel_a_family_and_a_perplexity_with_bits_on_the_axis_of_bytes(
    findings: Findings,
) -> None:
    figure = draw(findings)["size-bytes"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "factoid qa",
        "multiple choice",
        "perplexity_wikitext2",
    ]
    assert "chance" in labels(figure.axes[1])
    assert "chance" not in labels(figure.axes[0])
    assert "an ideal size that no file has" in words(figure)


def test_size_shrinks_to_the_right(findings: Findings) -> None:
    low, high = draw(findings)["size-bytes"].axes[0].get_xlim()
    assert low > high


def test_rounding_has_no_place_among_non_zero_parameters(findings: Findings) -> None:
    figure = draw(findings)["size-nonzero"]
    assert "magnitude" in labels(figure.axes[0])
    assert "rtn" not in labels(figure.axes[0])
    assert "Rounding removes no parameters" in words(figure)


def test_a_front_is_drawn_only_beside_a_checkpoint_of_no_series(
    findings: Findings, with_a_small_one: Findings
) -> None:
    assert "Pareto front" not in labels(draw(findings)["size-bytes"].axes[0])
    drawn = draw(with_a_small_one)
    assert {"Pareto front", "small"} <= set(labels(drawn["size-bytes"].axes[0]))
    assert (
        "size-bits" in drawn
    )  # of checkpoints that differ in parameters, bits are no other reading of bytes


def test_no_checkpoint_is_both_smaller_and_better_than_the_front(with_a_small_one: Findings) -> None:
    axes = draw(with_a_small_one)["size-bytes"].axes[0]
    front = next(line for line in axes.lines if line.get_label() == "Pareto front")
    steps = list(zip(front.get_xdata(), front.get_ydata(), strict=True))
    points = [
        (x, y)
        for line in axes.lines
        if line is not front and line.get_marker() not in ("None", "", None)
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]
    assert len(points) > 4
    for x, y in points:
        reached = max((height for size, height in steps if size <= x), default=float("-inf"))
        assert y <= reached


def test_the_noise_floor_is_a_band_where_it_was_measured(tmp_path: Path, findings: Findings) -> None:
    assert "noise floor" not in labels(draw(findings)["curve-rtn"].axes[0])
    assert "Noise floor: not measured" in words(draw(findings)["curve-rtn"])
    store = results(tmp_path / "r", SERIES, ["kick_freebaseqa"])
    cell = store.cell("dense", "kick_freebaseqa")
    assert cell is not None
    items = store.items(cell)
    items.loc[0, "em"] = 1 - items.loc[0, "em"]
    write_scores(store, "dense@noise", TASKS["kick_freebaseqa"], pd.DataFrame(items))
    drawn = draw(gather(store))
    assert all("noise floor" in labels(drawn[name].axes[0]) for name in ("curve-rtn", "size-bytes", "flips"))
    assert "Grey band: the widest noise floor" in words(drawn["curve-rtn"])


def test_the_floor_is_a_line_at_its_share_of_the_reference_and_chance_where_none_was_measured(
    tmp_path: Path, findings: Findings
) -> None:
    assert "floor" not in labels(draw(findings)["curve-rtn"].axes[0])
    store = results(tmp_path / "r", SERIES, ["kick_freebaseqa"])
    for checkpoint in ("dense", *SERIES):
        cell = store.cell(checkpoint, "kick_freebaseqa")
        if cell is not None:
            write_scores(store, checkpoint, cell.task, pd.DataFrame(store.items(cell)), floor=0.1)
    drawn = draw(gather(store))
    for name in ("curve-rtn", "size-bytes"):
        assert "floor" in labels(drawn[name].axes[0])
    reference = gather(store).entry(TASKS["kick_freebaseqa"], "dense").score
    assert reference is not None
    (line,) = [line for line in drawn["curve-rtn"].axes[0].lines if line.get_label() == "floor"]
    assert line.get_ydata()[0] == pytest.approx(100 * 0.1 / reference.value)


def test_flips_lie_on_or_above_the_line_where_every_flip_goes_one_way(findings: Findings) -> None:
    (axes,) = draw(findings)["flips"].axes
    points = [
        (x, y)
        for line in axes.lines
        if line.get_marker() not in ("None", "", None)
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]
    assert points
    assert all(y >= abs(x) - 1e-9 for x, y in points)


def test_a_large_grid_has_no_curve_a_series(findings: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MAX_PANELS", 1)
    assert not any(name.startswith("curve-") for name in draw(findings))


def test_low_rank_and_dropped_layers_are_drawn_on_axes_of_their_own(tmp_path: Path) -> None:
    damage = {
        "dense": 0.0,
        "low-rank-0.8": 0.1,
        "low-rank-0.5": 0.3,
        "layer-drop-1": 0.1,
        "layer-drop-2": 0.3,
    }
    drawn = draw(gather(results(tmp_path, damage)))
    for name, axis, ticks in (
        ("curve-low-rank", "parameters kept by low-rank factors, %", ["dense", "80", "50"]),
        ("curve-layer-drop", "decoder layers dropped", ["dense", "1", "2"]),
    ):
        axes = drawn[name].axes[0]
        assert axes.get_xlabel() == axis
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ticks
        places = list(axes.get_xticks())
        assert places == sorted(places)


def test_looks_differ_in_grey(findings: Findings) -> None:
    lines = [line for line in draw(findings)["curve-rtn"].axes[0].lines if "kick_" in str(line.get_label())]
    assert len({line.get_marker() for line in lines}) == len(lines)
    assert len({str(line.get_linestyle()) + str(line._dash_pattern) for line in lines}) == len(lines)  # type: ignore[attr-defined]
    assert matplotlib.colors.to_hex(lines[0].get_color()) != matplotlib.colors.to_hex(lines[1].get_color())


def test_cost_stands_beside_quality_with_ideal_sizes_marked(findings: Findings) -> None:
    rows = {row[0].lines[0]: row for row in cost(findings).rows}
    assert rows["dense"][2].lines == ("4 kB",)
    assert rows["rtn-4"][2].lines == ("2.52 kB *",)
    assert rows["rtn-4"][4].lines == ("×1.59",)
    assert [field.lines[0] for field in cost(findings).header[6:]] == [
        "factoid qa",
        "multiple choice",
        "perplexity_wikitext2",
    ]
    assert all("n = 30" in rows["rtn-4"][column].lines for column in (6, 7))


HIDDEN = "\ufeff_facts\ud800\x1b\u202e"


def test_no_text_of_a_figure_has_a_character_that_breaks_its_file(tmp_path: Path) -> None:
    task = TASKS["kick_freebaseqa"].model_copy(update={"name": HIDDEN})
    known = gather(results(tmp_path / "r", SERIES))
    old = known.tasks[0]
    group = known.groups[0].model_copy(update={"name": f"rtn{HIDDEN}"})
    findings = known.model_copy(
        update={
            "suite": HIDDEN,
            "tasks": (task, *known.tasks[1:]),
            "groups": (group, *known.groups[1:]),
            "entries": {task.name: known.entries[old.name]} | known.entries,
            "reach": {task.name: known.reach[old.name]} | known.reach,
        }
    )
    drawn = draw(findings)
    assert len(drawn) == 6
    for figure in drawn.values():
        assert style.render(figure, "pdf").startswith(b"%PDF")
        texts = [text.get_text() for text in figure.findobj(Text)]
        assert all(shown == printable(shown) for shown in texts)
    assert any("facts" in label for label in labels(drawn["curve-rtn"].axes[0]))

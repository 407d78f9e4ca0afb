"""Every figure of a report by name, with its caption."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from kick.reports.figures import divergence_panel
from kick.reports.figures.curves import curve, panels
from kick.reports.figures.heatmap import heatmap
from kick.reports.figures.quality_vs_size import MEASURES, quality_vs_size
from kick.reports.figures.scatter import flips_against_delta
from kick.reports.findings import Findings, Group
from kick.reports.published import Published, matching

# All curves together have at most this many panels; beyond it, tables and figures of sizes show the same.
MAX_PANELS = 24
SIZES = tuple(f"size-{measure}" for measure in MEASURES)
CAPTIONS = {
    "overview": "What each checkpoint keeps of each task.",
    "size-bytes": "What each checkpoint keeps, against the size of its weights.",
    "size-bits": "What each checkpoint keeps, against its effective bits per parameter.",
    "size-nonzero": "What each checkpoint keeps, against its non-zero parameters.",
    "flips": "Flips against delta: two checkpoints can score the same while one of them changed far more answers.",
}


def draw(findings: Findings, published: Sequence[Published] = ()) -> dict[str, Figure]:
    """Return `overview`, `size-<measure>`, `flips` and `curve-<series>`, as far as there is something to draw."""
    figures = {
        "overview": heatmap(findings),
        **{f"size-{measure}": quality_vs_size(findings, measure) for measure in MEASURES},
        "flips": flips_against_delta(findings),
    }
    drawn = {name: figure for name, figure in figures.items() if figure is not None}
    groups = findings.curves()
    if len(groups) * len(panels(findings)) <= MAX_PANELS:
        for group in groups:
            drawn[f"curve-{group.name}"] = curve(findings, group, matching(published, findings, group))
    return drawn


def curve_caption(findings: Findings, group: Group) -> str:
    """Return the caption of the curve of a series."""
    if divergence_panel.measured(findings, group.candidates):
        return f"Recovery, perplexity and divergence against the rate of {group.name}."
    return f"Recovery and perplexity against the rate of {group.name}."

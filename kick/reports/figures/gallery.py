"""Every figure of a report by name, with the words that stand under it."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from kick.reports.figures import divergence_panel as nats
from kick.reports.figures.curves import curve, panels
from kick.reports.figures.heatmap import heatmap
from kick.reports.figures.quality_vs_size import MEASURES, against
from kick.reports.figures.scatter import flips_against_delta
from kick.reports.findings import Findings, Group
from kick.reports.published import Published, matching

MAX_PANELS = (
    24  # of all curves; where there would be more, the tables and the figures of sizes stand for them
)
SIZES = tuple(f"size-{measure}" for measure in MEASURES)
CAPTIONS = {
    "overview": "What each checkpoint keeps of each task.",
    "size-bytes": "What each checkpoint keeps, against the size of its weights.",
    "size-bits": "What each checkpoint keeps, against its effective bits a parameter.",
    "size-nonzero": "What each checkpoint keeps, against its non-zero parameters.",
    "flips": "Flips against delta: of two checkpoints that score alike, one may have changed far more answers.",
}


def draw(findings: Findings, published: Sequence[Published] = ()) -> dict[str, Figure]:
    """`overview`, `size-<measure>`, `flips` and `curve-<series>`, as far as there is something to draw."""
    figures = {
        "overview": heatmap(findings),
        **{f"size-{measure}": against(findings, measure) for measure in MEASURES},
        "flips": flips_against_delta(findings),
    }
    found = {name: figure for name, figure in figures.items() if figure is not None}
    groups = findings.curves()
    if len(groups) * len(panels(findings)) <= MAX_PANELS:
        for group in groups:
            found[f"curve-{group.name}"] = curve(findings, group, matching(published, findings, group))
    return found


def curve_caption(findings: Findings, group: Group) -> str:
    """The words under the curve of a series."""
    if nats.measured(findings, group.candidates):
        return f"Recovery, perplexity and divergence against the rate of {group.name}."
    return f"Recovery and perplexity against the rate of {group.name}."

"""The distance of each candidate's next-token distributions from the reference's, beside its perplexity."""

import math
from collections.abc import Sequence

from kick import text
from kick.comparison.records import Diverged
from kick.reports.blocks import NOTHING, Field, Table, name, number, plain
from kick.reports.findings import Findings
from kick.types import Estimate, TaskInfo

TITLE = "Divergence from the reference"
NOTE = (
    "The candidate's probabilities of the next token against the reference's, over the whole vocabulary: on the tokens "
    "of a text's windows, and on those of a task's right answers. KL, in nats per token, is 0 if both agree, and shows "
    "a change before any answer flips. KL, equal first choice (the share of tokens for which both find the same one "
    "most probable) and change of p (the probability of the right token) are means over the items, with intervals by "
    "item; percentiles, RMS and correlation are over all tokens, and the perplexity of right answers has an interval "
    "that takes tokens as independent. Noise floor: the reference against itself in batches of another size; the "
    "windows of a text are scored one by one, and have none."
)
# Rows of a table.
MAX_CANDIDATES = 24
# Percentiles, one column per group.
_RANKS = (("1", "5", "10"), ("50", "90", "95"), ("99", "99.9"))


def divergences(findings: Findings) -> list[Table]:
    """Return one table per task and text on which divergence was measured, with one row per candidate."""
    return [_table(findings, task) for task in findings.tasks if findings.divergences.get(task.name)]


def _table(findings: Findings, task: TaskInfo) -> Table:
    windows = task.kind == "text"
    header = (
        plain("candidate"),
        number("n", "windows" if windows else "items"),
        number("KL(reference, candidate)", "nats per token"),
        number("noise floor"),
        number("KL(candidate, reference)"),
        number("perplexity", "ratio" if windows else "of the right answers, ratio"),
        number("equal first choice"),
        number("change of p", "points"),
        *(number(f"KL at {', '.join(ranks)} %", "of the tokens") for ranks in _RANKS),
        number("largest KL"),
        number("correlation", "of the losses"),
    )
    candidates, left_out = _candidates(findings, task)
    rows = tuple(
        (name(candidate), *_row(findings, task, candidate, len(header) - 1)) for candidate in candidates
    )
    title = f"{task.name}: divergence from {findings.reference}"
    note = f"Left out: {left_out} candidates that diverge less; see report.csv." if left_out else ""
    return Table(f"divergence-{task.name}", title, header, rows, note, sortable=True)


def _candidates(findings: Findings, task: TaskInfo) -> tuple[Sequence[str], int]:
    """Return the candidates of a table, and how many are left out because they diverge least."""
    candidates = findings.checkpoints[1:]
    measured = findings.divergences[task.name]
    if len(candidates) <= MAX_CANDIDATES:
        return candidates, 0
    worst = sorted(measured, key=lambda one: -measured[one].kl.value)[:MAX_CANDIDATES]
    return [one for one in candidates if one in worst], len(measured) - len(worst)


def _row(findings: Findings, task: TaskInfo, candidate: str, width: int) -> list[Field]:
    diverged = findings.diverged(task, candidate)
    if diverged is None:
        return [number(NOTHING), number("not measured"), *[number(NOTHING)] * (width - 2)]
    tokens = diverged.tokens
    percentiles = tokens.kl_percentiles
    correlation = tokens.nll_correlation
    return [
        number(str(diverged.kl.n), f"{tokens.tokens:,} tokens", sort=diverged.kl.n),
        number(text.divergence(diverged.kl), sort=diverged.kl.value),
        _noise(diverged),
        number(text.divergence(diverged.reverse_kl), sort=diverged.reverse_kl.value),
        _perplexity(findings, task, candidate, diverged),
        number(text.percent(diverged.same_top), sort=diverged.same_top.value),
        number(
            text.points(diverged.delta_p), f"RMS {100 * tokens.delta_p_rms:.2f}", sort=diverged.delta_p.value
        ),
        *(
            number(*(text.nats(percentiles[rank]) for rank in ranks), sort=percentiles[ranks[0]])
            for ranks in _RANKS
        ),
        number(text.nats(tokens.kl_max), sort=tokens.kl_max),
        number(NOTHING) if correlation is None else number(f"{correlation:.3f}", sort=correlation),
    ]


def _noise(diverged: Diverged) -> Field:
    if diverged.noise_kl is None:
        return number("not measured")
    same = (
        [] if diverged.noise_same_top is None else [f"first choice {text.percent(diverged.noise_same_top)}"]
    )
    return number(text.divergence(diverged.noise_kl), *same, sort=diverged.noise_kl.value)


def _perplexity(findings: Findings, task: TaskInfo, candidate: str, diverged: Diverged) -> Field:
    """Return the ratio to the reference's perplexity, on the windows of a text or on a task's right answers."""
    entry = findings.entry(task, candidate)
    comparison = entry.comparison
    if task.kind == "text":
        if comparison is None or comparison.ratio is None:
            return plain(NOTHING)
        return number(text.ratio(comparison.ratio), sort=comparison.ratio.value, outcome=entry.outcome)
    tokens = diverged.tokens
    middle, half = tokens.log_perplexity_ratio, 1.96 * tokens.log_perplexity_ratio_error
    value, low, high = (_exp(number) for number in (middle, middle - half, middle + half))
    ratio = Estimate(value=value, low=low, high=high, n=tokens.tokens, method="tokens taken as independent")
    return number(text.ratio(ratio), sort=ratio.value)


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf

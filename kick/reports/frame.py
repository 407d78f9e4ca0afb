"""The results as one tidy table: one row per checkpoint and task, one column per number.

It is the base of everything that leaves kick for another program: CSV, parquet, a notebook.
"""

import io
from typing import Any

import pandas as pd

from kick.comparison.records import Diverged
from kick.reports.findings import Entry, Findings
from kick.text import spreadsheet
from kick.types import Cell, CheckpointRecord, Estimate, TaskInfo


def tidy(findings: Findings) -> pd.DataFrame:
    """Return one row per checkpoint and task, those without a score included: `problem` says why there is none.

    `floor` is the score of the best answerer without knowledge, and `recovery_above_floor` is (candidate - floor) /
    (reference - floor); it is empty where `not_measurable` says why. `empty`, `repetitive` and `most_common` are shares
    of the answers; `objection` says if they forbid to call a score kept. `brier`, `calibration_error` and `entailed`
    are those of a candidate, with the paired difference from the reference under `..._delta`.

    Scores, deltas and losses are in the units of the metric (a share is 0..1, not percent). `recovery` is
    candidate / reference, and so is `perplexity_ratio`, which takes its place if less is better. Columns
    that end in `_low` and `_high` are 95 % intervals.
    """
    rows = []
    for task in findings.tasks:
        for checkpoint in findings.checkpoints:
            record = findings.records.get(checkpoint)
            rows.append(
                {"suite": findings.suite, "reference": findings.reference, "checkpoint": checkpoint}
                | _recipe(record)
                | {"task": task.name, "family": task.family, "metric": task.metric, "chance": task.chance}
                | _numbers(task, findings.entry(task, checkpoint))
                | _divergence(findings.diverged(task, checkpoint), findings.entry(task, checkpoint).cell)
                | _origin(record, findings.entry(task, checkpoint))
            )
    return pd.DataFrame(rows)


def _recipe(record: CheckpointRecord | None) -> dict[str, Any]:
    step = record.step if record else None
    measured = record.description if record else None
    return {
        "series": record.checkpoint.series if record else None,
        "method": step.method if step else None,
        "axis": step.axis if step else None,
        "rate": step.rate if step else None,
        "parameters": measured.parameters if measured else None,
        "nonzero": measured.nonzero if measured else None,
        "sparsity": measured.sparsity if measured else None,
        "bytes_on_disk": measured.bytes_on_disk if measured else None,
        "bits_per_weight": measured.bits_per_weight if measured else None,
    }


def _numbers(task: TaskInfo, entry: Entry) -> dict[str, Any]:
    compared = entry.comparison
    ratio = compared.ratio if compared else None
    flips = compared.flips if compared else None
    floor = compared.noise_floor if compared else None
    bits = compared.bits_per_byte if compared else None
    return {
        "n": entry.score.n if entry.score else None,
        **_estimate("score", entry.score),
        **_estimate("recovery", ratio if task.higher_is_better else None),
        "floor": entry.floor.score if entry.floor else None,
        "floor_answerer": entry.floor.answerer if entry.floor else None,
        **_estimate("recovery_above_floor", compared.recovery_above_floor if compared else None),
        "not_measurable": compared.not_measurable if compared else None,
        **_signs(entry),
        **_estimate("perplexity_ratio", None if task.higher_is_better else ratio),
        **_estimate("bits_per_byte_delta", bits.delta if bits else None),
        **_beside(entry),
        **_estimate("delta", compared.delta if compared else None),
        "verdict": entry.outcome,
        **_estimate("loss", entry.check.loss if entry.check else None),
        **_estimate("noise_floor", floor.delta if floor else None),
        "p_value": compared.p_value if compared else None,
        "p_holm": compared.p_holm if compared else None,
        "both_right": flips.both_right if flips else None,
        "lost": flips.lost if flips else None,
        "gained": flips.gained if flips else None,
        "both_wrong": flips.both_wrong if flips else None,
        "other_wrong": flips.other_wrong if flips else None,
        **_estimate("knowledge_loss", compared.knowledge_loss if compared else None),
        "skipped": len(entry.cell.skipped) if entry.cell else None,
        "problem": entry.problem,
    }


def _beside(entry: Entry) -> dict[str, Any]:
    """Return what is measured beside the score: calibration of choices, factuality of summaries."""
    compared = entry.comparison
    calibration = compared.calibration if compared else None
    both = {
        "brier": calibration.brier if calibration else None,
        "calibration_error": calibration.error if calibration else None,
        "entailed": compared.factuality if compared else None,
    }
    columns: dict[str, Any] = {}
    for name, pair in both.items():
        columns |= _estimate(name, pair.candidate if pair else None)
        columns |= _estimate(f"{name}_delta", pair.delta if pair else None)
    return columns


def _signs(entry: Entry) -> dict[str, Any]:
    signs = entry.cell.signs if entry.cell else None
    return {
        "empty": signs.empty if signs else None,
        "repetitive": signs.repetitive if signs else None,
        "most_common": signs.most_common_share if signs else None,
        "objection": entry.comparison.objection if entry.comparison else None,
        "bits_per_byte": entry.cell.scores.get("bits_per_byte") if entry.cell else None,
    }


def _divergence(diverged: Diverged | None, cell: Cell | None) -> dict[str, Any]:
    """Return nats per token; `token_...` is over all tokens, the rest are means over the items."""
    tokens = diverged.tokens if diverged else None
    ranks = ("1", "5", "10", "50", "90", "95", "99", "99.9")
    return {
        **_estimate("kl", diverged.kl if diverged else None),
        **_estimate("kl_noise_floor", diverged.noise_kl if diverged else None),
        **_estimate("reverse_kl", diverged.reverse_kl if diverged else None),
        **_estimate("delta_p", diverged.delta_p if diverged else None),
        **_estimate("same_top", diverged.same_top if diverged else None),
        "tokens": tokens.tokens if tokens else None,
        **{f"token_kl_p{rank}": tokens.kl_percentiles[rank] if tokens else None for rank in ranks},
        "token_kl_max": tokens.kl_max if tokens else None,
        "token_log_perplexity_ratio": tokens.log_perplexity_ratio if tokens else None,
        "token_log_perplexity_ratio_error": tokens.log_perplexity_ratio_error if tokens else None,
        "token_delta_p_rms": tokens.delta_p_rms if tokens else None,
        "token_nll_correlation": tokens.nll_correlation if tokens else None,
        "not_diverged": cell.not_diverged if cell else None,
    }


def _origin(record: CheckpointRecord | None, entry: Entry) -> dict[str, Any]:
    cell = entry.cell
    return {
        "fingerprint": record.fingerprint if record else None,
        "plan": cell.identity.plan.hash if cell else None,
        "key": cell.key if cell else None,
        "dtype": cell.identity.dtype if cell else None,
        "tier": cell.identity.tier if cell else None,
        "attention": cell.identity.attention if cell else None,
        "seconds": cell.seconds if cell else None,
        "finished": cell.finished if cell else None,
    }


def _estimate(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    return {
        name: estimate.value if estimate else None,
        f"{name}_low": estimate.low if estimate else None,
        f"{name}_high": estimate.high if estimate else None,
    }


def csv(frame: pd.DataFrame) -> str:
    """Return the table as CSV, with six significant digits; no spreadsheet takes its texts for formulas."""
    safe = frame.rename(columns=spreadsheet)
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column]):
            safe[column] = [spreadsheet(value) if isinstance(value, str) else value for value in safe[column]]
    return safe.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def parquet(frame: pd.DataFrame) -> bytes:
    """Return the table as a parquet file."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()

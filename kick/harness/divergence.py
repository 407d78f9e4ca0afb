"""The distance of a candidate's next-token distributions from its reference's, exactly and over the whole vocabulary.

An engine scores the tokens (`Engine.predict_tokens`): those of a text's windows, and the right answers of a task's
items. The statistics are those that llama.cpp prints for two models (its `perplexity --kl-divergence`).
"""

from collections.abc import Sequence

import numpy as np

from kick.engines.base import TokenScores, Values
from kick.types import Divergence

PERCENTILES = (99.9, 99.0, 95.0, 90.0, 50.0, 10.0, 5.0, 1.0)


def summarise(scores: Sequence[TokenScores], reference: str) -> Divergence:
    """Return statistics over all tokens; `reference` is the id of the checkpoint that is diverged from."""
    joined = {
        name: np.concatenate([getattr(score, name) for score in scores]).astype(np.float64)
        for name in ("nll", "reference_nll", "kl", "reverse_kl", "delta_p", "same_top")
    }
    n = len(joined["kl"])
    ratio = joined["nll"] - joined["reference_nll"]
    spread = np.std(joined["nll"]) * np.std(joined["reference_nll"])
    return Divergence(
        reference=reference,
        tokens=n,
        kl=float(joined["kl"].mean()),
        kl_error=float(joined["kl"].std(ddof=1) / np.sqrt(n)) if n > 1 else float("inf"),
        kl_max=float(joined["kl"].max()),
        kl_percentiles={f"{q:g}": float(np.percentile(joined["kl"], q)) for q in PERCENTILES},
        reverse_kl=float(joined["reverse_kl"].mean()),
        log_perplexity_ratio=float(ratio.mean()),
        log_perplexity_ratio_error=float(ratio.std(ddof=1) / np.sqrt(n)) if n > 1 else float("inf"),
        delta_p=float(joined["delta_p"].mean()),
        delta_p_rms=float(np.sqrt((joined["delta_p"] ** 2).mean())),
        same_top=float(joined["same_top"].mean()),
        nll_correlation=float(np.corrcoef(joined["nll"], joined["reference_nll"])[0, 1]) if spread else None,
    )


def columns(scores: Sequence[TokenScores]) -> dict[str, list[float]]:
    """Return means over the tokens of each continuation, as the columns of items."""
    names = ("kl", "reverse_kl", "delta_p", "same_top")
    return {name: [float(getattr(score, name).mean(dtype=np.float64)) for score in scores] for name in names}


def likelihoods(scores: Sequence[TokenScores]) -> dict[str, list[float]]:
    """Return the probability of each continuation by both models, 0..1, as the columns of items."""
    return {
        "answer_probability": [_probability(score.nll) for score in scores],
        "reference_answer_probability": [_probability(score.reference_nll) for score in scores],
    }


def _probability(nll: Values) -> float:
    return float(np.exp(-nll.sum(dtype=np.float64)))

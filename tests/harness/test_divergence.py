"""Statistics of divergence against their definitions."""

import numpy as np
import pytest

from kick.engines.base import TokenScores
from kick.harness.divergence import columns, summarise


def test_a_reference_does_not_diverge_from_itself() -> None:
    nll = np.random.default_rng(0).random(40).astype(np.float32)
    zero = np.zeros(40, np.float32)
    divergence = summarise([TokenScores(nll, nll, zero, zero, zero, zero + 1)], "dense")
    assert (divergence.reference, divergence.tokens) == ("dense", 40)
    assert (divergence.kl, divergence.log_perplexity_ratio, divergence.same_top) == (0, 0, 1)
    assert divergence.nll_correlation == pytest.approx(1)


def test_statistics_are_those_of_their_definitions() -> None:
    draw = np.random.default_rng(0)
    values = draw.random((6, 500)).astype(np.float32)
    halves = [TokenScores.of(values[:, :200]), TokenScores.of(values[:, 200:])]
    divergence = summarise(halves, "dense")
    nll, before, kl, reverse, delta, same = values.astype(np.float64)
    assert divergence.kl == pytest.approx(kl.mean())
    assert divergence.kl_max == pytest.approx(kl.max())
    assert divergence.kl_percentiles["99.9"] == pytest.approx(np.percentile(kl, 99.9))
    assert divergence.reverse_kl == pytest.approx(reverse.mean())
    covariance = np.cov(nll, before)
    error = np.sqrt((covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) / 500)
    assert divergence.log_perplexity_ratio == pytest.approx((nll - before).mean())
    assert divergence.log_perplexity_ratio_error == pytest.approx(error)
    assert divergence.delta_p_rms == pytest.approx(np.sqrt((delta**2).mean()))
    assert divergence.same_top == pytest.approx(same.mean())
    assert columns(halves)["kl"] == pytest.approx([kl[:200].mean(), kl[200:].mean()])

"""A million paired items: how long a comparison with bootstrap takes, and how much memory.

    python scripts/bench_comparison.py [--items N] [--resamples N]

Prints one line per kind of score: right or wrong, graded, graded in groups.
"""

import argparse
import resource
import time

import numpy as np

from kick.comparison.flips import gain_rate, kappa, loss_rate
from kick.comparison.matching import match
from kick.comparison.paired import difference_test
from kick.comparison.sample import PairedSample


def compare(sample: PairedSample, resamples: int) -> None:
    """Compute what `kick compare` does for one task."""
    estimates = (sample.reference_score, sample.candidate_score, sample.delta, sample.ratio)
    bootstrap = (sample.bootstrap("delta", resamples, 1), sample.bootstrap("ratio", resamples, 1))
    rates = (loss_rate(sample), gain_rate(sample), kappa(sample))
    assert all(estimates)
    assert all(bootstrap)
    difference_test(sample)
    match(sample, 0.05)
    assert len(rates) == 3


def main() -> None:
    """Time each part of a comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--resamples", type=int, default=2_000)
    options = parser.parse_args()
    n, generator = options.items, np.random.default_rng(0)
    right = (generator.random(n) < 0.65).astype(float)
    kept = np.where(generator.random(n) < 0.07, 1 - right, right)
    f1 = generator.random(n)
    spoiled = np.clip(f1 + generator.normal(-0.01, 0.1, n), 0, 1)
    groups = generator.integers(0, max(n // 5, 2), n)
    groups = np.unique(groups, return_inverse=True)[1]
    kinds = {
        "right or wrong": PairedSample(right, kept),
        "graded": PairedSample(f1, spoiled),
        "graded, in groups": PairedSample(f1, spoiled, groups),
    }
    for name, sample in kinds.items():
        wall, cpu = time.perf_counter(), time.process_time()
        compare(sample, options.resamples)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{name}: {n:,} items, {options.resamples:,} resamples: {time.perf_counter() - wall:.2f} s "
            f"({time.process_time() - cpu:.2f} s of CPU), peak {peak:,.0f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()

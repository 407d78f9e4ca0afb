"""Count in simulated runs how often the statistics of `kick compare` and `kick gate` are right.

    python scripts/simulate_statistics.py [RESULTS] [--trials N] [--bootstrap-trials N]

Runs are drawn from planted populations and, with RESULTS, from the response tables of that results folder, each taken
as the truth and drawn from with replacement. Prints three tables as Markdown: the coverage of the 95 % intervals, the
gate's answers to a candidate that is as good as its reference, and its answers to a planted loss - beside the unpaired
z-test, which compares two accuracies as if each model had been asked other items.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from kick.comparison import load_pairs
from kick.comparison.grid import candidate_ids, reference_id, task_names
from kick.comparison.matching import margin_tests
from kick.comparison.paired import loss_test
from kick.comparison.pairing import window_blocks
from kick.comparison.sample import PairedSample
from kick.comparison.statistics.multiplicity import adjust
from kick.errors import InputError
from kick.gating.rule import outcome_of
from kick.store import Store
from kick.types import Estimate, worst

MARGIN = ALPHA = 0.05
Draw = Callable[[np.random.Generator], PairedSample]


@dataclass(frozen=True)
class Population:
    """A population that runs are drawn from, and the truth that their intervals should cover."""

    name: str
    draw: Draw
    delta: float
    ratio: float


def binary(n: int, right: float, lost: float, gained: float) -> Population:
    """Independent items: `right` and the others are shares of the items, of the reference's."""

    def draw(generator: np.random.Generator) -> PairedSample:
        counts = generator.multinomial(n, [right - lost, lost, gained, 1 - right - gained])
        return PairedSample(np.repeat([1.0, 1, 0, 0], counts), np.repeat([1.0, 0, 1, 0], counts))

    name = f"right or wrong, n {n}, reference {right:g}, lost {lost:g}, gained {gained:g}"
    return Population(name, draw, gained - lost, (right + gained - lost) / right)


def grouped(groups: int, size: int, right: float, lost: float, gained: float) -> Population:
    """Items in groups of unequal size that share their difficulty and their damage."""

    def draw(generator: np.random.Generator) -> PairedSample:
        codes = np.repeat(np.arange(groups), generator.integers(size // 2, size + size // 2 + 1, groups))
        ability, damage = generator.uniform(0.4, 1.6, groups)[codes], generator.uniform(0, 2, groups)[codes]
        a = generator.random(len(codes)) < right * ability
        wrong = generator.random(len(codes)) < lost / right * damage
        learnt = generator.random(len(codes)) < gained / (1 - right)
        return PairedSample(a.astype(float), np.where(a, ~wrong, learnt).astype(float), codes)

    delta = gained - lost
    return Population(
        f"right or wrong, {groups} groups of about {size}", draw, delta, (right + delta) / right
    )


def graded(n: int) -> Population:
    """Token F1: half the items 1, some 0, the rest between; the candidate spoils 15 % and redraws 5 %."""

    def scores(generator: np.random.Generator) -> np.ndarray:
        return np.where(
            generator.random(n) < 0.5, 1.0, np.where(generator.random(n) < 0.6, 0.0, generator.random(n))
        )

    def draw(generator: np.random.Generator) -> PairedSample:
        a, fate = scores(generator), generator.random(n)
        b = np.where(fate < 0.15, a * generator.random(n), np.where(fate < 0.2, scores(generator), a))
        return PairedSample(a, b)

    return Population(f"graded, n {n}", draw, -0.075 * 0.6, 0.925)


def windows(n: int, cost: float = 0.03) -> Population:
    """Windows of a text; neighbours are correlated (0.3)."""

    def chain(generator: np.random.Generator, scale: float) -> np.ndarray:
        steps = generator.normal(0, scale, n)
        for index in range(1, n):
            steps[index] = 0.3 * steps[index - 1] + math.sqrt(1 - 0.3**2) * steps[index]
        return steps

    def draw(generator: np.random.Generator) -> PairedSample:
        a = 3 + chain(generator, 0.2)
        b = a + cost + chain(generator, 0.03)
        return PairedSample(
            a, b, window_blocks(n), np.full(n, 2047.0), perplexity=True, higher_is_better=False
        )

    return Population(f"perplexity, {n} windows", draw, math.exp(3 + cost) - math.exp(3), math.exp(cost))


def tables(results: Path, items: int) -> list[Population]:
    """The response tables of a results folder on which candidate and reference differ, as populations."""
    store = Store(results)
    reference = reference_id(store)
    populations = []
    for task in task_names(store):
        for candidate in candidate_ids(store, reference):
            try:
                whole = load_pairs(store, reference, candidate, task).sample
            except InputError as error:
                print(f"left out: {error}".splitlines()[0], file=sys.stderr)
                continue
            if whole.perplexity or np.array_equal(whole.a, whole.b) or whole.moments.mean_a == 0:
                continue
            m = whole.moments
            name = f"{task}, {candidate} (table of {whole.n})"
            populations.append(
                Population(name, resample(whole, items), m.mean_b - m.mean_a, m.mean_b / m.mean_a)
            )
    return populations


def resample(whole: PairedSample, items: int) -> Draw:
    """Runs of `items` items drawn from a table one by one; its groups are drawn with replacement, whole."""

    def draw(generator: np.random.Generator) -> PairedSample:
        if whole.groups is None:
            rows = generator.integers(0, whole.n, items)
            return PairedSample(whole.a[rows], whole.b[rows])
        members = [np.flatnonzero(whole.groups == code) for code in range(int(whole.groups.max()) + 1)]
        count = max(2, round(items * len(members) / whole.n))
        drawn = [members[index] for index in generator.integers(0, len(members), count)]
        codes = np.repeat(np.arange(count), [len(part) for part in drawn])
        rows = np.concatenate(drawn)
        return PairedSample(whole.a[rows], whole.b[rows], codes)

    return draw


def alike(population: Population) -> Population:
    """The population in which the candidate is as good as the reference: each item's sides are tossed up."""

    def draw(generator: np.random.Generator) -> PairedSample:
        sample = population.draw(generator)
        units = np.arange(sample.n) if sample.groups is None else sample.groups
        swap = (generator.random(int(units.max()) + 1) < 0.5)[units]
        return PairedSample(
            np.where(swap, sample.b, sample.a), np.where(swap, sample.a, sample.b), sample.groups
        )

    return Population(population.name, draw, 0.0, 1.0)


def coverage(populations: Sequence[Population], trials: int, resamples: int, seed: int) -> None:
    """Print how often the intervals cover the truth."""
    method = f"BCa, {resamples} resamples" if resamples else "analytic"
    print(f"\n| population ({method}, {trials} runs) | delta covered | ratio covered |\n|---|---|---|")
    for population in populations:
        generator = np.random.default_rng(seed)
        hits = np.zeros(2)
        for trial in range(trials):
            sample = population.draw(generator)
            if resamples:
                pair = (
                    sample.bootstrap("delta", resamples, trial),
                    sample.bootstrap("ratio", resamples, trial),
                )
            else:
                pair = sample.delta, sample.ratio
            hits += [covers(pair[0], population.delta), covers(pair[1], population.ratio)]
        print(f"| {population.name} | {hits[0] / trials:.1%} | {hits[1] / trials:.1%} |", flush=True)


def covers(estimate: Estimate | None, truth: float) -> bool:
    """A ratio that does not exist (reference 0) claims nothing, and so nothing wrong."""
    return estimate is None or estimate.low - 1e-9 <= truth <= estimate.high + 1e-9


def answers(title: str, gates: Sequence[tuple[str, Sequence[Population]]], trials: int, seed: int) -> None:
    """Print how often the gate gives each answer."""
    print(f"\n| {title} ({trials} runs) | pass | inconclusive | regression | unpaired z: regression |")
    print("|---|---|---|---|---|")
    for name, populations in gates:
        generator = np.random.default_rng(seed)
        counts = {"pass": 0, "inconclusive": 0, "regression": 0}
        unpaired = 0
        for _ in range(trials):
            samples = [population.draw(generator) for population in populations]
            losses = adjust([loss_test(sample) for sample in samples], "holm")
            within = [margin_tests(sample, ratio=MARGIN)[0] for sample in samples]
            outcomes = [outcome_of(*p_values, ALPHA) for p_values in zip(within, losses, strict=True)]
            counts[worst(outcomes)] += 1
            unpaired += min(adjust([z_test(sample) for sample in samples], "holm")) <= ALPHA
        shares = " | ".join(f"{count / trials:.1%}" for count in counts.values())
        print(f"| {name} | {shares} | {unpaired / trials:.1%} |", flush=True)


def z_test(sample: PairedSample) -> float:
    """One-sided p-value of the test for two independent samples."""
    variance = sample.a.var() / sample.n + sample.b.var() / sample.n
    if variance == 0:
        return 1.0
    return float(stats.norm.sf((sample.a.mean() - sample.b.mean()) / math.sqrt(variance)))


def main() -> None:
    """Simulate planted populations and, if given, those of a results folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", nargs="?", type=Path, help="a results folder to draw from as well")
    parser.add_argument("--items", type=int, default=300, help="items of a run drawn from RESULTS")
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--bootstrap-trials", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    planted = [
        binary(100, 0.65, 0.065, 0.035),
        binary(1000, 0.65, 0.065, 0.035),
        binary(200, 0.97, 0.02, 0.01),
        binary(200, 0.6, 0.01, 0.01),
        binary(30, 0.3, 0.1, 0.03),
        grouped(60, 8, 0.6, 0.08, 0.03),
        grouped(12, 20, 0.6, 0.08, 0.03),
        graded(200),
        graded(1000),
        windows(20),
        windows(166),
    ]
    real = tables(options.results, options.items) if options.results else []
    coverage([*planted, *real], options.trials, 0, options.seed)
    coverage([planted[1], planted[5], planted[7], planted[10]], options.bootstrap_trials, 1000, options.seed)
    even = binary(1000, 0.65, 0.05, 0.05)
    gates = [
        ("1 task, n 1000, 10 % flip", [even]),
        ("5 tasks, n 1000, 10 % flip", [even] * 5),
        ("5 tasks, n 200, 30 % flip", [binary(200, 0.5, 0.15, 0.15)] * 5),
        ("3 tasks, 60 groups of about 8", [alike(grouped(60, 8, 0.6, 0.05, 0.05))] * 3),
        ("3 graded tasks, n 200", [alike(graded(200))] * 3),
        *((f"{population.name}, n {options.items}", [alike(population)]) for population in real),
    ]
    answers("a candidate as good as its reference", gates, options.trials, options.seed)
    gates = [
        ("3 points lost, n 1000, 10 % flip", [binary(1000, 0.6, 0.065, 0.035)]),
        ("the same, one task of five", [binary(1000, 0.6, 0.065, 0.035), *[even] * 4]),
        ("3 points lost, n 2000, 20 % flip", [binary(2000, 0.6, 0.115, 0.085)]),
        ("3 points lost, n 300, 10 % flip", [binary(300, 0.6, 0.065, 0.035)]),
        ("1 point lost, n 4000, 10 % flip", [binary(4000, 0.6, 0.055, 0.045)]),
    ]
    answers("a planted loss", gates, options.trials, options.seed)


if __name__ == "__main__":
    main()

"""Attack the statistics where an audit found that they claimed too much.

    python scripts/attack_statistics.py [--quick] [--only NAME ...] [--seed N]

Every setting of the audit is drawn many times from a population in which the answer is known. Each row gives the
figure of the audit, the figure now and the nominal one. Prints Markdown. The items to a verdict are counted by
scripts/simulate_sequential.py.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from kick.comparison.families import TaskMean, TaskMoments
from kick.comparison.matching import LEVEL, margin_tests
from kick.comparison.paired import difference_test, loss_test, noise_bound
from kick.comparison.pairing import window_blocks
from kick.comparison.sample import PairedSample
from kick.comparison.statistics.combined import Spread
from kick.comparison.statistics.multiplicity import adjust
from kick.comparison.statistics.power import plan_binary
from kick.comparison.statistics.sequential import (
    bets_beyond,
    bets_within,
    log_evidence_path,
    log_evidence_skewed,
)
from kick.gating.rule import outcome_of
from kick.types import Outcome

MARGIN, TOLERATED = 0.05, 0.025
Generator = np.random.Generator


@dataclass(frozen=True)
class Row:
    """One figure: the audit's, today's, and what it should be at most or at least."""

    setting: str
    old: str
    new: float
    nominal: str
    note: str = ""


# --- A1: graded margins ----------------------------------------------------------------------------------------


def f1(generator: Generator, n: int) -> np.ndarray:
    """Token F1: half of the items 1, some 0, the others between."""
    partial = np.where(generator.random(n) < 0.4, 0.0, generator.random(n))
    return np.where(generator.random(n) < 0.5, 1.0, partial)


def rouge(generator: Generator, n: int) -> np.ndarray:
    """ROUGE-L: few items score high."""
    return generator.beta(6, 12, n)


def graded(generator: Generator, trials: int) -> Iterator[Row]:
    """False passes at the margin where the loss sits in few items, and the power that their mending costs."""
    old = {100: "11-13 %", 300: "9-11 %", 1000: "6-7 %"}
    for name, scores in (("F1", f1), ("ROUGE", rouge)):
        for n in (100, 300, 1000):
            for share in (0.05, 0.1):

                def wrong(n: int = n, share: float = share, scores: Callable = scores) -> bool:
                    a = scores(generator, n)
                    b = np.where(generator.random(n) < share, a * (1 - MARGIN / share), a)
                    return margin_tests(PairedSample(a, b), ratio=MARGIN)[0] <= LEVEL

                label = f"{name}, n {n}, loss in {share:.0%} of the items: false pass at the margin"
                yield Row(label, old[n], rate(wrong, trials), "<= 5 %")
    for n in (100, 300, 1000):
        passes = {"t": 0, "now": 0}
        for _ in range(trials):
            a = f1(generator, n)
            b = np.where(generator.random(n) < 0.1, generator.permutation(a), a)
            passes["now"] += margin_tests(PairedSample(a, b), ratio=MARGIN)[0] <= LEVEL
            passes["t"] += stats.ttest_1samp(b - (1 - MARGIN) * a, 0, alternative="greater").pvalue <= LEVEL
        yield Row(
            f"F1, n {n}, 10 % of the items redrawn, no loss: pass (power; old: t test)",
            f"{passes['t'] / trials:.1%}",
            passes["now"] / trials,
            "high",
        )


# --- A2: families ----------------------------------------------------------------------------------------------


def counted(generator: Generator, n: int, right: float, lost: float, gained: float) -> PairedSample:
    """Right-or-wrong items with these shares."""
    counts = generator.multinomial(n, [right - lost, lost, gained, 1 - right - gained])
    return PairedSample(np.repeat([1.0, 1, 0, 0], counts), np.repeat([1.0, 0, 1, 0], counts))


def as_task(sample: PairedSample) -> TaskMoments:
    """A task whose items are no longer at hand."""
    spread = Spread.of(sample.a, sample.b, sample.n, sample.pseudo_item, strata=False)
    return TaskMoments("task", "dense", "small", True, sample.moments, spread)


def families(generator: Generator, trials: int) -> Iterator[Row]:
    """Means over several tasks."""
    settings = [
        ("50 / 300 / 2,000, 3 % lost in the smallest task", (50, 300, 2000), (0.03, 0, 0), "72.5 %"),
        ("50 / 300 / 2,000, 2 % lost in each", (50, 300, 2000), (0.02, 0.02, 0.02), "72.5 %"),
        ("3 x 100, 1 % lost in each", (100, 100, 100), (0.01, 0.01, 0.01), "79 %"),
        ("5 x 1,000, 5 % lost in each", (1000,) * 5, (0.05,) * 5, ""),
    ]
    for name, sizes, losses, old in settings:

        def covered(sizes: Sequence[int] = sizes, losses: Sequence[float] = losses) -> bool:
            tasks = [
                as_task(counted(generator, n, 0.8, lost, 0)) for n, lost in zip(sizes, losses, strict=True)
            ]
            low, high = TaskMean(tasks).difference_interval()
            return low <= -sum(losses) / len(losses) <= high

        yield Row(f"mean of {name}: coverage", old, rate(covered, trials), ">= 95 %")
    for name, sizes, losses in (
        ("3 x 100", (100, 100, 100), (0.04, 0.04, 0.04)),
        ("50 / 300 / 2,000, all lost in the smallest", (50, 300, 2000), (0.12, 0, 0)),
    ):

        def wrong(sizes: Sequence[int] = sizes, losses: Sequence[float] = losses) -> bool:
            tasks = [
                as_task(counted(generator, n, 0.8, lost, 0)) for n, lost in zip(sizes, losses, strict=True)
            ]
            return margin_tests(TaskMean(tasks), ratio=MARGIN)[0] <= LEVEL

        yield Row(f"mean of {name}: false pass at the margin", "", rate(wrong, trials), "<= 5 %")
    ten = TaskMean([as_task(PairedSample(np.ones(10), np.ones(10)))])
    yield Row(
        "ten items of which none flipped: p of a match",
        "p = .007",
        margin_tests(ten, ratio=MARGIN)[0],
        "not small",
    )


# --- A3: perplexity --------------------------------------------------------------------------------------------


def text(generator: Generator, rises: np.ndarray) -> PairedSample:
    """Windows of a text with these rises of the loss, in nats per token."""
    n = len(rises)
    a = generator.normal(3, 0.2, n)
    return PairedSample(
        a, a + rises, window_blocks(n), np.full(n, 2047.0), perplexity=True, higher_is_better=False
    )


def skewed(generator: Generator, kind: str, n: int) -> np.ndarray:
    """Rises of windows with a mean of 1."""
    if kind == "normal":
        return 1 + generator.normal(0, 0.6, n)
    if kind == "exponential":
        return generator.exponential(size=n)
    if kind == "one window of 20":
        return (generator.random(n) < 0.05) / 0.05 + generator.normal(0, 0.3, n)
    sigma = float(kind.removeprefix("lognormal "))
    return np.exp(sigma * generator.normal(size=n) - sigma**2 / 2)


def perplexity(generator: Generator, trials: int) -> Iterator[Row]:
    """Windows with skewed rises."""
    for kind in ("normal", "exponential", "lognormal 1", "lognormal 1.5", "one window of 20"):
        for n in (20, 60, 166):
            covers = wrong = disagree = 0
            for _ in range(trials):
                sample = text(generator, math.log(1 + MARGIN) * skewed(generator, kind, n))
                ratio, delta = sample.ratio, sample.delta
                assert ratio is not None
                covers += ratio.low <= 1 + MARGIN <= ratio.high
                wrong += margin_tests(sample, ratio=MARGIN)[0] <= LEVEL
                disagree += (ratio.low > 1, ratio.high < 1) != (delta.low > 0, delta.high < 0)
            note = (
                "a window that is not in the text is not seen" if kind.startswith("one") and n < 100 else ""
            )
            old = ("", "") if kind == "normal" else ("82-93 %", "10-24 %")
            yield Row(f"{kind}, {n} windows: coverage", old[0], covers / trials, ">= 95 %", note)
            yield Row(
                f"{kind}, {n} windows: false pass at the margin", old[1], wrong / trials, "<= 5 %", note
            )
            yield Row(f"{kind}, {n} windows: delta and ratio disagree", "10-19 %", disagree / trials, "0 %")
    four = margin_tests(text(generator, np.full(4, 0.001)), ratio=MARGIN)[0]
    yield Row("four windows: p of a match", "passes", four, "cannot tell")
    same = text(generator, np.zeros(60)).ratio
    assert same is not None
    yield Row("60 identical windows: upper end of the ratio", "1.000", same.high, "> 1", "")


# --- A4: planning ----------------------------------------------------------------------------------------------


def planning(generator: Generator, trials: int) -> Iterator[Row]:
    """The power of a match at the number of items that was planned."""
    for flips in (0.01, 0.02, 0.08, 0.25):
        shares = (0.65 - flips / 2, flips / 2, flips / 2, 0.35 - flips / 2)
        n = plan_binary(shares, MARGIN)
        assert n is not None
        hits = 0
        for _ in range(trials):
            sample = counted(generator, n, 0.65, flips / 2, flips / 2)
            hits += margin_tests(sample, ratio=MARGIN)[0] <= LEVEL
        yield Row(
            f"{flips:.0%} flip, no loss: power at the {n:,} items planned", "57-100 %", hits / trials, "80 %"
        )


# --- A5: many candidates, A11: a loss inside the margin ----------------------------------------------------------


def judged(samples: Sequence[PairedSample]) -> list[Outcome]:
    """Return the outcomes of some checks that are judged together, as `kick gate` judges them."""
    beyond = [max(margin_tests(sample, ratio=TOLERATED)[1], loss_test(sample)) for sample in samples]
    within = [margin_tests(sample, ratio=MARGIN)[0] for sample in samples]
    return [
        outcome_of(p_within, p_loss, LEVEL)
        for p_within, p_loss in zip(within, adjust(beyond, "holm"), strict=True)
    ]


def many_candidates(generator: Generator, trials: int) -> Iterator[Row]:
    """Exit code 1 of a folder in which every candidate equals the reference."""
    for candidates, old in ((5, "16 %"), (15, "41 %"), (50, "82 %")):

        def wrong(candidates: int = candidates) -> bool:
            samples = [counted(generator, 300, 0.65, 0.04, 0.04) for _ in range(candidates)]
            return "regression" in judged(samples)

        yield Row(f"{candidates} candidates like the reference: exit 1", old, rate(wrong, trials), "<= 5 %")


def zones(generator: Generator, trials: int) -> Iterator[Row]:
    """Candidates that lose less than the margin, and one that loses more."""
    settings = [
        ("8 % flip, 1 % lost", 0.0065, 0.08, "0-22 %", "<= 5 %"),
        ("8 % flip, 2.5 % lost (as tolerated)", 0.01625, 0.08, "", "<= 5 %"),
        ("8 % flip, 3 % lost", 0.0195, 0.08, "up to 59 %", "between the limits: any"),
        ("4-bit-like: 8 % flip, 1 point lost", 0.01, 0.08, "25 % (n 1,000)", "<= 5 %"),
        ("3-bit-like: 25 % flip, 8 points lost", 0.08, 0.25, "", "high"),
    ]
    for name, points, flips, old, nominal in settings:
        for n in (300, 1000, 3000):

            def regression(n: int = n, points: float = points, flips: float = flips) -> bool:
                sample = counted(generator, n, 0.65, (flips + points) / 2, (flips - points) / 2)
                return judged([sample]) == ["regression"]

            yield Row(f"{name}, n {n:,}: called a regression", old, rate(regression, trials), nominal)


# --- A6: groups ------------------------------------------------------------------------------------------------


def grouping(generator: Generator, trials: int) -> Iterator[Row]:
    """Fixed categories, and damage that grows with the size of a group."""
    subjects = np.repeat(np.arange(57), 20)
    damage = np.random.default_rng(5).uniform(0, 0.16, 57)[subjects]
    widths = {"cluster": 0.0, "strata": 0.0}
    covers = 0
    for _ in range(trials):
        a = (generator.random(len(subjects)) < 0.65).astype(float)
        b = np.where(generator.random(len(subjects)) < damage, 0.0, a)
        strata = PairedSample(a, b, strata=subjects).delta
        cluster = PairedSample(a, b, subjects).delta
        covers += strata.low <= -0.65 * float(damage.mean()) <= strata.high
        widths["strata"] += strata.high - strata.low
        widths["cluster"] += cluster.high - cluster.low
    yield Row("57 fixed subjects as strata: coverage", "", covers / trials, ">= 95 %")
    ratio = (widths["cluster"] / widths["strata"]) ** 2
    yield Row("items that clustering by subject costs, times", "1.05-39", ratio, "1 (strata)")
    for sigma in (0.3, 0.7):
        for groups in (30, 60):
            covers = noted = wrong_unnoted = 0
            sizes = np.maximum(
                1, np.round(10 * np.exp(sigma * generator.normal(size=200_000) - sigma**2 / 2))
            )
            loss = np.minimum(0.05 * sizes / 10, 0.6)
            truth = -0.7 * float((sizes * loss).sum() / sizes.sum())
            for _ in range(trials):
                drawn = generator.integers(0, len(sizes), groups)
                size = sizes[drawn].astype(np.int64)
                codes = np.repeat(np.arange(groups), size)
                a = (generator.random(len(codes)) < 0.7).astype(float)
                b = np.where(generator.random(len(codes)) < loss[drawn][codes], 0.0, a)
                sample = PairedSample(a, b, codes)
                covered = sample.delta.low <= truth <= sample.delta.high
                covers += covered
                noted += sample.size_related
                wrong_unnoted += not covered and not sample.size_related
            label = f"damage grows with the size of {groups} groups (spread {sigma})"
            yield Row(
                f"{label}: coverage",
                "79-90 %",
                covers / trials,
                "95 %",
                f"caveat in {noted / trials:.0%} of the runs",
            )
            yield Row(f"{label}: not covered and no caveat", "", wrong_unnoted / trials, "<= 5 %")


# --- A7: small p-values ----------------------------------------------------------------------------------------


def small_p_values(generator: Generator, trials: int) -> Iterator[Row]:
    """p-values where the evidence is strong, and where there is none."""
    broken = text(generator, generator.normal(4, 0.5, 60))
    yield Row("x 55 perplexity, 8 blocks: p", "0.0078", float(difference_test(broken)[0] or 0), "small")
    a = generator.beta(4, 2, 2000)
    p_value = difference_test(PairedSample(a, a * generator.uniform(0.2, 1, 2000)))[0]
    yield Row("graded, n 2,000, 40 % lost: p", "0.0001", float(p_value or 0), "small")
    for name, n, groups in (("graded, n 200", 200, None), ("graded, 12 groups", 240, 12)):
        codes = None if groups is None else np.repeat(np.arange(groups), n // groups)

        def wrong(n: int = n, codes: np.ndarray | None = codes) -> bool:
            a, b = f1(generator, n), f1(generator, n)
            return float(difference_test(PairedSample(a, b, codes))[0] or 0) <= LEVEL

        yield Row(f"{name}, no difference: p <= .05", "", rate(wrong, min(trials, 1000)), "<= 5 %")


# --- A8: matching rates ----------------------------------------------------------------------------------------


def matching_rates(generator: Generator, trials: int) -> Iterator[Row]:
    """The first rate that is shown not to match, if all are at the margin."""
    for rates, old in ((5, "16 %"), (10, "31 %")):

        def wrong(rates: int = rates) -> bool:
            tests = [
                margin_tests(counted(generator, 1000, 0.6, 0.06, 0.03), ratio=MARGIN)[1] for _ in range(rates)
            ]
            return min(adjust(tests, "holm")) <= LEVEL

        label = f"{rates} rates, each at the margin: shown not to match beyond"
        yield Row(label, old, rate(wrong, trials), "<= 5 %")


# --- A10: noise floor ------------------------------------------------------------------------------------------


def noise(generator: Generator, trials: int) -> Iterator[Row]:
    """The share of fresh A/A runs that exceed the bound."""
    for n, flips in ((200, 0.01), (1000, 0.01), (1000, 0.05)):
        realised = bound = 0
        for _ in range(trials):
            first, second = (counted(generator, n, 0.6, flips / 2, flips / 2) for _ in range(2))
            fresh = abs(float((second.b - second.a).mean()))
            realised += fresh > abs(float((first.b - first.a).mean()))
            bound += fresh > noise_bound(first)
        yield Row(
            f"n {n:,}, {flips:.0%} flip: a fresh A/A exceeds the floor",
            "37-48 %",
            bound / trials,
            "<= 5 %",
            f"one realised delta: {realised / trials:.0%} here",
        )


# --- B: evidence at every look ---------------------------------------------------------------------------------


def every_look(generator: Generator, trials: int) -> Iterator[Row]:
    """Looks after every item, beside the same looks with a fixed-sample test."""
    for flips in (0.035, 0.08, 0.25):
        gained = (flips - 0.0325) / 2
        a, b = pairs(generator, (trials, 2000), 0.65, gained + 0.0325, gained)
        within = log_evidence_path(bets_within(a, b, ratio=MARGIN))
        yield Row(f"{flips:.1%} flip, loss at the margin: ever passes", "7-11 %", ever(within), "<= 5 %")
        beyond = log_evidence_path(bets_beyond(a, b, ratio=MARGIN))
        yield Row(f"{flips:.1%} flip, loss as tolerated: ever a regression", "8.4 %", ever(beyond), "<= 5 %")
        order = np.argsort(generator.random((trials, 1000)), axis=1)
        counts = [round(1000 * share) for share in (0.65 - gained - 0.0325, gained + 0.0325, gained)]
        counts.append(1000 - sum(counts))
        whole = (np.repeat([1.0, 1, 0, 0], counts)[order], np.repeat([1.0, 0, 1, 0], counts)[order])
        margin = 1 - float(whole[1][0].sum() / whole[0][0].sum())
        finite = log_evidence_path(bets_within(*whole, ratio=margin), 1000)[:, :-1]
        yield Row(
            f"{flips:.1%} flip, full run of 1,000 at the margin: ever passes", "", ever(finite), "<= 5 %"
        )
    for kind in ("normal", "exponential", "lognormal 1", "lognormal 1.5", "one window of 20"):
        rises = (
            np.array([skewed(generator, kind, 480) for _ in range(trials)])
            .reshape(trials, 60, 8)
            .mean(axis=2)
        )
        path = log_evidence_skewed(1 - rises)[:, 7:]
        yield Row(f"perplexity, {kind}, 8 to 60 blocks of 8 windows: ever passes", "", ever(path), "<= 5 %")


def pairs(
    generator: Generator, shape: tuple[int, ...], right: float, lost: float, gained: float
) -> tuple[np.ndarray, np.ndarray]:
    """Right-or-wrong scores of independent items."""
    u = generator.random(shape, dtype=np.float32)
    a = u < right
    b = (u < right - lost) | ((u >= right) & (u < right + gained))
    return a.astype(np.float64), b.astype(np.float64)


def ever(paths: np.ndarray) -> float:
    """Return the share of runs in which evidence was ever strong enough."""
    return float((paths >= math.log(1 / LEVEL)).any(axis=1).mean())


# --- running ---------------------------------------------------------------------------------------------------


def rate(happens: Callable[[], bool], trials: int) -> float:
    """Return how often something happens."""
    return sum(happens() for _ in range(trials)) / trials


ATTACKS: dict[str, tuple[str, Callable[[Generator, int], Iterator[Row]], int]] = {
    "graded": ("A1. Graded margins", graded, 2000),
    "families": ("A2. Means over tasks", families, 2000),
    "perplexity": ("A3. Perplexity", perplexity, 1000),
    "planning": ("A4. Planning", planning, 4000),
    "candidates": ("A5. Many candidates", many_candidates, 1000),
    "zones": ("A11. A loss inside the margin", zones, 2000),
    "grouping": ("A6. Strata and clusters", grouping, 2000),
    "p-values": ("A7. Small p-values", small_p_values, 1000),
    "rates": ("A8. Matching rates", matching_rates, 2000),
    "noise": ("A10. Noise floor", noise, 4000),
    "looks": ("B. Evidence at every look", every_look, 2000),
}


def main() -> None:
    """Run the attacks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs")
    parser.add_argument("--only", nargs="+", choices=[*ATTACKS], help="attacks to run; all when left out")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chosen = options.only or [*ATTACKS]
    for name, (title, attack, trials) in ATTACKS.items():
        if name not in chosen:
            continue
        trials = trials // 10 if options.quick else trials
        print(
            f"\n## {title} ({trials} runs)\n\n| setting | audit | now | nominal | note |\n|---|---|---|---|---|"
        )
        for row in attack(np.random.default_rng(options.seed), trials):
            share = "%" in row.nominal or row.nominal in ("high", "between the limits: any")
            figure = f"{row.new:.1%}" if share else f"{row.new:.3g}"
            print(f"| {row.setting} | {row.old} | {figure} | {row.nominal} | {row.note} |", flush=True)


if __name__ == "__main__":
    main()

"""Count the items to a verdict in simulated runs, by evidence at every look and by what one would do without it.

    python scripts/simulate_sequential.py [--runs N] [--seed N] [--results DIR]

Rules: the bets of `kick check`, after each item and in its blocks; group-sequential tests (Pocock, O'Brien and Fleming)
under a cap that is known beforehand; the sequential gate of evalsig 0.1.2, an asymptotic confidence sequence; and one
look at the items that a blind planner takes, with a paired and with an unpaired test. First come the errors where the
truth is exactly at a limit, then items and verdicts. With --results, the early warning of that folder's choice tasks.
Prints Markdown.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from scipy import optimize, stats

from kick.comparison.grid import candidate_ids, reference_id, task_names
from kick.comparison.pairing import load_pairs
from kick.comparison.statistics.binary import PairedTable, ratio_variance
from kick.comparison.statistics.sequential import bets_beyond, bets_within, log_evidence_path
from kick.draws import draw_order
from kick.execution.check_session import TaskState
from kick.gating.early_warning import right_probabilities, warning_path
from kick.store import Store

MARGIN, TOLERATED, LEVEL = 0.05, 0.025, 0.05
RIGHT = 0.65
CAP, BENCHMARK = 5_000, 2_000
# Of so many items a loss of 5 % or 2.5 % is a whole number.
EXACT_BENCHMARK = 4_000
TASKS = (1, 5, 20)
BLIND_FLIPS = 0.10
LOOKS = 5
Generator = np.random.Generator
Array = np.ndarray


@dataclass(frozen=True)
class Candidate:
    """A kind of compressed model: shares of the items, of which the reference gets 65 % right."""

    name: str
    lost: float
    gained: float


CANDIDATES = (
    Candidate("copy", 0.0, 0.0),
    Candidate("8-bit-like: 2 % flip, no loss", 0.01, 0.01),
    Candidate("4-bit-like: 8 % flip, 1 point", 0.045, 0.035),
    Candidate("3-bit-like: 25 % flip, 8 points", 0.165, 0.085),
    Candidate("broken: 50 % flip, 40 points", 0.45, 0.05),
)


@dataclass(frozen=True)
class Answers:
    """Scores of reference and candidate, (runs, items) each, in the order in which they are scored.

    `total` is the number of items of the benchmark, of which these are all; None: there are as many as one likes.
    """

    a: Array
    b: Array
    total: int | None

    @cached_property
    def evidence(self) -> tuple[Array, Array]:
        """The log e-values (runs, items) of a pass and of a regression after each item."""
        return (
            log_evidence_path(bets_within(self.a, self.b, ratio=MARGIN), self.total),
            log_evidence_path(bets_beyond(self.a, self.b, ratio=TOLERATED), self.total),
        )


def answers(generator: Generator, candidate: Candidate, runs: int, total: int | None) -> Answers:
    """Draw runs of one task: `CAP` items of infinitely many, or a benchmark with exactly these shares."""
    shares = [RIGHT - candidate.lost, candidate.lost, candidate.gained]
    if total is None:
        u = generator.random((runs, CAP), dtype=np.float32)
        kinds = np.searchsorted(np.cumsum(shares), u, side="right")
    else:
        counts = [round(total * share) for share in shares]
        listed = np.repeat([0, 1, 2, 3], [*counts, total - sum(counts)])
        kinds = listed[np.argsort(generator.random((runs, total)), axis=1)]
    return Answers(np.take([1.0, 1, 0, 0], kinds), np.take([1.0, 0, 1, 0], kinds), total)


@dataclass(frozen=True)
class Stops:
    """Items (runs,) after which a rule shows a pass, and those after which it shows a regression; infinity: never."""

    passed: Array
    lost: Array
    cap: int


# --- rules: each answers for one task, with a level of its own for regressions ------------------------------------


def bets(data: Answers, tasks: int) -> Stops:
    """Return the stops of the bets, looked at after each item."""
    within, beyond = data.evidence
    return Stops(
        first(within >= math.log(1 / LEVEL)), first(beyond >= math.log(tasks / LEVEL)), data.a.shape[1]
    )


def blocks(data: Answers, tasks: int) -> Stops:
    """Return the stops of the bets in the blocks of `kick check`, whose end is planned by the evidence so far."""
    runs, cap = data.a.shape
    paths = [np.maximum.accumulate(path, axis=1) for path in data.evidence]
    enough = (math.log(1 / LEVEL), math.log(tasks / LEVEL))
    stops = np.full((2, runs), np.inf)
    for run in range(runs):
        state = TaskState("task", cap)
        state.limit = state.next_limit()
        while True:
            shown = [float(path[run, state.limit - 1]) for path in paths]
            decided = [value >= needed for value, needed in zip(shown, enough, strict=True)]
            if any(decided) or state.limit == cap:
                stops[:, run] = [state.limit if yes else np.inf for yes in decided]
                break
            growth = max(value / needed for value, needed in zip(shown, enough, strict=True))
            state.limit = state.next_limit(math.ceil(state.limit / growth) if growth > 0 else None)
    return Stops(stops[0], stops[1], cap)


def evalsig(data: Answers, tasks: int) -> Stops:
    """Return the stops of `evalsig.inference.sequential.sequential_gate` on the two contrasts, alternative greater.

    Its half width with its defaults (rho 1, 30 items at least, the standard deviation as seen), for all items at once;
    scripts/compare_with_evalsig.py compares the stops with those of the package.
    """
    return Stops(
        evalsig_stop(data.b - (1 - MARGIN) * data.a, LEVEL),
        evalsig_stop((1 - TOLERATED) * data.a - data.b, LEVEL / tasks),
        data.a.shape[1],
    )


def evalsig_stop(values: Array, alpha: float, fewest: int = 30) -> Array:
    """Return the items (runs,) after which the lower end of evalsig's confidence sequence is above 0."""
    n = np.arange(1, values.shape[1] + 1)
    mean = np.cumsum(values, axis=1) / n
    squares = np.cumsum(values**2, axis=1) - n * mean**2
    sigma = np.sqrt(np.maximum(squares, 0) / np.maximum(n - 1, 1))
    width = np.sqrt(2 * (n + 1) * np.log(np.maximum(np.sqrt(n + 1) / alpha, 1 + 1e-12))) / n
    return first((mean > sigma * width) & (sigma > 1e-9) & (n >= fewest))


def group_sequential(spending: Callable[[Array], Array], cap: int) -> Callable[[Answers, int], Stops]:
    """Return the rule of `LOOKS` looks at equal steps up to a cap, which spends its level by a function of the items.

    The statistic is the score test of the ratio, as that of `kick gate`. On a finite benchmark the variance is that of
    draws without replacement, and a look at everything is certain.
    """

    def rule(data: Answers, tasks: int) -> Stops:
        ends = np.unique(np.linspace(0, cap, LOOKS + 1)[1:].astype(int))
        stops = []
        for theta, sign, alpha in ((1 - MARGIN, 1, LEVEL), (1 - TOLERATED, -1, LEVEL / tasks)):
            left = 1 - ends / data.total if data.total else np.ones(len(ends))
            certain = left <= 0
            information = ends / np.where(certain, 1, left)
            spent = spending(ends[~certain] / cap) * alpha
            bounds = boundaries(tuple(information[~certain]), tuple(spent))
            scores = sign * np.stack(
                [score(data.a[:, :n], data.b[:, :n], theta, f) for n, f in zip(ends, left, strict=True)]
            )
            shown = scores >= np.append(bounds, np.zeros(certain.sum()))[:, None]
            stops.append(np.where(shown.any(axis=0), ends[shown.argmax(axis=0)], np.inf))
        return Stops(stops[0], stops[1], cap)

    return rule


def score(a: Array, b: Array, theta: float, left: float) -> Array:
    """Return the score statistic (runs,) of "b = theta * a" on the items so far.

    Args:
        a: (runs, n) scores of the reference.
        b: (runs, n) scores of the candidate.
        theta: the ratio.
        left: the share of the benchmark that was not scored, which the variance is multiplied by.
    """
    n = a.shape[1]
    both = (a * b).sum(axis=1)
    tables = np.stack([both, a.sum(axis=1) - both, b.sum(axis=1) - both], axis=1).astype(int)
    values = []
    for x, lost, gained in tables:
        distance = x + gained - theta * (x + lost)
        variance = ratio_variance(PairedTable(x, lost, gained, n - x - lost - gained), theta) * max(
            left, 1e-12
        )
        values.append(distance / math.sqrt(max(variance, 1e-12)))
    return np.array(values)


@cache
def boundaries(information: tuple[float, ...], spent: tuple[float, ...]) -> Array:
    """Return the normal deviates (looks,) that a Brownian motion crosses first at each look with these chances.

    By numerical integration over the values that have not crossed (Armitage, McPherson and Rowe, JRSS-A 132, 1969).

    Args:
        information: (looks,) increasing, in any unit.
        spent: (looks,) the level that is spent up to each look.
    """
    times = np.array(information) / information[-1]
    bounds: list[float] = []
    grid, density = np.zeros(1), np.ones(1)
    before, used = 0.0, 0.0
    for time, level in zip(times, spent, strict=True):
        spread = math.sqrt(time - before)

        def crossing(
            z: float, grid: Array = grid, density: Array = density, time: float = time, spread: float = spread
        ) -> float:
            return float(density @ stats.norm.sf((z * math.sqrt(time) - grid) / spread))

        wanted = level - used
        bound = 8.0 if wanted < 1e-12 else float(optimize.brentq(lambda z: crossing(z) - wanted, -2, 8))  # noqa: B023
        bounds.append(bound)
        edge = bound * math.sqrt(time)
        finer = np.linspace(-8 * math.sqrt(time), edge, 801)
        weights = np.full(len(finer), finer[1] - finer[0])
        weights[[0, -1]] /= 2
        kernel = stats.norm.pdf((finer[:, None] - grid[None, :]) / spread) / spread
        grid, density = finer, (kernel @ density) * weights
        before, used = time, level
    return np.array(bounds)


def pocock(share: Array) -> Array:
    """Return the share of the level that is spent, as Pocock's bounds do (Lan and DeMets, Biometrika 70, 1983)."""
    return np.log(1 + (math.e - 1) * share)


def o_brien_fleming(share: Array, alpha: float = LEVEL) -> Array:
    """Return the same as O'Brien and Fleming's bounds do: next to nothing at first."""
    return 2 * stats.norm.sf(stats.norm.isf(alpha / 2) / np.sqrt(share)) / alpha


def one_look(n: int, *, paired: bool) -> Callable[[Answers, int], Stops]:
    """Return the rule of one look at n items: paired score tests, or a z test of two independent accuracies."""

    def rule(data: Answers, tasks: int) -> Stops:
        a, b = data.a[:, :n], data.b[:, :n]
        deviates = []
        for theta in (1 - MARGIN, 1 - TOLERATED):
            if paired:
                deviates.append(score(a, b, theta, 1 - n / data.total if data.total else 1))
                continue
            left, right = a.mean(axis=1), b.mean(axis=1)
            variance = (right * (1 - right) + theta**2 * left * (1 - left)) / n
            deviates.append((right - theta * left) / np.sqrt(np.maximum(variance, 1e-12)))
        passed = deviates[0] >= stats.norm.isf(LEVEL)
        lost = deviates[1] <= -stats.norm.isf(LEVEL / tasks)
        return Stops(np.where(passed, n, np.inf), np.where(lost, n, np.inf), n)

    return rule


def blind(tasks: int) -> int:
    """Items per task that whoever expects a tenth of the items to flip plans for a pass with 80 % over all tasks."""
    reach = stats.norm.isf(LEVEL) + stats.norm.ppf(0.8 ** (1 / tasks))
    return math.ceil(BLIND_FLIPS * (reach / (MARGIN * RIGHT)) ** 2)


def rules(tasks: int, total: int | None) -> dict[str, Callable[[Answers, int], Stops]]:
    """Return the rules to compare, by name."""
    cap, n = total or CAP, blind(tasks)
    return {
        "bets, after each item": bets,
        "bets, in the blocks of kick check": blocks,
        f"Pocock, {LOOKS} looks up to {cap:,}": group_sequential(pocock, cap),
        f"O'Brien-Fleming, {LOOKS} looks up to {cap:,}": group_sequential(o_brien_fleming, cap),
        "evalsig 0.1.2": evalsig,
        f"one look at {n:,}, paired": one_look(n, paired=True),
        f"one look at {n:,}, unpaired z": one_look(n, paired=False),
    }


def first(shown: Array) -> Array:
    """Return the number of items (runs,) after which evidence is there; infinity if it never is."""
    return np.where(shown.any(axis=1), shown.argmax(axis=1) + 1.0, np.inf)


# --- verdicts over several tasks ------------------------------------------------------------------------------


def verdicts(generator: Generator, stops: Stops, tasks: int) -> tuple[Array, Array]:
    """Return verdicts (runs,) and items per task (runs,) of runs over several tasks, each drawn from simulated ones.

    Tasks are scored in turns. A regression on one ends the run, and a task that passed is not scored further.
    """
    runs = len(stops.passed)
    drawn = generator.integers(0, runs, (runs, tasks)) if tasks > 1 else np.arange(runs)[:, None]
    passed, lost = stops.passed[drawn], stops.lost[drawn]
    lost = np.where(passed <= lost, np.inf, lost)
    passed = np.where(lost < passed, np.inf, passed)
    end = lost.min(axis=1, keepdims=True)
    items = np.minimum(np.minimum(passed, stops.cap), end).mean(axis=1)
    verdict = np.where(
        np.isfinite(lost).any(axis=1),
        "regression",
        np.where(np.isfinite(passed).all(axis=1), "pass", "cannot tell"),
    )
    return verdict, items


def errors(generator: Generator, runs: int) -> None:
    """Print how often each rule errs where the truth is exactly at a limit."""
    print(f"## Errors where the truth is at the limit, one task ({runs:,} runs, nominal 5 %)\n")
    print(
        "A pass of a candidate that loses the margin, and a regression of one that loses what is tolerated.\n"
    )
    settings = [(flips, total) for flips in (0.035, 0.08, 0.25) for total in (None, EXACT_BENCHMARK)]
    heads = [
        f"{flips:.1%} flip, {'infinite' if total is None else f'of {total:,}'}" for flips, total in settings
    ]
    print("| rule | error | " + " | ".join(heads) + " |\n|---|---|" + "---|" * len(heads))
    table: dict[tuple[str, str], list[str]] = {}
    for flips, total in settings:
        for error, loss in (("passes", MARGIN), ("regression", TOLERATED)):
            gained = (flips - loss * RIGHT) / 2
            candidate = Candidate("", gained + loss * RIGHT, gained)
            data = answers(generator, candidate, runs, total)
            for name, rule in rules(1, total).items():
                name = name.replace(f"{total or CAP:,}", "the cap")
                stops = rule(data, 1)
                wrong = stops.passed if error == "passes" else stops.lost
                # A look at everything is no error.
                early = wrong < (total or np.inf)
                table.setdefault((name, error), []).append(f"{early.mean():.1%}")
    for (name, error), figures in table.items():
        print(f"| {name} | {error} | " + " | ".join(figures) + " |", flush=True)


def items_to_verdict(generator: Generator, runs: int) -> None:
    """Print how many items each rule takes, and how often it gives each verdict."""
    for total in (None, BENCHMARK):
        kind = f"infinite, at most {CAP:,} items" if total is None else f"of {total:,} items per task"
        print(f"\n## Items to a verdict, benchmark {kind} ({runs:,} runs)\n")
        print(
            "Items are per task.\n\n| candidate | tasks | rule | median | 90 % | pass | regression | cannot tell |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for candidate in CANDIDATES:
            data = answers(generator, candidate, runs, total)
            for tasks in TASKS:
                for name, rule in rules(tasks, total).items():
                    verdict, items = verdicts(generator, rule(data, tasks), tasks)
                    shares = " | ".join(
                        f"{(verdict == outcome).mean():.1%}"
                        for outcome in ("pass", "regression", "cannot tell")
                    )
                    middle, most = np.median(items), np.quantile(items, 0.9)
                    print(
                        f"| {candidate.name} | {tasks} | {name} | {middle:,.0f} | {most:,.0f} | {shares} |",
                        flush=True,
                    )


def caps(generator: Generator, runs: int) -> None:
    """Print which rule serves better where the most items are known beforehand."""
    print(f"\n## Under a cap that is known beforehand, one task, infinite benchmark ({runs:,} runs)\n")
    print("Median and mean items, and the share of runs with the right verdict.\n")
    limits = (300, 600, 1_000, 2_000)
    print("| candidate | rule | " + " | ".join(f"at most {cap:,}" for cap in limits) + " |")
    print("|---|---|" + "---|" * len(limits))
    for candidate in CANDIDATES:
        right = "lost" if (candidate.lost - candidate.gained) / RIGHT > MARGIN else "passed"
        data = answers(generator, candidate, runs, None)
        named: dict[str, list[str]] = {}
        for cap in limits:
            part = Answers(data.a[:, :cap], data.b[:, :cap], None)
            for name, rule in (
                ("bets, after each item", bets),
                ("bets, in the blocks of kick check", blocks),
                (f"Pocock, {LOOKS} looks", group_sequential(pocock, cap)),
                (f"O'Brien-Fleming, {LOOKS} looks", group_sequential(o_brien_fleming, cap)),
                ("one look at the cap", one_look(cap, paired=True)),
            ):
                stops = rule(part, 1)
                items = np.minimum(np.minimum(stops.passed, stops.lost), cap)
                hit = np.isfinite(stops.lost if right == "lost" else stops.passed).mean()
                named.setdefault(name, []).append(f"{np.median(items):,.0f}, {items.mean():,.0f}, {hit:.1%}")
        for name, cells in named.items():
            print(f"| {candidate.name} | {name} | " + " | ".join(cells) + " |", flush=True)


# --- the early warning ----------------------------------------------------------------------------------------


def changed_probabilities(generator: Generator, runs: int) -> Iterator[tuple[str, Array, Array]]:
    """Yield kinds of change, with the probabilities of the right answers (runs, 1,500) by reference and candidate.

    The candidate's mean is `TOLERATED` lower in truth.
    """
    shape = (runs, 1_500)
    for noise in (0.1, 0.3, 1.0):
        # The shift of the log-odds that loses as much as is tolerated.
        lead, change = generator.normal(1, 2, 400_000), noise * generator.normal(size=400_000)
        mean = _right(lead).mean()

        def excess(shift: float, lead: Array = lead, change: Array = change, mean: float = mean) -> float:
            return float(1 - _right(lead - shift + change).mean() / mean - TOLERATED)

        shift = float(optimize.brentq(excess, -1, 1))
        lead = generator.normal(1, 2, shape)
        yield (
            f"log-odds change by noise of {noise}",
            _right(lead),
            _right(lead - shift + noise * generator.normal(size=shape)),
        )
    a = generator.beta(2, 1, shape)
    for share in (0.05, 0.2):
        b = np.where(generator.random(shape) < share, a * (1 - TOLERATED / share), a)
        yield f"all of the loss is in {share:.0%} of the items", a, b
    for share in (0.2, 0.05, 0.02):
        lost = (TOLERATED * 2 / 3 + share / 6) / ((1 - share) * 2 / 3)
        b = np.where(generator.random(shape) < share, (1 + a) / 2, a * (1 - lost))
        yield f"all items lose, but for {share:.0%} that gain half of what is missing", a, b


def _right(log_odds: Array) -> Array:
    """Return the probability of the right one of four options, from its log-odds against each other one."""
    return 1 / (1 + 3 * np.exp(-log_odds))


def false_warnings(generator: Generator, runs: int) -> None:
    """Print how often the early warning is false where the loss is what is warned of."""
    print(f"\n## The early warning: false ones at any of 1,500 looks ({runs:,} runs, nominal 5 %)\n")
    print("| change of the probabilities | warned |\n|---|---|")
    for name, a, b in changed_probabilities(generator, runs):
        path = warning_path(a, b, TOLERATED)
        print(f"| {name} | {(path >= math.log(1 / LEVEL)).any(axis=1).mean():.1%} |", flush=True)


def warnings(results: Path, draws: int) -> None:
    """Print the items to the early warning and to the verdict of accuracy, over random orders of a folder's items."""
    print(f"\n## The early warning on {results.name} (median of {draws} orders)\n")
    print(
        "Items until more than 2.5 % of the probability of right answers is shown to be lost, and until accuracy shows"
    )
    print(
        "a loss of more than 2.5 % (regression) or less than 5 % (pass). A dash: not by the last item but one.\n"
    )
    print("| task | candidate | probability lost | accuracy lost | warning | regression | pass |")
    print("|---|---|---|---|---|---|---|")
    store = Store(results)
    reference = reference_id(store)
    for task in task_names(store):
        for candidate in candidate_ids(store, reference):
            pairs = load_pairs(store, reference, candidate, task)
            probabilities = right_probabilities(pairs)
            if probabilities is None:
                continue
            (p, q), (a, b) = probabilities, (pairs.sample.a, pairs.sample.b)
            looks: dict[str, list[float]] = {"warning": [], "regression": [], "pass": []}
            for seed in range(draws):
                order = draw_order(len(a), seed)
                path = warning_path(p[order], q[order], TOLERATED)
                looks["warning"].append(float(first(path[None, :-1] >= math.log(1 / LEVEL))[0]))
                for name, claim in (
                    ("regression", bets_beyond(a[order], b[order], ratio=TOLERATED)),
                    ("pass", bets_within(a[order], b[order], ratio=MARGIN)),
                ):
                    path = log_evidence_path(claim, len(a))[None, :-1]
                    looks[name].append(float(first(path >= math.log(1 / LEVEL))[0]))
            cells = " | ".join(_items(float(np.median(numbers))) for numbers in looks.values())
            lost = f"{1 - q.mean() / p.mean():.1%} | {1 - b.mean() / a.mean():.1%}"
            print(f"| {task} | {candidate} | {lost} | {cells} |", flush=True)


def _items(number: float) -> str:
    return f"{number:,.0f}" if math.isfinite(number) else "-"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--results", type=Path, help="a results folder with choice tasks, for the early warning alone"
    )
    parser.add_argument("--draws", type=int, default=200, help="random orders of the items of RESULTS")
    options = parser.parse_args()
    if options.results:
        warnings(options.results, options.draws)
        return
    print(f"Margin {MARGIN:.0%}, tolerated {TOLERATED:.1%}; the reference gets {RIGHT:.0%} right.\n")
    for section in (errors, caps, false_warnings, items_to_verdict):
        section(np.random.default_rng(options.seed), options.runs)


if __name__ == "__main__":
    main()

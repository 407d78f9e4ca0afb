"""Compare the stops of evalsig's sequential gate with those that scripts/simulate_sequential.py takes for it.

    python scripts/compare_with_evalsig.py     needs evalsig 0.1.2, which kick does not depend on

Prints how many streams of paired differences end alike, and how long one stream takes each way.
"""

import time

import numpy as np
from evalsig.inference.sequential import sequential_gate
from simulate_sequential import CANDIDATES, LEVEL, MARGIN, answers, evalsig_stop

STREAMS, ITEMS = 20, 1_500


def main() -> None:
    """Run both on the same streams."""
    alike = streams = wrong_way = 0
    theirs = ours = 0.0
    for candidate in CANDIDATES:
        data = answers(np.random.default_rng(7), candidate, STREAMS, None)
        values = (data.b - (1 - MARGIN) * data.a)[:, :ITEMS]
        begun = time.perf_counter()
        outcomes = [sequential_gate(row, alpha=LEVEL, alternative="greater") for row in values]
        theirs += time.perf_counter() - begun
        begun = time.perf_counter()
        stops = evalsig_stop(values, LEVEL)
        ours += time.perf_counter() - begun
        # At the end of a stream, `stopped` is true of one that is shown to be below 0, too.
        alike += sum(
            stop == (outcome.n_pairs if outcome.ci[0] > 0 else np.inf)
            for stop, outcome in zip(stops, outcomes, strict=True)
        )
        wrong_way += sum(outcome.stopped and outcome.ci[1] < 0 for outcome in outcomes)
        streams += len(values)
    print(f"{alike} of {streams} streams of {ITEMS:,} items end at the same item")
    print(f"{wrong_way} are reported as stopped, alternative greater, with an interval below 0")
    print(
        f"per stream: evalsig {1000 * theirs / streams:.0f} ms, all items at once {1000 * ours / streams:.2f} ms"
    )


if __name__ == "__main__":
    main()

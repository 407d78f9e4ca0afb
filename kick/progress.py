"""Progress of long work on stderr: a bar on a terminal, a line from time to time in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from kick.printable import printable

# Seconds between two lines in a log.
LOG_EVERY = 20.0

Advance = Callable[[int], None]


class Reporter:
    """Report which stage is running, how many of its steps are done, and how long the rest will take."""

    def __init__(self) -> None:
        self.console = Console(file=sys.stderr, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print one line of text, taken as it is; control characters are written out."""
        self.console.print(printable(text), markup=False)

    @contextmanager
    def stage(self, label: str, total: int) -> Iterator[Advance]:
        """Report work of `total` steps; the body calls the yielded function with the number of steps just done."""
        start = time.monotonic()
        if self.console.is_terminal:
            with self._bar() as bar:
                task = bar.add_task(label, total=total)
                yield lambda steps: bar.advance(task, steps)
        else:
            yield self._log_lines(label, total, start)
        self.say(f"{label}  {total} in {clock(time.monotonic() - start)}")

    def _bar(self) -> Progress:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        return Progress(*columns, console=self.console, transient=True)

    def _log_lines(self, label: str, total: int, start: float) -> Advance:
        done, resumed, last = 0, 0, start

        def advance(steps: int) -> None:
            nonlocal done, resumed, last
            now = time.monotonic()
            if done == 0 and now - start < 0.5:
                # Answers taken from a journal say nothing about speed.
                resumed = steps
            done += steps
            if now - last >= LOG_EVERY and done > resumed:
                last = now
                left = (now - start) / (done - resumed) * (total - done)
                self.say(f"{label}  {done}/{total}, {clock(left)} left")

        return advance


def clock(seconds: float) -> str:
    """Return a time as text: `2 h 05 min`, `3 min 20 s`, `8 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"

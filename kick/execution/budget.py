"""The budget of a check: time, or items."""

import re
import time
from dataclasses import dataclass, field

from kick.errors import InputError

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600}
_FORM = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>s|m|min|h|items?)?")


@dataclass
class Budget:
    """A limit of time or items from now on; without either there is none."""

    seconds: float | None = None
    items: int | None = None
    started: float = field(default_factory=time.monotonic)
    # Items that were scored since.
    used: int = 0

    @classmethod
    def parse(cls, text: str | None) -> "Budget":
        """Return the budget that an option names: `10m`, `90s`, `1.5h`, `2000 items` or `2000`; None: no limit.

        Raises:
            InputError: the text is none of these, or not above 0.
        """
        if text is None:
            return cls()
        match = _FORM.fullmatch(text.strip())
        number = float(match["number"]) if match else 0.0
        if match is None or number <= 0:
            raise InputError(
                f"--budget: '{text}' is not a budget. Give a time (90s, 10m, 2h) or a number of items (2000 items)."
            )
        if match["unit"] in _UNITS:
            return cls(seconds=number * _UNITS[match["unit"]])
        if number != int(number):
            raise InputError(f"--budget: '{text}' is not a whole number of items.")
        return cls(items=int(number))

    @property
    def seconds_left(self) -> float:
        """The time that is left; infinite without a limit of time."""
        if self.seconds is None:
            return float("inf")
        return max(0.0, self.seconds - (time.monotonic() - self.started))

    def affordable(self, items: int, seconds_per_item: float | None) -> int:
        """Return how many of some items fit what is left.

        Args:
            items: the items of a block.
            seconds_per_item: as measured on earlier blocks; None: not measured yet, so time is no reason against it.
        """
        if self.items is not None:
            items = min(items, self.items - self.used)
        if self.seconds_left <= 0:
            return 0
        if seconds_per_item:
            items = int(min(items, self.seconds_left / seconds_per_item))
        return max(items, 0)

    def doubled(self) -> str:
        """Return the option for twice this budget."""
        if self.items is not None:
            return f"{2 * self.items} items"
        seconds = 2 * (self.seconds or 0)
        return f"{seconds / 60:g}m" if seconds >= 60 else f"{seconds:g}s"

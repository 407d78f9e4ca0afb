"""The one exception that a user is meant to see: what was given, what was expected, what to do."""

from collections.abc import Sequence
from difflib import get_close_matches

# Names that a message lists. transformers knows 500 types of model.
MOST_CHOICES = 100


class InputError(Exception):
    """Bad input or configuration. The command line prints the message alone and exits with code 2."""


def nearest(given: str, valid: Sequence[str]) -> str:
    """Return a hint that names the valid choice nearest to `given`, for the end of an error message."""
    close = get_close_matches(given, valid, n=1, cutoff=0.5)
    if close:
        return f"Did you mean '{close[0]}'?"
    names = sorted(valid)
    rest = f" and {len(names) - MOST_CHOICES} more" if len(names) > MOST_CHOICES else ""
    return f"Valid choices: {', '.join(names[:MOST_CHOICES])}{rest}."

"""The one exception that a user is meant to see: what was given, what was expected, what to do."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError

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


def explain(error: ValidationError, top: type[BaseModel], below: Mapping[str, type[BaseModel]]) -> str:
    """Return the first mistake in a user's file as one sentence with its key; an unknown key comes before all others.

    Args:
        error: the errors of pydantic.
        top: the keys of the file.
        below: the keys of its entries, by the key that holds them.
    """
    problems = error.errors()
    problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        owner = next((below[part] for part in reversed(location[:-1]) if part in below), top)
        fields = owner.model_fields
        return f"{key}: unknown key. {nearest(location[-1], [f.alias or name for name, f in fields.items()])}"
    if problem["type"] == "missing":
        return f"{key}: this key is missing."
    given = problem["input"]
    if isinstance(given, dict | list) or not key or repr(given) in problem["msg"]:
        return f"{key}: {problem['msg'].removesuffix('.')}.".removeprefix(": ")
    return f"{key}: {problem['msg']} (given: {given!r}).".removeprefix(": ")

"""The one exception that a user is meant to see: what was given, what was expected, what to do."""


class InputError(Exception):
    """Bad input or configuration. The command line prints the message alone and exits with code 2."""


def nearest(given: str, valid: "list[str] | tuple[str, ...]") -> str:
    """A hint that names the valid choice nearest to *given*, for the end of an error message."""
    from difflib import get_close_matches

    close = get_close_matches(given, valid, n=1, cutoff=0.5)
    if close:
        return f"Did you mean '{close[0]}'?"
    return "Valid choices: " + ", ".join(sorted(valid)) + "."

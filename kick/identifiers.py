"""The one grammar of names that become paths: checkpoint ids, task names, keys and fingerprints.

A results folder may come from someone else, and a name in it such as `../../x` would be a path out of the folder.
"""

import re

from kick.errors import InputError

MAX_LENGTH = 160  # a file's name has at most 255 bytes, and suffixes are added
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]*")


def is_identifier(text: object) -> bool:
    """Return whether a name can be one part of a path."""
    return isinstance(text, str) and len(text) <= MAX_LENGTH and _IDENTIFIER.fullmatch(text) is not None


def check_identifier(text: object, what: str) -> str:
    """Return a name that can be one part of a path.

    Args:
        text: the name, as read.
        what: what is named and where it was read, for the error message: "the checkpoint id in suite.yaml".

    Raises:
        InputError: the name is not text, is empty or too long, begins with another character than a letter or digit,
            or holds another character than letters, digits and `._@+-`.
    """
    if not is_identifier(text):
        shown = repr(text) if len(repr(text)) <= 80 else f"{repr(text)[:80]}..."
        raise InputError(
            f"{what}: {shown} cannot name a file. Expected at most {MAX_LENGTH} letters, digits, '.', '_', '-', '+' "
            "and '@', beginning with a letter or digit."
        )
    return str(text)

"""Multiple-choice items whose question needs its options: they cannot be read without showing them."""

import re
from collections.abc import Sequence

_QUESTION = re.compile(
    r"\bfollowing\b"
    r"|\bof (?:these|those)\b(?! \w+ (?:is|are|was|were) )"
    r"|\bwhich (?:statement|one|option|answer|proposition|choice|sentence|pair|set|list|graph|diagram|equation)\b"
    r"|\b(?:options?|choices?|answers?|alternatives?) (?:below|above|given|listed|provided)\b"
    r"|\b(?:below|listed) (?:is|are|which)\b",
    re.IGNORECASE,
)
_LETTER = r"\(?[A-J]\)?"
_OPTION = re.compile(
    r"\b(?:all|none|both|any|neither|either|each|two|more than one) of (?:the |these |those )*"
    r"(?:above|options|choices|following|answers|these|those|others?)\b"
    r"|\b(?:of|the) (?:these|above)\b"
    r"|\b(?:both|either|neither) " + _LETTER + r",? (?:and|or|nor) " + _LETTER + r"(?!\w)"
    r"|^\W*(?:"
    + _LETTER
    + r"|[IVX]{1,4})(?:,? ?(?:and|or|&|,) ?(?:"
    + _LETTER
    + r"|[IVX]{1,4}))+(?: only)?\W*$"
    r"|^\W*(?:both|neither|either|all|none)\W*$"
    r"|\b(?:all|none) (?:are|is) (?:correct|true|false|right|wrong)\b",
    re.IGNORECASE,
)


def refers_to_options(question: str, options: Sequence[str]) -> bool:
    """Return whether the question, or one of its options, refers to the list of options.

    "Which of the following is a metal?" has no answer without the list, and "both A and B" is none.
    """
    return bool(_QUESTION.search(question)) or any(_OPTION.search(option) for option in options)

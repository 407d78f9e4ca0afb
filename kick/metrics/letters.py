r"""A generated option letter, as chat models give it: an answer without a letter is counted apart from a wrong letter.

The rules, in this order, after the marks of Markdown and LaTeX are taken off (`**B**`, `\boxed{B}`):

1. The answer begins with the letter, which stands alone or before punctuation: "B", "(B)", "B. Paris".
2. It names the letter: "The answer is B", "Option (B)", "Answer: B". The last one named counts, as models that think
   aloud end with what they mean. "not B" names none.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_MARKS = re.compile(r"\\boxed|\\text|[*_`{}$]")
_ENDS = r"(?=\s*$|\s*[).:,;!\"'\n])"
_FIRST = re.compile(r"\s*[(\[\"']?([A-D])\]?" + _ENDS)
_NAMED = re.compile(
    r"\b(?:answer|option|choice)\b(?:\s+(?:to\s+(?:the|this)\s+question\s+)?(?:is|would\s+be|should\s+be))?"
    r"\s*:?\s*(?:option\s+|choice\s+)?[(\[\"']?([A-D])\]?" + _ENDS,
    re.IGNORECASE,
)


def letter(answer: str) -> str | None:
    """Return the option letter A-D that an answer gives; None if it gives none.

    A letter that begins a sentence does not count: "A dog" has the format of prose.

    >>> [letter(answer) for answer in ("B", "**B**", "The answer is (B).", "B: Paris", "A dog", "b")]
    ['B', 'B', 'B', 'B', None, None]
    """
    plain = _MARKS.sub("", answer)
    if first := _FIRST.match(plain):
        return first[1]
    # The words may be written in any case, the letter may not.
    named = [match[1] for match in _NAMED.finditer(plain) if match[1].isupper()]
    return named[-1] if named else None


def mmlu(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a generated letter against `answer` (0..3): acc, and format_failure if there is no letter."""
    given = letter(results[0])
    return {"acc": float(given == "ABCD"[doc["answer"]]), "format_failure": float(given is None)}

"""A generated option letter: an answer without a letter is counted apart from a wrong letter."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_LETTER = re.compile(r"\s*\(?([A-D])(?:\s*$|[).:,])")


def letter(answer: str) -> str | None:
    """Return the letter A-D that the answer is or begins with ("B", "(B)", "B. Paris"); None for anything else.

    A letter that begins a sentence does not count: "A dog" has the format of prose.
    """
    match = _LETTER.match(answer)
    return match.group(1) if match else None


def mmlu(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score a generated letter against `answer` (0..3): acc, and format_failure if there is no letter."""
    given = letter(results[0])
    return {"acc": float(given == "ABCD"[doc["answer"]]), "format_failure": float(given is None)}

"""Signs of a destroyed model in its generated answers: nothing, one thing always, or one thing over and over."""

from collections import Counter
from collections.abc import Sequence

from kick.metrics.words import normalize
from kick.types.floors import ResponseSigns

LONGEST_PIECE = 8
REPEATS = 3
# Of the responses: from here on they are said to be alike, empty or repetitive, and a score beside them means nothing.
SUSPICIOUS = 0.5
# Fewer responses than this are alike by chance.
FEWEST = 5


def response_signs(responses: Sequence[str]) -> ResponseSigns:
    """Count the signs in the responses of a cell. Without responses every share is 0."""
    forms = [normalize(response) for response in responses]
    told = Counter(form for form in forms if form)
    most_common, count = told.most_common(1)[0] if told else (None, 0)
    total = max(len(forms), 1)
    return ResponseSigns(
        responses=len(forms),
        empty=sum(not form for form in forms) / total,
        most_common=most_common,
        most_common_share=count / total,
        repetitive=sum(map(is_repetitive, responses)) / total,
    )


def is_repetitive(response: str) -> bool:
    """Return whether a piece of one to eight words follows itself, at least three times in all.

    Words are parted at white space, so punctuation counts; "bye bye bye" is repetitive and "New York, New York" is not.
    """
    said = response.casefold().split()
    for length in range(1, LONGEST_PIECE + 1):
        for start in range(len(said) - REPEATS * length + 1):
            piece = said[start : start + length]
            if all(
                said[start + turn * length : start + (turn + 1) * length] == piece
                for turn in range(1, REPEATS)
            ):
                return True
    return False


def is_suspicious(signs: ResponseSigns, common_target_share: float = 0.0) -> bool:
    """Return whether a score beside these signs must not be marked as kept.

    Args:
        signs: the signs of a cell's responses.
        common_target_share: the share of the items that have the most common right answer, in 0..1; a model may say
            that answer as often. 0.5 for balanced yes-or-no items.
    """
    if signs.responses < FEWEST:
        return signs.responses > 0 and signs.empty >= SUSPICIOUS
    alike = signs.most_common_share >= max(SUSPICIOUS, (1 + common_target_share) / 2)
    return signs.empty >= SUSPICIOUS or signs.repetitive >= SUSPICIOUS or alike

"""Answers that decline to answer, as language models word them."""

import re
from functools import lru_cache

from kick.metrics.words import plain_words

_LEAD = (
    r"(?:(?:the|my|correct) )*(?:answer|response) (?:is|would be) (?:that )?|(?:i am |im )?sorry (?:but )?|"
    r"unfortunately |well |as an ai(?: language)?(?: model)? "
)
_NOT = r"(?:not|cannot|can not|cant|couldnt|could not|do not|dont|does not|doesnt|did not|didnt|wasnt|isnt|unable to)"
_TOLD = (
    r"(?:know|known|knowable|clear|mention(?:ed)?|stated?|say|said|specif(?:y|ied)|given?|provided?|tell|told|"
    r"determined?|answer(?:ed|able)?|found|find|inferred|available|disclosed?|contain(?:ed)?|include(?:d)?|recall|"
    r"remember|sure|certain|able to (?:answer|determine|find|provide)|enough information|"
    r"in the (?:passage|text|article|context))"
)
_SOURCE = (
    r"(?:the |this |these )?(?:passages?|texts?|articles?|context|paragraphs?|information|question|it|answer)"
)
_DECLINES = [
    re.compile(pattern)
    for pattern in (
        rf"(?:i|we) (?:am |are |really |honestly |simply |just )*{_NOT} (?:be |been )?(?:\w+ )?{_TOLD}\b.*",
        rf"(?:im|{_NOT}) (?:not )?(?:\w+ )?{_TOLD}\b.*",
        r"(?:(?:i|we|this|that|it) )?(?:can not|cannot|cant) "
        r"(?:answer|say|tell|help|determine|provide|be (?:determined|answered|known|inferred|found))\b.*",
        r"(?:i |we )?have (?:no|not any|not the faintest) (?:idea|clue|knowledge|information|answer|access)\b.*",
        r"i have no .*",
        r"i (?:do not|dont) have (?:any|the|that|this|enough|access|information|an answer|sufficient)\b.*",
        r"(?:i am|im|i) (?:unsure|uncertain|unable to|not aware|unaware|not familiar)\b.*",
        r"(?:no|not an) (?:idea|clue|answer|information|such information)(?: \w+)*",
        rf"{_SOURCE} (?:\w+ )?(?:is |are |was |were )?{_NOT} (?:\w+ )?{_TOLD}\b.*",
        r"(?:it|that|this)(?:s| is| was) (?:\w+ )?(?:unknown|unclear|uncertain|impossible|unspecified|unanswerable|"
        r"not possible|hard to say|difficult to say)\b.*",
        r"there (?:is|was|are) (?:no|not|not any|insufficient|not enough) (?:\w+ )?(?:answer|information|mention|"
        r"evidence|indication|record|way to)\b.*",
        r"there isnt (?:\w+ )*(?:answer|information|mention|evidence|indication|record|way to)\b.*",
        r"(?:there is )?(?:not enough|insufficient|no) (?:information|context|evidence|data)\b.*",
        r"(?:no ?one|nobody) (?:really )?knows\b.*",
        r"(?:the )?(?:passages?|texts?|articles?) (?:\w+ )?(?:no|nothing)\b.*",
    )
]
_BARE = frozenset(
    (
        "unknown",
        "not known",
        "unanswerable",
        "no answer",
        "not mentioned",
        "not given",
        "not stated",
        "not specified",
        "not available",
        "n a",
        "none",
        "unclear",
        "undetermined",
        "indeterminate",
        "unspecified",
        "dont know",
        "do not know",
        "not sure",
        "unsure",
        "idk",
        "not answerable",
        "not provided",
        "question unanswerable",
        "the question is unanswerable",
        "this question is unanswerable",
    )
)


# The same answer is given to many questions, by models and by the answerers of the floor.
@lru_cache(maxsize=2**14)
def is_abstention(answer: str) -> bool:
    """Return whether the answer declines to answer ("I don't know", "unknown", "the passage does not say")."""
    text = " ".join(plain_words(answer))
    while True:
        shorter = re.sub(rf"^(?:{_LEAD})", "", text)
        if shorter == text:
            break
        text = shorter
    return text in _BARE or any(pattern.fullmatch(text) for pattern in _DECLINES)

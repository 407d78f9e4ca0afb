"""The end of a completion: stop strings, the end of sequence, and the budget, by the same rules on every engine."""

from collections.abc import Callable, Collection, Sequence

from kick.engines.base import Completion, Generate

# Tokens of a completion, beyond the length of a stop string, in which a new stop string is looked for.
TAIL = 8

Decode = Callable[[Sequence[int]], str]


def has_stop(text: str, stop: Sequence[str]) -> bool:
    """Return whether a completion holds a stop string behind its leading white space."""
    answer = text.lstrip()
    return any(string in answer for string in stop)


def before_stop(text: str, stop: Sequence[str]) -> str:
    r"""Return a completion without leading white space, up to the first stop string.

    >>> before_stop("\nParis\nQuestion: Who", ["\n"])
    'Paris'
    """
    answer = text.lstrip()
    for string in stop:
        answer = answer.split(string)[0]
    return answer


def is_done(tokens: Sequence[int], request: Generate, ends: Collection[int | None], decode: Decode) -> bool:
    """Return whether a completion ends after the last of its tokens.

    Args:
        tokens: the tokens so far, one or more.
        request: the request that they answer.
        ends: the tokens that end a sequence.
        decode: turns tokens into text, without special tokens.
    """
    if tokens[-1] in ends or len(tokens) >= request.budget:
        return True
    if not request.stop:
        return False
    tail = decode(tokens[-max(map(len, request.stop)) - TAIL :])
    return any(stop in tail for stop in request.stop) and has_stop(decode(tokens), request.stop)


def completion(
    tokens: Sequence[int], request: Generate, ends: Collection[int | None], decode: Decode
) -> Completion:
    """Return the completion that some tokens make; the arguments are those of `is_done`."""
    text = decode(tokens)
    ended = tokens[-1] in ends or has_stop(text, request.stop)
    return Completion(before_stop(text, request.stop), cut=not ended)

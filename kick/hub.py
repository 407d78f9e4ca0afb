"""Downloads from the hub, whose every failure becomes one message.

`huggingface_hub` has talked through several HTTP libraries (requests, httpx, httpx2), and raises their transport errors
as they are. Which one it uses is not kick's concern: the classes that its own `errors` module knows are caught, and the
base class of its HTTP library is one of them.
"""

from collections.abc import Callable
from typing import TypeVar

from kick.errors import InputError

T = TypeVar("T")


def fetch(
    what: str, download: Callable[[], T], *, cached: Callable[[], T] | None = None, advice: str = ""
) -> T:
    """Return what a call of `huggingface_hub` returns.

    Args:
        what: what is fetched, for messages: "checkpoint 'x': the model a/b at revision c".
        download: calls functions of `huggingface_hub` and nothing else.
        cached: the same call on the local cache alone; it is tried when the hub gives no answer.
        advice: a sentence on what to do without a network.

    Raises:
        InputError: the repository or revision does not exist, is gated, or the hub gives no answer.
    """
    from huggingface_hub import errors

    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    # hf_xet, which transfers large files, raises RuntimeError.
    failures: tuple[type[Exception], ...] = (
        OSError,
        ValueError,
        RuntimeError,
        *(one for one in classes if issubclass(one, Exception)),
    )
    try:
        return download()
    except errors.GatedRepoError:
        raise InputError(
            f"{what} is gated. Accept its terms on the hub and log in with 'hf auth login'."
        ) from None
    except errors.RevisionNotFoundError:
        raise InputError(
            f"{what} does not exist: the repository has no such revision. Check the commit sha."
        ) from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise InputError(
            f"{what} was not found: there is no such repository on the hub. Check the name; for a private repository "
            "log in with 'hf auth login'."
        ) from None
    except failures as error:
        if cached is not None:
            try:
                return cached()
            except failures:
                pass
        reason = " ".join(str(error).split())[:300]
        message = f"{what} could not be fetched from the hub: {reason or type(error).__name__}."
        raise InputError(f"{message} {advice}".rstrip()) from error

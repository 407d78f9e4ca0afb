"""Silence what libraries print of their own accord, so stderr holds only the progress and messages of kick."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


def quiet_libraries() -> None:
    """Silence lm-eval, transformers and datasets; call before they are imported, when they read the environment."""
    os.environ["TQDM_DISABLE"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tqdm import tqdm

    tqdm.__init__ = _disabled_bar()
    for library in ("lm_eval", "bitsandbytes", "torchao", "torch.utils._pytree"):
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)


@contextmanager
def without_bars() -> Iterator[None]:
    """Disable all tqdm bars inside the block, whatever their arguments; the caller's own work again after it."""
    from tqdm import tqdm

    before = tqdm.__init__
    tqdm.__init__ = _disabled_bar()
    try:
        yield
    finally:
        tqdm.__init__ = before


@cache
def _disabled_bar() -> Callable[..., None]:
    """Return the initialiser of tqdm with the bar disabled; the same one for all calls, so it never wraps itself."""
    from tqdm import tqdm

    own = tqdm.__init__

    def disabled(self: Any, *arguments: Any, **options: Any) -> None:
        own(self, *arguments, **{**options, "disable": True})

    return disabled

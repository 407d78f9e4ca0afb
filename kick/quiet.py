"""Silence what libraries print of their own accord, so that stderr holds kick's progress and messages alone."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


def quiet_libraries() -> None:
    """Call before lm-eval, transformers or datasets are imported: their progress bars read the environment then."""
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
    """No bars of tqdm in a block, whatever they are told: those of the caller of a library come back after it."""
    from tqdm import tqdm

    before = tqdm.__init__
    tqdm.__init__ = _disabled_bar()
    try:
        yield
    finally:
        tqdm.__init__ = before


@cache
def _disabled_bar() -> Callable[..., None]:
    """Tqdm's own initialiser, told that the bar is disabled; one for all calls, so that it never wraps itself."""
    from tqdm import tqdm

    own = tqdm.__init__

    def disabled(self: Any, *given: Any, **options: Any) -> None:
        own(self, *given, **{**options, "disable": True})

    return disabled

"""Silence what libraries print of their own accord, so that stderr holds kick's progress and messages alone."""

import logging
import os
import warnings


def quiet_libraries() -> None:
    """Call before lm-eval, transformers or datasets are imported: their progress bars read the environment then."""
    os.environ["TQDM_DISABLE"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tqdm import tqdm

    tqdm.status_printer = staticmethod(lambda file: lambda text: None)  # of bars that are told to be drawn
    for library in ("lm_eval", "bitsandbytes", "torchao", "torch.utils._pytree"):
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message="Attempting to save a model with offloaded modules")

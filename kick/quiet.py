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
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)

"""kick's model class inside plain lm-eval: `kick-lm-eval run --model kick --model_args pretrained=FOLDER ...`.

lm-eval 0.4.13 looks for no plug-ins, so that a model class has to be imported before its command line reads `--model`:
`kick-lm-eval` is that command line, with this module imported.
"""

from pathlib import Path

import torch
from lm_eval.api.registry import register_model

from kick.checkpoints import load
from kick.engines.torch.tiers import TIERS, choose_tier
from kick.errors import InputError, nearest
from kick.harness.model import KickLM
from kick.types import BatchSize


@register_model("kick")
class RegisteredKickLM(KickLM):
    """A checkpoint's folder as lm-eval's command line names it.

    Args:
        pretrained: the folder, loaded as strictly as by `kick run`.
        dtype: auto, float32, bfloat16 or float16.
        device: cpu or cuda; cuda if there is one.
        tier: tree, prefix, plain, or auto: the fastest that passes a self-test.
        batch_tokens: padded tokens of a batch.
        rows: completions that are decoded together.
        trust_remote_code: run the Python files that the folder brings.
        batch_size: given by lm-eval, and not used: batches are cut by their tokens.
        max_batch_size: the same.

    Raises:
        InputError: the folder cannot be loaded as asked.
    """

    def __init__(
        self,
        pretrained: str,
        dtype: str = "auto",
        device: str | None = None,
        tier: str = "auto",
        batch_tokens: int = 8192,
        rows: int = 16,
        trust_remote_code: bool = False,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        if tier not in (*TIERS, "auto"):
            raise InputError(f"tier '{tier}' is unknown. {nearest(tier, [*TIERS, 'auto'])}")
        where = device or ("cuda" if torch.cuda.is_available() else "cpu")
        loaded = load(Path(pretrained), dtype=dtype, device=where, trust_remote_code=trust_remote_code)
        chosen = choose_tier(loaded).tier if tier == "auto" else next(name for name in TIERS if name == tier)
        super().__init__(loaded, BatchSize(tokens=int(batch_tokens), rows=int(rows)), chosen)


def main() -> None:
    """lm-eval's own command line, which knows the model `kick`."""
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()

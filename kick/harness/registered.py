"""kick's engine inside plain lm-eval: `kick-lm-eval run --model kick --model_args pretrained=FOLDER ...`.

lm-eval 0.4.13 looks for no plug-ins, so a model class has to be imported before its command line reads `--model`:
`kick-lm-eval` is that command line, with this module imported.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from kick.checkpoints import load
from kick.engines.base import Completion, LogLikelihood, Response
from kick.engines.torch import TorchEngine
from kick.engines.torch.tiers import TIERS, choose_tier
from kick.engines.torch.window import context_window
from kick.errors import InputError, nearest
from kick.harness.encoding import Encoder, encode_requests
from kick.harness.word_perplexity import rolling_requests
from kick.types import BatchSize

# The window of a rolling log-likelihood for models that state none (as lm-eval's HFLM).
DEFAULT_WINDOW = 2048


@register_model("kick")
class KickLM(LM):  # type: ignore[misc]
    """A checkpoint's folder as lm-eval's command line names it.

    Args:
        pretrained: the folder, loaded as strictly as by `kick run`.
        dtype: auto, float32, bfloat16 or float16.
        device: cpu or cuda; cuda if there is one.
        tier: tree, prefix, plain, or auto: the fastest that passes a self-test.
        batch_tokens: padded tokens of a batch.
        rows: completions that are decoded together.
        trust_remote_code: run the Python files in the folder.
        batch_size: given by lm-eval and not used: batches are cut by their tokens.
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
        super().__init__()
        if tier not in (*TIERS, "auto"):
            raise InputError(f"tier '{tier}' is unknown. {nearest(tier, [*TIERS, 'auto'])}")
        target = device or ("cuda" if torch.cuda.is_available() else "cpu")
        loaded = load(Path(pretrained), dtype=dtype, device=target, trust_remote_code=trust_remote_code)
        chosen = choose_tier(loaded).tier if tier == "auto" else next(name for name in TIERS if name == tier)
        self.engine = TorchEngine(loaded, BatchSize(tokens=int(batch_tokens), rows=int(rows)), chosen)
        self.encoder = Encoder(loaded.tokenizer)
        self.window = context_window(loaded.model.config) or DEFAULT_WINDOW

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Return the log-likelihood of each continuation, and whether it is the greedy one."""
        return [(r.value, r.greedy) for r in self._answer(requests) if isinstance(r, LogLikelihood)]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Return the text after each prompt, without leading white space (see `kick.engines.base.Generate`)."""
        return [response.text for response in self._answer(requests) if isinstance(response, Completion)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Return the log-likelihood of each text, every token of it predicted once."""
        texts = [
            rolling_requests(self.encoder.encode(text), self.encoder.prefix_token, self.window)
            for (text,) in (request.args for request in requests)
        ]
        responses = iter(self.engine.answer([window for text in texts for window in text], alone=True))
        values = (response.value for response in responses if isinstance(response, LogLikelihood))
        return [sum(next(values) for _ in text) for text in texts]

    @property
    def tokenizer_name(self) -> str:
        """The name under which lm-eval caches rendered requests."""
        return str(self.encoder.tokenizer.name_or_path).replace("/", "__")

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return a conversation as the checkpoint's own template has it."""
        return str(
            self.encoder.tokenizer.apply_chat_template(
                chat_history,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        )

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return the template that `apply_chat_template` uses, for lm-eval's records."""
        return str(self.encoder.tokenizer.get_chat_template()) if chat_template else None

    def _answer(self, instances: Sequence[Instance]) -> list[Response]:
        """Answer lm-eval's requests, which it repeats itself."""
        single = [Instance(i.request_type, i.doc, i.arguments, i.idx) for i in instances]
        return self.engine.answer(encode_requests(single, self.encoder))


def main() -> None:
    """Run lm-eval's own command line, which knows the model `kick`."""
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()

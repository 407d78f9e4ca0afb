"""Factuality of summaries, as a model of natural language inference judges it: does a sentence follow from the article?

The model is the user's choice (`nli` in a suite), a sequence classifier of transformers with a label for entailment;
without one, factuality is not measured. Sentence by sentence over windows of the article: SummaC's zero-shot form
(Laban et al., TACL 10, 2022), with the most probable label for the probability.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from kick.checkpoints import fingerprint, read_config, read_tokenizer
from kick.checkpoints.untrusted import refusing
from kick.errors import InputError
from kick.files import digest
from kick.harness.floors import passage
from kick.harness.tasks import LoadedTask
from kick.metrics.facts import sentences

# The column of the share of a summary's sentences that the article entails, 0..1; 0 for a summary without sentences.
ENTAILED = "entailed"
# Tokens of a window of the article with the sentence. Models of inference were trained on no more.
LENGTH = 512
_BATCH = 16


@dataclass(frozen=True)
class EntailmentModel:
    """A model that tells whether a sentence follows from a text."""

    folder: Path
    fingerprint: str
    # The index of the label for entailment.
    label: int
    # The most tokens of a text and a sentence together.
    length: int

    @classmethod
    def read(cls, folder: Path) -> "EntailmentModel":
        """Identify a model by its files. It is loaded when it is first asked.

        Raises:
            InputError: it is not a sequence classifier, or none of its labels is entailment.
        """
        config = read_config(folder)
        architectures = config.architectures or ["none"]
        if not architectures[0].endswith("ForSequenceClassification"):
            raise InputError(
                f"nli: {folder} is a model of the architecture {architectures[0]}. Name a sequence classifier of "
                "natural language inference."
            )
        names = {int(at): str(name) for at, name in config.id2label.items()}
        labels = [
            at for at, name in names.items() if name.casefold() in ("entailment", "entails", "entailed")
        ]
        if len(labels) != 1:
            raise InputError(
                f"nli: {folder} has the labels {', '.join(names.values())}, and none, or more than one, is entailment. "
                "Name a model of natural language inference, with its labels under id2label in config.json."
            )
        longest = getattr(config, "max_position_embeddings", None) or LENGTH
        return cls(folder, fingerprint(folder), labels[0], min(LENGTH, longest))

    def share_entailed(self, article: str, summary: str) -> float:
        """Return the share of the sentences of a summary that follow from some window of its article, 0..1."""
        claims = sentences(summary)
        return sum(self.entails(article, claim) for claim in claims) / len(claims) if claims else 0.0

    def entails(self, text: str, sentence: str) -> bool:
        """Return whether entailment is the most probable label in some window of the text.

        A sentence of more than half a window is cut there.
        """
        windows = self._windows(text, sentence)
        return any(self._finds(windows[start : start + _BATCH]) for start in range(0, len(windows), _BATCH))

    def _windows(self, text: str, sentence: str) -> list[dict[str, list[int]]]:
        """Return the inputs of overlapping windows of the text, each with the sentence."""
        _, tokenizer = self._loaded
        half = self.length // 2
        offsets = tokenizer(
            sentence,
            add_special_tokens=False,
            truncation=True,
            max_length=half - tokenizer.num_special_tokens_to_add(pair=True),
            return_offsets_mapping=True,
        )["offset_mapping"]
        encoded = tokenizer(
            text,
            sentence[: offsets[-1][1]] if offsets else sentence,
            truncation="only_first",
            max_length=self.length,
            stride=half // 2,
            return_overflowing_tokens=True,
        )
        names = [name for name in tokenizer.model_input_names if name in encoded]
        return [{name: encoded[name][at] for name in names} for at in range(len(encoded["input_ids"]))]

    def _finds(self, windows: Sequence[dict[str, list[int]]]) -> bool:
        model, tokenizer = self._loaded
        inputs = tokenizer.pad(list(windows), return_tensors="pt").to(model.device)
        with torch.inference_mode():
            likeliest = model(**inputs).logits.argmax(dim=-1)
        return bool((likeliest == self.label).any())

    @cached_property
    def _loaded(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        tokenizer = read_tokenizer(self.folder)
        if not tokenizer.is_fast:
            raise InputError(f"nli: {self.folder} has no tokenizer.json, which windows of a text are cut by.")
        info: dict[str, Any]
        with refusing(f"nli: {self.folder} cannot be loaded"):
            model, info = AutoModelForSequenceClassification.from_pretrained(
                self.folder,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
        if info["missing_keys"] or info["mismatched_keys"]:
            missing = ", ".join(sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))[:3])
            raise InputError(
                f"nli: the weights of {self.folder} lack {missing}, which would be random. Name a whole model."
            )
        return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer


def with_entailment(loaded: LoadedTask, model: EntailmentModel) -> LoadedTask:
    """Return a task of summaries with the metric `entailed`; other tasks as they are.

    The model is part of the task's identity, so summaries that two models judged are not compared.
    """
    info, task = loaded.info, loaded.task
    if info.family != "summarization" or info.kind != "generation" or not passage(task.eval_docs[0]):
        return loaded
    return replace(
        loaded,
        info=info.model_copy(update={"metrics": (*info.metrics, ENTAILED)}),
        config_hash=digest(loaded.config_hash, ENTAILED, model.fingerprint),
        entailment=model,
    )

"""The workloads of `bench_scorer.py`: the same requests for plain lm-eval and for kick, workload by workload."""

import argparse
import copy
import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from kick.checkpoints import Loaded
from kick.data.corpora import load_corpus
from kick.engines.base import Completion, Generate, LogLikelihood, Response, Score
from kick.engines.torch import TorchEngine
from kick.harness.encoding import Encoder, encode_requests
from kick.harness.plan import build_requests
from kick.harness.tasks import load_tasks
from kick.rounding import round_to_nearest
from kick.suite.catalog import read_catalog

TASKS = {
    "letters": "kick_mmlu",
    "options": "kick_mmlu_text",
    "short": "kick_freebaseqa",
    "squad": "kick_squad",
}
ITEMS = {"letters": 40, "options": 12, "short": 64, "squad": 24, "wikitext": 2, "kl": 2}
BITS = 4  # of the candidate whose divergence is measured
Answers = list[Any]


@dataclass(frozen=True)
class Workload:
    """Requests, and how either side answers them.

    Args:
        name: the name in the table.
        items: the number of items.
        tokens: the tokens of all prompts and continuations, each by itself.
        longest: the tokens of the longest request.
        plain: returns the answers of lm-eval (or of a direct computation) at a batch size to the first so many items.
        kick: returns kick's answers.
        choice: turns the answers into values that are equal or not, one per item or token.
        models: the models that kick runs.
        full_logits: True if plain holds the logits of every position, so a batch may not fit the memory.
        batched: True if plain has a batch size.
        note: returns what else is to be said about the answers of both.
    """

    name: str
    items: int
    tokens: int
    longest: int
    plain: Callable[[int, int], Answers]
    kick: Callable[[], Answers]
    choice: Callable[[Answers], list[Any]]
    models: Sequence[Any]
    full_logits: bool = True
    batched: bool = True
    note: Callable[[Answers, Answers], str] = lambda theirs, ours: ""


def make_workload(
    name: str, items: int, loaded: Loaded, engine: TorchEngine, options: argparse.Namespace
) -> Workload:
    """Return a workload of `ITEMS` for a model."""
    if name == "wikitext":
        return _perplexity(items, loaded, engine, options)
    if name == "kl":
        return _divergence(items, loaded, engine, options)
    return _task(name, items, loaded, engine, options)


def _task(
    name: str, items: int, loaded: Loaded, engine: TorchEngine, options: argparse.Namespace
) -> Workload:
    (task,) = load_tasks([TASKS[name]], read_catalog(), data_root=options.data_root)
    # Neighbours, as in a run over a whole task.
    documents = range(min(items, len(task.task.eval_docs)))
    instances = build_requests(task, documents, seed=1234)
    encoder = Encoder(loaded.tokenizer)
    requests = encode_requests(instances, encoder)
    generates = isinstance(requests[0], Generate)

    def plain(size: int, first: int) -> Answers:
        some = [instance for instance in instances if instance.doc_id < first]
        model = hflm(loaded, size)
        if not generates:
            return model.loglikelihood(some, disable_tqdm=True)
        # kick drops leading white space before it looks for a stop string.
        return [text.lstrip() for text in model.generate_until(some, disable_tqdm=True)]

    return Workload(
        name=name,
        items=len(documents),
        tokens=sum(request.length for request in requests),
        longest=max(request.length for request in requests),
        plain=plain,
        # Tokenisation is part of what is measured, as it is for lm-eval.
        kick=lambda: [
            as_lm_eval(response) for response in engine.answer(encode_requests(instances, encoder))
        ],
        choice=list if generates else lambda answers: _best_choices(instances, answers),
        models=[loaded.model],
        full_logits=not generates,
    )


def as_lm_eval(response: Response) -> Any:
    """Return a response in the form of lm-eval's model classes."""
    return response.text if isinstance(response, Completion) else (response.value, response.greedy)


def _best_choices(instances: Sequence[Instance], answers: Answers) -> list[int]:
    by_item: dict[int, list[float]] = {}
    for instance, (value, _) in zip(instances, answers, strict=True):
        by_item.setdefault(instance.doc_id, []).append(value)
    return [max(range(len(values)), key=values.__getitem__) for values in by_item.values()]


def _windows(items: int, length: int, loaded: Loaded, options: argparse.Namespace) -> list[tuple[int, ...]]:
    ids = loaded.tokenizer(load_corpus("wikitext2", options.data_root).text, verbose=False)["input_ids"]
    return [tuple(ids[n * length : (n + 1) * length]) for n in range(min(items, len(ids) // length))]


def _perplexity(items: int, loaded: Loaded, engine: TorchEngine, options: argparse.Namespace) -> Workload:
    windows = _windows(items, options.window, loaded, options)
    plain_requests = [(("", str(n)), [window[0]], list(window[1:])) for n, window in enumerate(windows)]
    requests = [Score(window[:1], window[1:]) for window in windows]

    def kick() -> Answers:
        responses = engine.answer(requests, alone=True)
        return [(response.value, False) for response in responses if isinstance(response, LogLikelihood)]

    return Workload(
        name="wikitext",
        items=len(windows),
        tokens=sum(map(len, windows)),
        longest=options.window,
        plain=lambda size, first: hflm(loaded, size)._loglikelihood_tokens(
            plain_requests[:first], disable_tqdm=True
        ),
        kick=kick,
        choice=lambda answers: [round(value / (options.window - 1), 3) for value, _ in answers],
        models=[loaded.model],
    )


def _divergence(items: int, loaded: Loaded, engine: TorchEngine, options: argparse.Namespace) -> Workload:
    """KL of each token against a candidate with rounded weights, whose reference has left its states on disk."""
    windows = _windows(items, options.kl_window, loaded, options)
    requests = [Score(window[:1], window[1:]) for window in windows]
    candidate = _rounded(loaded)
    folder = tempfile.TemporaryDirectory()
    states = Path(folder.name) / "states.bin"
    other = TorchEngine(dataclasses.replace(loaded, model=candidate), engine.batch, engine.tier)

    def kick() -> Answers:
        scores = other.predict_tokens(requests, reference_states=states, alone=True)
        return [pair for score in scores for pair in zip(score.kl, score.same_top, strict=True)]

    started = time.perf_counter()
    engine.predict_tokens(requests, keep=states, alone=True)
    reference_seconds = time.perf_counter() - started
    tokens = sum(len(request.continuation) for request in requests)
    whole = 2 * tokens * engine.forward.head.vocabulary

    def note(theirs: Answers, ours: Answers) -> str:
        size = states.stat().st_size
        direct, kick = (sum(kl for kl, _ in answers) / len(answers) for answers in (theirs, ours))
        return (
            f"kl: mean {direct:.5f} nats per token directly, {kick:.5f} by kick. "
            f"The pass of the reference, once for all candidates, took {reference_seconds:.2f} s; its states take "
            f"{size / 2**20:.2f} MiB on disk, 1/{whole / size:.0f} of 16-bit log-probabilities of the vocabulary "
            f"({whole / 2**20:,.0f} MiB)"
        )

    return Workload(
        name="kl",
        items=len(windows),
        tokens=tokens,
        longest=options.kl_window,
        plain=lambda _, first: _direct(loaded.model, candidate, windows[:first]),
        kick=kick,
        choice=lambda answers: [bool(same) for _, same in answers],
        models=[candidate],
        batched=False,
        note=note,
    )


def _rounded(loaded: Loaded) -> Any:
    """A copy of the model whose linear layers are rounded to `BITS` bits."""
    model = copy.deepcopy(loaded.model)
    head = model.get_output_embeddings()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and module is not head:
            module.weight.data = round_to_nearest(module.weight.data, BITS, 128, symmetric=True)
    return model


@torch.inference_mode()
def _direct(reference: Any, candidate: Any, windows: Sequence[tuple[int, ...]]) -> Answers:
    """KL by its definition, from the float32 log-probabilities of both models at every position of a window."""
    answers = []
    for window in windows:
        ids = torch.tensor(window[:-1], device=reference.device)[None]
        p = reference(ids, use_cache=False).logits[0].float().log_softmax(-1)
        q = candidate(ids, use_cache=False).logits[0].float().log_softmax(-1)
        kl = (p.exp() * (p - q)).sum(-1)
        answers += zip(kl.tolist(), (p.argmax(-1) == q.argmax(-1)).tolist(), strict=True)
    return answers


def hflm(loaded: Loaded, batch_size: int) -> HFLM:
    """Return lm-eval's own model class for a checkpoint, with a float32 softmax."""
    return HFLM(
        pretrained=loaded.model,
        tokenizer=loaded.tokenizer,
        batch_size=batch_size,
        softmax_dtype=torch.float32,
    )

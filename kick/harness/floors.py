"""The floor of a task: what answerers without knowledge score on its items, by its real scoring.

An answerer sees what an ignorant one could see: the question, the passage, the options, and how answers of the task
look. The most frequent answers are counted in the evaluated items themselves, which no honest answerer has, so the
floor is an upper bound on what that kind of guessing gives.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance

from kick.harness.tasks import LoadedTask
from kick.metrics.answers import normalize
from kick.metrics.containment import named_options
from kick.metrics.facts import first_sentence, sentences
from kick.types import Floor, Floors

Document = Mapping[str, Any]

# The number of constants that are tried, the most frequent answers first, and the length of the list of them.
CONSTANTS = 10
LISTED = 10
LEADS = (1, 2, 3)
SALAD = "the of and to in a is that for it was on as with he at by his from be this have are which not or"
# Words per token of English text: what a budget of new tokens holds.
WORDS_PER_TOKEN = 0.75
_PASSAGES = ("passage", "context", "evidence", "article", "document")


def has_floors(loaded: LoadedTask) -> bool:
    """Return whether an answerer without knowledge can answer a task: one that asks for text or for a choice."""
    return loaded.task.OUTPUT_TYPE in ("generate_until", "multiple_choice")


def floors_of(loaded: LoadedTask, docs: Sequence[Document] | None = None) -> Floors:
    """Score every answerer without knowledge on the items of a task.

    Args:
        loaded: the task.
        docs: the documents to answer; all of the task's if left out.

    Raises:
        ValueError: there are no documents.
    """
    documents = list(loaded.task.eval_docs) if docs is None else list(docs)
    if not documents:
        raise ValueError(f"{loaded.info.name}: the floor of a task without items is not defined")
    order = max if loaded.info.higher_is_better else min
    scores: dict[str, list[float]] = {}
    for answerer, responses in _answerers(loaded, documents):
        scores.setdefault(answerer, []).append(_mean(loaded, documents, responses))
    floors = [Floor(answerer=answerer, score=order(tried)) for answerer, tried in scores.items()]
    chance = _chance(loaded, documents)
    if chance is not None:
        floors.append(Floor(answerer="chance", score=chance))
    return Floors(
        task=loaded.info.name,
        metric=loaded.info.metric,
        higher_is_better=loaded.info.higher_is_better,
        items=len(documents),
        floors=tuple(floors),
    )


def score_responses(
    loaded: LoadedTask, docs: Sequence[Document], responses: Sequence[str | Sequence[float]]
) -> list[dict[str, float]]:
    """Score given responses by the task's own filters and `process_results`, item by item.

    Args:
        loaded: the task.
        docs: its documents.
        responses: per document the generated text, or the log-likelihoods of its choices.

    Returns:
        Per document the metrics by name.
    """
    groups = [
        _instances(loaded, doc, at, response)
        for at, (doc, response) in enumerate(zip(docs, responses, strict=True))
    ]
    instances = [instance for group in groups for instance in group]
    # As `task.apply_filters`, without touching the requests that the task holds for a run.
    for ensemble in loaded.task._filters:
        ensemble.apply(instances)
    results = []
    for doc, group in zip(docs, groups, strict=True):
        name = next(iter(group[0].filtered_resps))
        results.append(
            loaded.task.process_results(doc, [instance.filtered_resps[name] for instance in group])
        )
    return results


def _instances(
    loaded: LoadedTask, doc: Document, doc_id: int, response: str | Sequence[float]
) -> list[Instance]:
    generated = isinstance(response, str)
    kind = "generate_until" if generated else "loglikelihood"
    answers: list[Any] = [response] if generated else [(value, False) for value in response]
    return [
        Instance(
            request_type=kind,
            doc=doc,
            arguments=("", {}) if generated else ("", ""),
            idx=at,
            metadata=(loaded.info.name, doc_id, 1),
            resps=[answer],
        )
        for at, answer in enumerate(answers)
    ]


def _mean(loaded: LoadedTask, docs: Sequence[Document], responses: Sequence[str | Sequence[float]]) -> float:
    values = [float(scores[loaded.info.metric]) for scores in score_responses(loaded, docs, responses)]
    return math.fsum(values) / len(values)


def _answerers(
    loaded: LoadedTask, docs: Sequence[Document]
) -> Iterator[tuple[str, Sequence[str | Sequence[float]]]]:
    """Yield the answerers with their responses; several under one name are tried, and the best counts."""
    if loaded.task.OUTPUT_TYPE != "generate_until":
        yield from _choosers(loaded, docs)
        return
    for name, responses in _writers(loaded, docs):
        yield name, [_as_generated(loaded, response) for response in responses]


def _choosers(loaded: LoadedTask, docs: Sequence[Document]) -> Iterator[tuple[str, list[list[float]]]]:
    choices = [[str(choice) for choice in loaded.task.doc_to_choice(doc)] for doc in docs]
    for position in range(max(map(len, choices))):
        yield "one option always", [_taking(min(position, len(each) - 1), len(each)) for each in choices]
    lengths = [[len(choice) for choice in each] for each in choices]
    if any(len(set(each)) > 1 for each in lengths):
        for name, extreme in (("the longest option", max), ("the shortest option", min)):
            yield name, [_taking(each.index(extreme(each)), len(each)) for each in lengths]


def _taking(choice: int, count: int) -> list[float]:
    """Return log-likelihoods that take one choice by every metric, normalised by length or not."""
    return [0.0 if at == choice else -1e9 for at in range(count)]


def _writers(loaded: LoadedTask, docs: Sequence[Document]) -> Iterator[tuple[str, list[str]]]:
    count = len(docs)
    yield "empty", [""] * count
    if loaded.info.family == "summarization":
        yield "a salad of stop words", [SALAD] * count
        for size in LEADS:
            yield (
                f"the first {size} sentences" if size > 1 else "the first sentence",
                [" ".join(sentences(passage(doc))[:size]) for doc in docs],
            )
        return
    questions = [str(doc.get("question") or loaded.task.doc_to_text(doc)) for doc in docs]
    yield "the question given back", questions
    frequent = _frequent_answers(loaded, docs)
    for constant in frequent[:CONSTANTS]:
        yield "the most frequent answer", [constant] * count
    yield "a list of the most frequent answers", [", ".join(frequent[:LISTED])] * count
    leads = [_lead(loaded, doc) for doc in docs]
    if any(leads):
        yield "the first sentence of the passage", leads
    options = [_options(loaded, doc, question) for doc, question in zip(docs, questions, strict=True)]
    if any(options):
        yield "all options named", [" and ".join(each) if each else frequent[0] for each in options]
        yield "the first option named", [each[0] if each else frequent[0] for each in options]
        yield "the last option named", [each[-1] if each else frequent[0] for each in options]


def _frequent_answers(loaded: LoadedTask, docs: Sequence[Document]) -> list[str]:
    """Return the answers of the items, the most frequent first, each in its most frequent spelling."""
    spellings: dict[str, Counter[str]] = {}
    for doc in docs:
        target = _target(loaded, doc)
        spellings.setdefault(normalize(target), Counter())[target] += 1
    spellings.pop("", None)
    ordered = sorted(spellings.values(), key=lambda counter: -counter.total())
    return [counter.most_common(1)[0][0] for counter in ordered] or [""]


def _options(loaded: LoadedTask, doc: Document, question: str) -> tuple[str, ...]:
    """Return the options that a prompt shows: the letters of a multiple choice, else those of the question."""
    if loaded.info.family == "multiple_choice":
        letters = "ABCDEFGHIJ"[: len(doc.get("choices") or ())]
        return tuple(letters)
    return named_options(question, _aliases(loaded, doc))


def _aliases(loaded: LoadedTask, doc: Document) -> list[str]:
    return [_target(loaded, doc)]


def _target(loaded: LoadedTask, doc: Document) -> str:
    """Return the right answer of a document: the first one if there are several."""
    target = loaded.task.doc_to_target(doc)
    if isinstance(target, list) and target:
        target = target[0]
    return str(target).strip()


def _lead(loaded: LoadedTask, doc: Document) -> str:
    """Return the first sentence of the passage; "" if the prompt does not show it, as in a closed-book variant."""
    lead = first_sentence(passage(doc))
    return lead if lead in str(loaded.task.doc_to_text(doc)) else ""


def passage(doc: Document) -> str:
    """Return the text that a document gives to read; "" if it gives none."""
    for key in _PASSAGES:
        text = doc.get(key)
        if isinstance(text, str) and text:
            return text
        if isinstance(text, Mapping) and text.get("sentences"):
            return " ".join(sentence.strip() for part in text["sentences"][:1] for sentence in part)
    paragraphs = doc.get("paragraphs")
    return str(paragraphs[0]["paragraph_text"]) if paragraphs else ""


def _as_generated(loaded: LoadedTask, response: str) -> str:
    """Return the response as generation would leave it: at most the budget of new tokens, up to the first stop."""
    settings = loaded.task.config.generation_kwargs or {}
    words = response.strip().split(" ")
    budget = max(1, math.floor(WORDS_PER_TOKEN * int(settings.get("max_gen_toks") or len(words))))
    text = " ".join(words[:budget])
    stops = settings.get("until") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        if stop:
            text = text.partition(stop)[0]
    return text


def _chance(loaded: LoadedTask, docs: Sequence[Document]) -> float | None:
    """Return what blind guessing scores: the mean of one over the number of choices, else what the task states."""
    if loaded.task.OUTPUT_TYPE == "generate_until":
        return loaded.info.chance
    return math.fsum(1 / len(loaded.task.doc_to_choice(doc)) for doc in docs) / len(docs)

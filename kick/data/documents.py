"""Documents that are made from the rows of a data set: bands, excerpts, length classes, answers to choose from."""

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import datasets
import pyarrow as pa

from kick.data.datasets import Splits, dataset, freebaseqa, tables
from kick.data.options import refers_to_options
from kick.errors import InputError, nearest
from kick.metrics.answers import contains_alias, is_empty

CHOICES = 4
# The number of candidates that are looked at per kind of answer.
DRAWS = 64
Band = Literal["tail", "torso", "head"]
# Monthly page views of the question's subject, from (inclusive) to (exclusive). Below 100 is the long tail of Asai et
# al. (2023).
BANDS: Mapping[Band, tuple[float, float]] = {
    "tail": (0, 100),
    "torso": (100, 10_000),
    "head": (10_000, float("inf")),
}
PASSAGE_WORDS = 300
LETTERS = "ABCDEFGHIJ"


def popqa(
    *,
    path: str,
    splits: Sequence[str],
    commit: str,
    band: Band | None = None,
    data_root: str | None = None,
    **_metadata: object,
) -> Splits:
    """Load PopQA (Mallen et al., 2023), whole or one band of popularity.

    A document is {id, question, answers, relation, popularity}: the possible answers, the relation that the question
    asks for, and the monthly page views of the subject.

    Raises:
        InputError: as `kick.data.datasets.load`; or there is no such band, or no question of it.
    """
    if band is not None and band not in BANDS:
        raise InputError(f"PopQA has no band '{band}'. {nearest(band, list(BANDS))}")
    low, high = BANDS[band] if band else (0.0, float("inf"))
    columns = ("id", "question", "possible_answers", "prop", "s_pop")
    result = {}
    for split, table in tables(path, splits, None, commit, columns, data_root).items():
        documents = [
            {
                "id": str(row["id"]),
                "question": row["question"],
                "answers": json.loads(row["possible_answers"]),
                "relation": row["prop"] or "",
                "popularity": row["s_pop"],
            }
            for row in table.to_pylist()
            if low <= row["s_pop"] < high
        ]
        if not documents:
            raise InputError(f"{path} ({split}) has no question of the band {band}. Use more of the data.")
        result[split] = dataset(pa.Table.from_pylist(documents))
    return result


def popqa_choices(
    *, path: str, splits: Sequence[str], commit: str, data_root: str | None = None, **_metadata: object
) -> Splits:
    """Load PopQA with `choices`, and `gold`, the index of the right one.

    The wrong ones are answers to other questions, of the same relation if there are enough.
    """
    rows = popqa(path=path, splits=splits, commit=commit, data_root=data_root)
    return {split: _with_choices(documents.to_list(), _by_relation) for split, documents in rows.items()}


def freebaseqa_choices(
    *, splits: Sequence[str], commit: str, data_root: str | None = None, **_metadata: object
) -> Splits:
    """Load FreebaseQA with `choices`, and `gold`, the index of the right one.

    The wrong ones are answers to other questions, of the same Freebase relation if there are enough, else of the same
    property, else of the same domain.
    """
    rows = freebaseqa(splits=splits, commit=commit, data_root=data_root)
    return {split: _with_choices(documents.to_list(), _by_freebase_path) for split, documents in rows.items()}


def of_length(
    *,
    path: str,
    splits: Sequence[str],
    column: str,
    at_least: int,
    below: int | None,
    name: str | None = None,
    commit: str | None = None,
    columns: Sequence[str] | None = None,
    tokenizer: str | None = None,
    pretrained: str | None = None,
    data_root: str | None = None,
    **_metadata: object,
) -> Splits:
    """Load the rows whose text in `column` has at least `at_least` and fewer than `below` tokens.

    Tokens are those of the model under test: lm-eval passes `tokenizer` or `pretrained` in the metadata, a folder or
    a hub id. No special tokens are counted.

    Raises:
        InputError: as `kick.data.datasets.load`; no tokenizer was named; or no row has that length.
    """
    from transformers import AutoTokenizer

    source = tokenizer or pretrained
    if source is None:
        raise InputError(
            f"the length classes of {path} are counted in tokens and no tokenizer was named. Give it as metadata: "
            '`lm-eval run --metadata \'{"tokenizer": "..."}\'`, or TaskManager(metadata={"tokenizer": ...}).'
        )
    count = AutoTokenizer.from_pretrained(source)
    result = {}
    for split, table in tables(path, splits, name, commit, columns, data_root).items():
        ids = count(table.column(column).to_pylist(), add_special_tokens=False)["input_ids"]
        keep = [at_least <= len(each) < (below or float("inf")) for each in ids]
        if not any(keep):
            raise InputError(
                f"{path} ({split}): no {column} has {at_least} to {below or 'any number of'} tokens. "
                "Use more of the data, or leave this length class out."
            )
        result[split] = dataset(table.filter(pa.array(keep)))
    return result


def triviaqa_passages(
    *,
    path: str,
    splits: Sequence[str],
    name: str,
    commit: str,
    data_root: str | None = None,
    **_metadata: object,
) -> Splits:
    """Load TriviaQA's questions (Joshi et al., 2017), each with the first passage of its evidence that answers it.

    A document is {question_id, question, answer, passage, source}. The passages of a page are its overlapping windows
    of 300 words; Wikipedia pages come before search results; `source` is the page's title. Questions whose evidence
    has no alias as a whole word are not part of the task.

    Raises:
        InputError: as `kick.data.datasets.load`; or no question has evidence.
    """
    columns = ("question_id", "question", "answer", "entity_pages", "search_results")
    result = {}
    for split, table in tables(path, splits, name, commit, columns, data_root).items():
        documents = []
        for batch in table.to_batches(max_chunksize=64):
            for row in batch.to_pylist():
                if excerpt := _passage(row):
                    kept = {key: row[key] for key in ("question_id", "question", "answer")}
                    documents.append({**kept, **excerpt})
        if not documents:
            raise InputError(f"{path} ({name}, {split}) has no evidence. Use the configuration `rc`.")
        result[split] = dataset(pa.Table.from_pylist(documents))
    return result


def simpleqa(
    *, path: str, splits: Sequence[str], commit: str, data_root: str | None = None, **_metadata: object
) -> Splits:
    """Load SimpleQA (Wei et al., 2024). A document is {question, answers}, with one answer.

    Raises:
        InputError: as `kick.data.datasets.load`.
    """
    result = {}
    for split, table in tables(path, splits, None, commit, ("problem", "answer"), data_root).items():
        rows = table.to_pylist()
        documents = [{"question": row["problem"], "answers": [row["answer"]]} for row in rows]
        result[split] = dataset(pa.Table.from_pylist(documents))
    return result


def mmlu_pro(
    *,
    path: str,
    splits: Sequence[str],
    commit: str,
    standalone: bool = False,
    data_root: str | None = None,
    **_metadata: object,
) -> Splits:
    """Load MMLU-Pro (Wang et al., 2024). A document is {question_id, question, choices, letters, answer, category}.

    An item has three to ten `choices`, as many `letters` from A on, and `answer` is the index of the right one.

    Args:
        path: `owner/name` on the hub.
        splits: the splits to load.
        commit: the commit on the hub.
        standalone: only items whose question can be answered without seeing the options.
        data_root: a local mirror.
        _metadata: ignored.

    Raises:
        InputError: as `kick.data.datasets.load`.
    """
    columns = ("question_id", "question", "options", "answer_index", "category")
    result = {}
    for split, table in tables(path, splits, None, commit, columns, data_root).items():
        documents = [
            {
                "question_id": row["question_id"],
                "question": row["question"],
                "choices": row["options"],
                "letters": list(LETTERS[: len(row["options"])]),
                "answer": row["answer_index"],
                "category": row["category"],
            }
            for row in table.to_pylist()
            if not (standalone and refers_to_options(row["question"], row["options"]))
        ]
        result[split] = dataset(pa.Table.from_pylist(documents))
    return result


def squad2(
    *,
    path: str,
    splits: Sequence[str],
    name: str,
    commit: str,
    answerable: bool | None = None,
    data_root: str | None = None,
    **_metadata: object,
) -> Splits:
    """Load SQuAD 2.0 (Rajpurkar et al., 2018), whole, or the questions that its passages answer, or the others.

    A document is {id, title, context, question, answers}; `answers` is empty where the passage has no answer.

    Raises:
        InputError: as `kick.data.datasets.load`; or no question is of the kind asked for.
    """
    columns = ("id", "title", "context", "question", "answers")
    result = {}
    for split, table in tables(path, splits, name, commit, columns, data_root).items():
        documents = [
            {**row, "answers": row["answers"]["text"]}
            for row in table.to_pylist()
            if answerable is None or bool(row["answers"]["text"]) == answerable
        ]
        if not documents:
            kind = "answerable" if answerable else "unanswerable"
            raise InputError(f"{path} ({split}) has no {kind} question. Use more of the data.")
        schema = pa.schema(
            [(key, pa.string()) for key in columns[:-1]] + [("answers", pa.list_(pa.string()))]
        )
        result[split] = dataset(pa.Table.from_pylist(documents, schema=schema))
    return result


def freebaseqa_first(
    *, splits: Sequence[str], commit: str, first: int, data_root: str | None = None, **_metadata: object
) -> Splits:
    """Load the first questions of FreebaseQA in the order of its file, as LLM-KICK did."""
    rows = freebaseqa(splits=splits, commit=commit, data_root=data_root)
    return {split: documents.select(range(min(first, len(documents)))) for split, documents in rows.items()}


def triviaqa_first(
    *,
    path: str,
    splits: Sequence[str],
    name: str,
    commit: str,
    first: int,
    evidence: bool,
    data_root: str | None = None,
    **_metadata: object,
) -> Splits:
    """Load the first questions of TriviaQA in the order of its file, as LLM-KICK did.

    With `evidence`, a document has that too: the first Wikipedia page and the first search result, a newline between.
    """
    columns = ["question_id", "question", "answer", *(["entity_pages", "search_results"] if evidence else [])]
    result = {}
    for split, table in tables(path, splits, name, commit, columns, data_root).items():
        documents = []
        for row in table.slice(0, first).to_pylist():
            kept = {key: row[key] for key in ("question_id", "question", "answer")}
            if evidence:
                pages, results = row["entity_pages"]["wiki_context"], row["search_results"]["search_context"]
                kept["evidence"] = "\n".join([*pages[:1], *results[:1]])
            documents.append(kept)
        result[split] = dataset(pa.Table.from_pylist(documents))
    return result


def _passage(row: Mapping[str, Any]) -> dict[str, str] | None:
    aliases = [row["answer"]["value"], *row["answer"]["aliases"]]
    folded = [alias.casefold() for alias in aliases]
    pages, results = row["entity_pages"], row["search_results"]
    texts = [*zip(pages["title"], pages["wiki_context"], strict=True)]
    texts += zip(results["title"], results["search_context"], strict=True)
    for title, text in texts:
        words = text.split()
        for start in range(0, len(words), PASSAGE_WORDS // 2):
            passage = " ".join(words[start : start + PASSAGE_WORDS])
            lower = passage.casefold()
            if any(alias in lower for alias in folded) and contains_alias(passage, aliases):
                return {"passage": passage, "source": title}
    return None


# --- answers to choose from ---


def _by_relation(document: Mapping[str, Any]) -> list[str]:
    return [document["relation"]]


def _by_freebase_path(document: Mapping[str, Any]) -> list[str]:
    """Return kinds from narrow to wide: the whole chain (book.written_work.author), its last property, its domain."""
    chain = document["relation"]
    return [chain, f"*.{chain.split('.')[-1]}", f"{chain.split('.')[0]}.*"]


def _with_choices(
    documents: list[dict[str, Any]], kinds: Callable[[Mapping[str, Any]], list[str]]
) -> datasets.Dataset:
    """Return the documents with four choices each; the same document among the same others gets the same ones."""
    pools: dict[str, dict[str, None]] = {}
    for document in documents:
        for kind in [*kinds(document), "*"]:
            pools.setdefault(kind, {})[document["answers"][0]] = None
    ordered = {kind: sorted(pool) for kind, pool in pools.items()}
    return dataset(
        pa.Table.from_pylist(
            [{**document, **_choices(document, [*kinds(document), "*"], ordered)} for document in documents]
        )
    )


def _choices(
    document: Mapping[str, Any], kinds: Sequence[str], pools: Mapping[str, list[str]]
) -> dict[str, list[str] | int]:
    draw = random.Random(hashlib.sha256(document["id"].encode()).digest())
    answers = document["answers"]
    wrong: list[str] = []
    for kind in kinds:
        pool = pools[kind]
        for candidate in draw.sample(pool, min(len(pool), DRAWS)):
            taken = [*answers, *wrong]
            if len(wrong) < CHOICES - 1 and not is_empty(candidate) and not _overlaps(candidate, taken):
                wrong.append(candidate)
    if len(wrong) < CHOICES - 1:
        raise InputError(
            f"{len(wrong) + 1} different answers are too few to choose from. Use more of the data."
        )
    gold = draw.randrange(CHOICES)
    return {"choices": [*wrong[:gold], answers[0], *wrong[gold:]], "gold": gold}


def _overlaps(candidate: str, taken: Sequence[str]) -> bool:
    """Return whether one of them says the same, more, or less: United States, United States of America."""
    return bool(contains_alias(candidate, taken)) or any(contains_alias(each, [candidate]) for each in taken)

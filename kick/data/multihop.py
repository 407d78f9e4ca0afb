"""Multi-hop questions with the paragraphs that they need, and nothing else; and their single hops."""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa

from kick.data.datasets import Splits, dataset, tables
from kick.errors import InputError

Row = dict[str, Any]

_HOP = re.compile(r"#(\d+)")
# "located in the country" and "member of sports team" cannot follow "What is the".
_PREPOSITION = re.compile(r"\b(?:of|in|by|on|at|for|to)\b")


def supporting(
    *,
    path: str,
    splits: Sequence[str],
    name: str | None = None,
    commit: str | None = None,
    data_root: str | None = None,
    **_metadata: object,
) -> Splits:
    """Load HotpotQA or 2WikiMultihopQA with the supporting paragraphs alone, in the order of the data set.

    A document is {id, question, answer, type, context}; `context` has the titles and sentences of the paragraphs that
    `supporting_facts` names. Items whose context lacks one of them are not part of the task.

    Raises:
        InputError: as `kick.data.datasets.load`; or no item has its supporting paragraphs.
    """
    columns = ("id", "question", "answer", "type", "supporting_facts", "context")

    def convert(rows: Sequence[Row]) -> list[Row]:
        documents = [document for row in rows if (document := _supported(row))]
        if not documents:
            raise InputError(
                f"{path}: no item has its supporting paragraphs. Use the data set and commit that the task names."
            )
        return documents

    return _converted(tables(path, splits, name, commit, columns, data_root), convert)


def _supported(row: Mapping[str, Any]) -> Row | None:
    needed = set(row["supporting_facts"]["title"])
    paragraphs = zip(row["context"]["title"], row["context"]["sentences"], strict=True)
    kept = [(title, sentences) for title, sentences in paragraphs if title in needed]
    if {title for title, _ in kept} != needed:
        return None
    fields = {key: row[key] for key in ("id", "question", "answer", "type")}
    context = {"title": [title for title, _ in kept], "sentences": [sentences for _, sentences in kept]}
    return {**fields, "context": context}


def musique_supporting(
    *,
    path: str,
    splits: Sequence[str],
    name: str | None = None,
    commit: str | None = None,
    data_root: str | None = None,
    **_metadata: object,
) -> Splits:
    """Load MuSiQue with the supporting paragraphs of each question alone, in the order of the data set.

    Raises:
        InputError: as `kick.data.datasets.load`.
    """
    columns = ("id", "question", "answer", "answer_aliases", "paragraphs")

    def convert(rows: Sequence[Row]) -> list[Row]:
        return [
            {**row, "paragraphs": [each for each in row["paragraphs"] if each["is_supporting"]]}
            for row in rows
        ]

    return _converted(tables(path, splits, name, commit, columns, data_root), convert)


def musique_hops(
    *,
    path: str,
    splits: Sequence[str],
    name: str | None = None,
    commit: str | None = None,
    data_root: str | None = None,
    **_metadata: object,
) -> Splits:
    """Load the single hops that MuSiQue's questions are made of (Trivedi et al., 2022), each once.

    A document is {id, parent, question, answers, title, passage}: the hop's question with the answers of earlier hops
    in the place of #1, #2, ..., and the paragraph that answers it. "Oslo >> mayor" is asked as "What is the mayor of
    Oslo?"; `parent` is the first multi-hop question that needs the hop.

    Raises:
        InputError: as `kick.data.datasets.load`.
    """
    columns = ("id", "question_decomposition", "paragraphs")

    def convert(rows: Sequence[Row]) -> list[Row]:
        documents: dict[tuple[str, str], Row] = {}
        for document in chain.from_iterable(map(_hops, rows)):
            documents.setdefault((document["question"], document["answers"][0]), document)
        return list(documents.values())

    return _converted(tables(path, splits, name, commit, columns, data_root), convert)


def _converted(splits: Mapping[str, pa.Table], convert: Callable[[Sequence[Row]], list[Row]]) -> Splits:
    """Return data sets of the documents that are made from the rows of each split."""
    return {
        split: dataset(pa.Table.from_pylist(convert(table.to_pylist()))) for split, table in splits.items()
    }


def _hops(row: Mapping[str, Any]) -> list[Row]:
    answers: list[str] = []
    hops = []
    paragraphs = {paragraph["idx"]: paragraph for paragraph in row["paragraphs"]}
    for at, hop in enumerate(row["question_decomposition"]):
        paragraph = paragraphs[hop["paragraph_support_idx"]]
        hops.append(
            {
                "id": f"{row['id']}/{at}",
                "parent": row["id"],
                "question": hop_question(hop["question"], answers),
                "answers": [hop["answer"]],
                "title": paragraph["title"],
                "passage": paragraph["paragraph_text"],
            }
        )
        answers.append(hop["answer"])
    return hops


def hop_question(question: str, answers: Sequence[str]) -> str:
    """Return a hop of MuSiQue as a question: earlier answers for #1, #2, ...; "X >> relation" in words."""
    filled = _HOP.sub(
        lambda match: answers[int(match[1]) - 1] if int(match[1]) <= len(answers) else match[0], question
    )
    subject, arrow, relation = (part.strip() for part in filled.partition(">>"))
    if not arrow:
        text = filled.strip()
    elif _PREPOSITION.search(relation):
        text = f"{subject}: {relation}"
    else:
        text = f"What is the {relation} of {subject}"
    return f"{text[0].upper()}{text[1:].rstrip('?').rstrip()}?" if text else text

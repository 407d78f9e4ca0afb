"""Multi-hop questions with the paragraphs that they need, and nothing else; and their single hops."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from kick.data.datasets import Splits, dataset, tables
from kick.errors import InputError

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
    result = {}
    for split, table in tables(path, splits, name, commit, columns, data_root).items():
        documents = [document for row in table.to_pylist() if (document := _supported(row))]
        if not documents:
            raise InputError(
                f"{path} ({split}): no item has its supporting paragraphs. "
                "Use the data set and commit that the task names."
            )
        result[split] = dataset(pa.Table.from_pylist(documents))
    return result


def _supported(row: Mapping[str, Any]) -> dict[str, Any] | None:
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
    result = {}
    for split, table in tables(path, splits, name, commit, columns, data_root).items():
        documents = [
            {**row, "paragraphs": [each for each in row["paragraphs"] if each["is_supporting"]]}
            for row in table.to_pylist()
        ]
        result[split] = dataset(pa.Table.from_pylist(documents))
    return result


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
    result = {}
    for split, table in tables(path, splits, name, commit, columns, data_root).items():
        documents: dict[tuple[str, str], dict[str, Any]] = {}
        for row in table.to_pylist():
            for document in _hops(row):
                documents.setdefault((document["question"], document["answers"][0]), document)
        result[split] = dataset(pa.Table.from_pylist(list(documents.values())))
    return result


def _hops(row: Mapping[str, Any]) -> list[dict[str, Any]]:
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
        asked = filled.strip()
    elif _PREPOSITION.search(relation):
        asked = f"{subject}: {relation}"
    else:
        asked = f"What is the {relation} of {subject}"
    return f"{asked[0].upper()}{asked[1:].rstrip('?').rstrip()}?" if asked else asked

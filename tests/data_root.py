"""A small data root in the hub's layout, its content written for the tests, for every task of kick."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Rows = Sequence[Mapping[str, Any]]

FACTS = (  # (topic, question, answers)
    ("copper", "What metal is a kettle at the harbour inn made of?", ["copper"]),
    ("Maren Holt", "Who kept the lighthouse at Vinsted?", ["Maren Holt", "Maren"]),
    ("1874", "In what year did the Vinsted ferry first sail?", ["1874"]),
    ("Lake Odde", "Which lake lies north of Vinsted?", ["Lake Odde", "Odde"]),
    ("a heron", "What bird is on the arms of Vinsted?", ["a heron", "heron"]),
    ("seven", "How many bells hang in the tower of Vinsted?", ["seven", "7"]),
)
SUBJECTS = ("abstract_algebra", "high_school_us_history", "virology")
STORY = (
    "The ferry to Vinsted lay still for the third day. Ice had closed the harbour on Sunday night, and the "
    "crew slept at the inn. Captain Iver Lund said that the ship would sail when the wind turned. Forty "
    "passengers waited, among them the new keeper of the lighthouse."
)


def make_data_root(root: Path, subjects: Sequence[str] = SUBJECTS) -> Path:
    """Write the data root; returns it. Every split holds a few rows with the real data set's columns."""
    root.mkdir(parents=True, exist_ok=True)
    _freebaseqa(root)
    _mmlu(root, subjects)
    _write(
        root,
        "hotpotqa__hotpot_qa/distractor/validation",
        [_hotpotqa(*fact, i) for i, fact in enumerate(FACTS)],
    )
    _write(
        root, "rajpurkar__squad/plain_text/validation", [_squad(*fact[1:], i) for i, fact in enumerate(FACTS)]
    )
    _write(
        root,
        "abisee__cnn_dailymail/3.0.0/test",
        [
            {
                "article": STORY * (i + 1),
                "highlights": "Ice holds the Vinsted ferry .\nForty wait .",
                "id": f"{i}",
            }
            for i in range(4)
        ],
    )
    return root


def _write(root: Path, path: str, rows: Rows) -> None:
    file = root / f"{path}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), file)


def _freebaseqa(root: Path) -> None:
    folder = root / "freebaseqa"
    folder.mkdir(exist_ok=True)
    for split in ("train", "dev", "eval"):
        questions = [
            {
                "Question-ID": f"FreebaseQA-{split}-{i}",
                "RawQuestion": question if split == "eval" else f"On {split} day {i}: {question}",
                "ProcessedQuestion": question.lower(),
                "Parses": [
                    {
                        "Parse-Id": f"FreebaseQA-{split}-{i}.P0",
                        "PotentialTopicEntityMention": "vinsted",
                        "TopicEntityName": "vinsted",
                        "TopicEntityMid": "m.0",
                        "InferentialChain": "town.facts",
                        "Answers": [{"AnswersMid": "m.1", "AnswersName": answers}],
                    }
                ],
            }
            for i, (_, question, answers) in enumerate(FACTS)
        ]
        content = {"Dataset": f"FreebaseQA-{split}", "Version": "1.0", "Questions": questions}
        (folder / f"FreebaseQA-{split}.json").write_text(json.dumps(content), encoding="utf-8")


def _mmlu(root: Path, subjects: Sequence[str]) -> None:
    for split, count in (("dev", 5), ("test", 2)):
        rows = [
            {
                "question": f"In {subject}, which number of the {split} list comes after {i}?",
                "subject": subject,
                "choices": [str(i + offset) for offset in (3, 1, 2, 4)],
                "answer": 1,
            }
            for subject in subjects
            for i in range(count)
        ]
        _write(root, f"cais__mmlu/all/{split}", rows)


def _paragraphs(topic: str) -> dict[str, list[Any]]:
    titles = [topic, *(f"Vinsted {i}" for i in range(9))]
    return {
        "title": titles,
        "sentences": [[f"{title} is known in Vinsted.", f" People speak of {title}."] for title in titles],
    }


def _hotpotqa(topic: str, question: str, answers: list[str], i: int) -> dict[str, Any]:
    return {
        "id": f"hop{i}",
        "question": question,
        "answer": answers[0],
        "type": "bridge",
        "level": "hard",
        "supporting_facts": {"title": [topic], "sent_id": [0]},
        "context": _paragraphs(topic),
    }


def _squad(question: str, answers: list[str], i: int) -> dict[str, Any]:
    return {
        "id": f"squad{i}",
        "title": "Vinsted" if i < 3 else "Odde",
        "context": f"{STORY} They spoke of {answers[0]}.",
        "question": question,
        "answers": {"text": answers, "answer_start": [0] * len(answers)},
    }

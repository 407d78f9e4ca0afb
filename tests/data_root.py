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
    for path, rows in _parquet_rows().items():
        _write(root, path, rows)
    return root


def _parquet_rows() -> dict[str, Rows]:
    """The rows of every Parquet file but MMLU's, by path under the data root."""
    hotpotqa = [_hotpotqa(*fact, i) for i, fact in enumerate(FACTS)]
    return {
        "hotpotqa__hotpot_qa/distractor/validation": hotpotqa,
        "framolfese__2WikiMultihopQA/default/validation": hotpotqa,
        "dgslibisey__MuSiQue/default/validation": [_musique(*fact, i) for i, fact in enumerate(FACTS)],
        "ChilleD__StrategyQA/default/train": [_strategyqa("train", i) for i in range(6)],
        "ChilleD__StrategyQA/default/test": [_strategyqa("test", i) for i in range(6)],
        "rajpurkar__squad/plain_text/validation": [_squad(*fact[1:], i) for i, fact in enumerate(FACTS)],
        "basicv8vc__SimpleQA/default/test": [
            {"problem": question, "answer": answers[0]} for _, question, answers in FACTS
        ],
        "rajpurkar__squad_v2/squad_v2/validation": [
            {**_squad(*fact[1:], i), "answers": _no_answers() if i % 2 else _squad(*fact[1:], i)["answers"]}
            for i, fact in enumerate(FACTS)
        ],
        "TIGER-Lab__MMLU-Pro/default/test": [_mmlu_pro(i) for i in range(10)],
        "nq_open_oracle/default/validation": [
            {
                "question": question[:-1],
                "answers": answers,
                "title": topic,
                "passage": f"{STORY} {answers[0]}.",
            }
            for topic, question, answers in FACTS
        ],
        "google-research-datasets__nq_open/nq_open/validation": [
            {"question": question[:-1].lower(), "answer": answers} for _, question, answers in FACTS
        ],
        "stanfordnlp__web_questions/default/test": [
            {"url": "", "question": question, "answers": answers} for _, question, answers in FACTS
        ],
        "akariasai__PopQA/default/test": [_popqa(*fact, i) for i, fact in enumerate(FACTS)],
        "mandarjoshi__trivia_qa/rc.nocontext/validation": [
            _triviaqa(*fact, i) for i, fact in enumerate(FACTS)
        ],
        "mandarjoshi__trivia_qa/rc/validation": [_triviaqa(*fact, i) for i, fact in enumerate(FACTS)],
        "abisee__cnn_dailymail/3.0.0/test": [
            {"article": STORY * times, "highlights": "Ice holds the ferry .\nForty wait .", "id": f"{times}"}
            for times in (1, 2, 3, 4, 5, 6)
        ],
        "EdinburghNLP__xsum/default/test": [
            {"document": STORY, "summary": f"Ice holds the ferry for day {i}.", "id": str(i)}
            for i in range(6)
        ],
    }


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


def _no_answers() -> dict[str, list[Any]]:
    return {"text": [], "answer_start": []}


def _mmlu_pro(i: int) -> dict[str, Any]:
    """One of ten items has five options; the ninth refers to its options."""
    options = [str(i + offset) for offset in range(1, 6 if i == 9 else 11)]
    asked = "Which of the following numbers comes" if i == 8 else "Which number comes"
    return {
        "question_id": i,
        "question": f"{asked} after {i} on the harbour list?",
        "options": options,
        "answer": "A",
        "answer_index": 0,
        "cot_content": "",
        "category": "business" if i < 5 else "law",
        "src": "harbour",
    }


def _musique(topic: str, question: str, answers: list[str], i: int) -> dict[str, Any]:
    return {
        "id": f"2hop__{i}",
        "paragraphs": [
            {"idx": at, "title": title, "paragraph_text": "".join(sentences), "is_supporting": at == 0}
            for at, (title, sentences) in enumerate(zip(*_paragraphs(topic).values(), strict=True))
        ],
        "question": question,
        "question_decomposition": [
            {"id": 0, "question": question, "answer": answers[0], "paragraph_support_idx": 0}
        ],
        "answer": answers[0],
        "answer_aliases": answers[1:],
        "answerable": True,
    }


def _strategyqa(split: str, i: int) -> dict[str, Any]:
    return {
        "qid": f"{split}{i}",
        "term": "Vinsted",
        "question": f"Could a {split} ferry with {i} masts sail on Lake Odde?",
        "answer": i % 2 == 0,
        "facts": "Lake Odde is deep.",
    }


def _popqa(topic: str, question: str, answers: list[str], i: int) -> dict[str, Any]:
    return {
        "id": i,
        "subj": "Vinsted",
        "prop": "fact",
        "obj": topic,
        "s_pop": (9, 99, 100, 9_999, 10_000, 1_000_000)[i],  # two in each band
        "o_pop": 1,
        "question": question,
        "possible_answers": json.dumps(answers),
    }


def _triviaqa(topic: str, question: str, answers: list[str], i: int) -> dict[str, Any]:
    """The Wikipedia page answers questions 1, 3 and 5, the search result 0 to 3; nothing answers 4."""
    page = f"{STORY} " * 8 + f"In those days they spoke of {answers[0]}. " + f"{STORY} " * 8
    return {
        "question": question,
        "question_id": f"tc_{i}",
        "question_source": "",
        "entity_pages": {
            "doc_source": ["Wikipedia"],
            "filename": ["Vinsted.txt"],
            "title": ["Vinsted"],
            "wiki_context": [page if i % 2 else STORY],
        },
        "search_results": {
            "description": [""],
            "filename": ["1.txt"],
            "rank": [1],
            "title": ["Vinsted news"],
            "url": [""],
            "search_context": [page if i < 4 else STORY],
        },
        "answer": {
            "aliases": answers,
            "normalized_aliases": [answer.lower() for answer in answers],
            "matched_wiki_entity_name": "",
            "normalized_matched_wiki_entity_name": "",
            "normalized_value": answers[0].lower(),
            "type": "FreeForm",
            "value": topic,
        },
    }

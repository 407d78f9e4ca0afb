import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kick.checkpoints import read_tokenizer
from kick.compression import read_samples
from kick.errors import InputError
from kick.types import Calibration

WORDS = ("the", "answer", "to", "question", "is", "in", "text", "of", "a", "ferry", "at", "harbour", "inn")


@pytest.fixture
def texts() -> list[str]:
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=length)) for length in (5, 200, 5, 150, 300)]


@pytest.fixture
def file(tmp_path: Path, texts: list[str]) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    return path


def test_samples_are_windows_of_the_documents_that_are_long_enough(
    file: Path, texts: list[str], tiny_llama: Path
) -> None:
    samples = read_samples(Calibration(data=str(file), samples=8, length=100), tiny_llama, None)
    assert [len(tokens) for tokens in samples.tokens] == [100] * 8
    tokenizer = read_tokenizer(tiny_llama)
    whole = [tuple(tokenizer(text)["input_ids"]) for text in texts]
    for tokens in samples.tokens:
        assert any(
            tokens == document[start : start + 100]
            for document in whole
            for start in range(len(document) - 100)
        )
    assert len(set(samples.tokens)) > 1


def test_the_seed_decides_the_samples_and_their_hash(file: Path, tiny_llama: Path) -> None:
    def drawn(seed: int) -> str:
        return read_samples(
            Calibration(data=str(file), samples=4, length=64, seed=seed), tiny_llama, None
        ).sha256

    assert drawn(0) == drawn(0) != drawn(1)


def test_a_text_file_is_one_document(tmp_path: Path, tiny_llama: Path) -> None:
    (tmp_path / "text.txt").write_text("the answer\n\nis in the text " * 50)
    samples = read_samples(
        Calibration(data=str(tmp_path / "text.txt"), samples=2, length=32), tiny_llama, None
    )
    assert len(samples.tokens) == 2


def test_c4_comes_from_the_data_root(tmp_path: Path, texts: list[str], tiny_llama: Path) -> None:
    for split in ("train", "validation"):
        path = tmp_path / "allenai__c4" / "en" / f"{split}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": [f"{split} {text}" for text in texts]}), path)
    one, other = (
        read_samples(Calibration(data=name, samples=2, length=64), tiny_llama, tmp_path)
        for name in ("c4", "c4_validation")
    )
    assert one.sha256 != other.sha256


@pytest.mark.parametrize(
    ("data", "length", "words"),
    [
        ("c5", 64, "'c5' is neither a data set.*Did you mean 'c4'"),
        ("nowhere.jsonl", 64, "nowhere.jsonl cannot be read"),
        ("bad.jsonl", 64, "lines of JSON with a `text`"),
        ("empty.txt", 64, "holds no text"),
        ("texts.jsonl", 5000, r"no document of .* is longer than 5000 tokens \(the longest has \d+\)"),
    ],
)
def test_a_calibration_set_that_cannot_be_drawn_is_refused(
    data: str, length: int, words: str, file: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    Path("bad.jsonl").write_text('{"content": "a"}\n')
    Path("empty.txt").write_text("")
    with pytest.raises(InputError, match=words):
        read_samples(Calibration(data=data, samples=2, length=length), tiny_llama, None)

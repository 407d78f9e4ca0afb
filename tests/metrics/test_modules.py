from pathlib import Path

import evaluate
import pytest

from kick.errors import InputError
from kick.metrics.modules import NAMES, path


@pytest.fixture
def cache(tmp_path: Path) -> str:
    return str(tmp_path)


def test_short_answers_load_without_the_hub_and_are_never_binarised(cache: str) -> None:
    metric = evaluate.load(str(path("short_answers")), cache_dir=cache)
    scores = metric.compute(
        predictions=["The Beatles!", "big lake", " "], references=[["beatles"], ["lake", "sea"], ["x"]]
    )
    assert scores == {
        "exact_match": pytest.approx(1 / 3),
        "f1": pytest.approx((1 + 2 / 3) / 3),
        "contains": pytest.approx(2 / 3),
        "empty": pytest.approx(1 / 3),
    }


def test_summaries_load_without_the_hub(cache: str) -> None:
    metric = evaluate.load(str(path("summaries")), cache_dir=cache)
    scores = metric.compute(predictions=["ice holds", ""], references=["ice holds the ferry", "forty wait"])
    assert scores["rouge1"] == pytest.approx(1 / 3)
    assert scores["empty"] == 0.5


def test_every_module_has_its_folder_and_others_are_refused() -> None:
    assert all((path(name) / f"{name}.py").is_file() for name in NAMES)
    with pytest.raises(InputError, match="no evaluate module 'summary'"):
        path("summary")

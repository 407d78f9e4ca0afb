"""A broken checkpoint through the real command: exit code 2, one message with the reason, nothing scored."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkpoints.broken import REFUSALS, kick_run
from tests.data_root import make_data_root


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data_root(tmp_path_factory.mktemp("data"))


SCORED = (
    "a tensor removed",
    "a tensor too many",
    "a shape changed",
    "modelopt",
    "NaN",
    "a constant packed tensor",
    "a truncated file",
    "a pickle alone",
    "code of its own",
    "a tokenizer too large",
    "a legacy sparse file",
    "a shard lost",
    "an empty index",
    "packed weights, undeclared",
)


@pytest.mark.parametrize("case", SCORED)
def test_a_broken_checkpoint_is_not_scored(
    case: str,
    folder: Path,
    tiny_llama: Path,
    data_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    breaks, phrases = REFUSALS[case]
    breaks(folder)
    monkeypatch.setattr("sys.argv", [])
    assert kick_run(folder, tiny_llama, data_root, tmp_path / "results") == 2
    output = capsys.readouterr()
    message = output.err.strip().splitlines()[-1]
    assert message.startswith("error: ")
    for phrase in [*phrases, str(folder)]:
        assert phrase in message
    assert "Traceback" not in output.err
    assert output.out == ""
    assert list(tmp_path.rglob("cell.json")) == []


DESCRIBED = (
    "a truncated file",
    "a garbled header",
    "a pickle alone",
    "a shard lost",
    "an empty index",
    "no config",
    "a config that is no JSON",
)


@pytest.mark.parametrize("case", DESCRIBED)
def test_files_that_cannot_be_read_are_not_described(
    case: str, folder: Path, kick: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    breaks, phrases = REFUSALS[case]
    breaks(folder)
    assert kick("describe", folder, "--json") == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    for phrase in phrases:
        assert phrase in output.err

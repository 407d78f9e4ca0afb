"""No file of a results folder can be damaged so that a gate still gives a verdict."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kick.errors import InputError
from kick.gating import gate
from kick.store import Store
from tests.results import PERPLEXITY, make_results

FLIPS = 6


def _damages(content: bytes, generator: random.Random) -> Iterator[bytes | None]:
    """The file removed, emptied, cut off, overwritten, and with single bits flipped."""
    yield from (None, b"", content[: len(content) // 2], bytes(100))
    for _ in range(FLIPS if content else 0):
        place = generator.randrange(len(content))
        flipped = content[place] ^ (1 << generator.randrange(8))
        yield content[:place] + bytes([flipped]) + content[place + 1 :]


@pytest.mark.slow
def test_damage_to_any_file_is_no_verdict(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    tasks = ["kick_freebaseqa", PERPLEXITY.name]
    make_results(whole, items=400, windows=20, tasks=tasks, damage={"dense": 0, "rtn-8": 0})
    assert gate(Store(whole)).exit_code == 0
    generator = random.Random(0)
    files = [path.relative_to(whole) for path in sorted(whole.rglob("*")) if path.is_file()]
    for file in files:
        if "locks" in file.parts:
            continue
        for content in _damages((whole / file).read_bytes(), generator):
            copy = tmp_path / "copy"
            shutil.copytree(whole, copy)
            if content is None:
                (copy / file).unlink()
            else:
                (copy / file).write_bytes(content)
            with pytest.raises(InputError):
                gate(Store(copy))
            shutil.rmtree(copy)

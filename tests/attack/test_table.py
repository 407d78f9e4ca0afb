"""Every kind of file, damaged in every way, through every command: a message and an exit code, and no other number."""

from pathlib import Path

import pytest

from tests.attack.table import KINDS, lines


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_damage_is_a_traceback_or_another_number(kind: str, tmp_path: Path) -> None:
    assert [line for line in lines(kind, tmp_path) if line.fault] == []

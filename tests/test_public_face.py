"""What `import kick` offers: nine names, listed, each loaded when it is first used."""

import subprocess
import sys

import pytest

import kick

NAMES = ["Store", "Suite", "check", "compare", "compress", "describe", "gate", "report", "run"]


def in_a_new_process(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_the_public_names_are_listed_before_any_of_them_is_loaded() -> None:
    assert in_a_new_process("import kick; print(*dir(kick))").split() == NAMES


def test_importing_kick_and_listing_its_names_loads_nothing_heavy() -> None:
    code = (
        "import sys, kick; dir(kick); heavy = ('torch', 'transformers', 'lm_eval', 'pandas', 'numpy', 'pydantic');"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert in_a_new_process(code) == "[]"


@pytest.mark.parametrize("name", NAMES)
def test_each_public_name_is_something_to_call(name: str) -> None:
    assert callable(getattr(kick, name))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'kick' has no attribute 'compares'"):
        kick.compares  # noqa: B018

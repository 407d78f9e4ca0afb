"""Names that become paths."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kick.errors import InputError
from kick.identifiers import MAX_LENGTH, check_identifier, is_identifier


@pytest.mark.parametrize(
    "name",
    ["dense", "rtn-4", "dense@noise", "kick_mmlu", "gsm8k.maj@64", "0123abcd", "a" * MAX_LENGTH, "a..b"],
)
def test_the_names_that_kick_gives_are_identifiers(name: str) -> None:
    assert check_identifier(name, "the id") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden",
        "../x",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "a\0",
        "a\n",
        "-rf",
        "a b",
        "é",
        "a" * 161,
        None,
        5,
        ["a"],
    ],
)
def test_what_could_leave_the_folder_is_refused_and_named(name: object) -> None:
    with pytest.raises(InputError, match="the checkpoint id in suite.yaml: .* cannot name a file"):
        check_identifier(name, "the checkpoint id in suite.yaml")


@given(st.text(max_size=200))
def test_an_identifier_is_one_part_of_a_path_whatever_it_holds(text: str) -> None:
    allowed = set(string.ascii_letters + string.digits + "._@+-")
    if is_identifier(text):
        assert set(text) <= allowed
        assert text[0].isalnum()
        assert text not in (".", "..")

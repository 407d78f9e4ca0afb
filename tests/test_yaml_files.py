"""YAML that users write: strict scalars, unique keys, bounded size and depth, and one message for each mistake."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kick.errors import InputError
from kick.yaml_files import dump_yaml, parse_yaml, read_yaml

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
        ("'5'", "5"),
        ("true", True),
        ("0x1f", 31),
        ("0o17", 15),
        ("1e5", 1e5),
        ("-.5", -0.5),
        ("~", None),
        ("", None),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    read = parse_yaml(f"key: {text}", "file")["key"]
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "the key 'a' is given twice .line 2"),
        ("1: 2", "the key '1' is not text"),
        ("a: " + "[" * 3000, "nested more than 20 levels"),
        ("\n".join("  " * depth + "a:" for depth in range(500)), "nested more than 20 levels"),
        ("&a [*a]", "the alias \\*a is inside the value that it names"),
        (BOMB, "holds more than 50,000 values"),
        ("a: " + "9" * 5000, "cannot be read as YAML: Exceeds the limit"),
        ("a: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("a: !!bool x", "cannot be read as YAML"),
        ("a: !!int x", "cannot be read as YAML"),
        ("[a]: 1", "is not text"),
        ("a: [", "cannot be read as YAML"),
        ("a: \0", "cannot be read as YAML"),
        ("a" * 2**21, "larger than 1 MiB"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_not_a_file_for_kick_is_one_message(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^file.*{message}") as caught:
        parse_yaml(text, "file")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_text_are_one_message(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    (tmp_path / "large.yaml").write_bytes(b"#" * (2**20 + 1))
    for name, message in (
        ("latin", "not UTF-8"),
        ("large", "at most 1,048,576 are read"),
        ("nowhere", "is missing"),
    ):
        with pytest.raises(InputError, match=message):
            read_yaml(tmp_path / f"{name}.yaml")


PRINTABLE = st.text(st.characters(blacklist_categories=("Cs", "Cc")))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False) | PRINTABLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PRINTABLE, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(PRINTABLE, PLAIN, max_size=4))
def test_what_is_written_reads_back_by_either_version_of_yaml(data: dict[str, Any]) -> None:
    text = dump_yaml(data)
    assert parse_yaml(text, "file") == data
    assert yaml.safe_load(text) == data


@given(
    st.sampled_from(["no", "1:30", "0o17", "1e5", "0x1f", "null", "~", "", "<<", "=", "2026-01-01", ".inf"])
)
def test_text_that_looks_like_something_else_stays_text(text: str) -> None:
    assert (
        parse_yaml(dump_yaml({"key": text}), "file")
        == yaml.safe_load(dump_yaml({"key": text}))
        == {"key": text}
    )

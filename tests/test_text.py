"""Numbers are rounded for readers, and no name or model output becomes markup."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kick import text
from kick.types import Estimate, TaskInfo

ACCURACY = TaskInfo(name="facts", kind="generation", family="factoid_qa", metric="em", metrics=("em",))
PERPLEXITY = TaskInfo(
    name="wiki", kind="text", family="perplexity", metric="nll", metrics=("nll",), higher_is_better=False
)


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=30, method="Wilson")


def test_a_share_is_shown_in_percent_with_its_interval() -> None:
    assert text.score(estimate(0.4133, 0.331, 0.5), ACCURACY) == "41.3 [33.1, 50.0]"


def test_a_perplexity_is_shown_with_four_digits() -> None:
    assert text.score(estimate(14.3217, 13.9, 182.449), PERPLEXITY) == "14.32 [13.90, 182.4]"


def test_a_recovery_gets_a_decimal_only_where_its_interval_is_narrow() -> None:
    assert text.percent(estimate(0.92, 0.81, 1.04)) == "92 % [81, 104]"
    assert text.percent(estimate(0.9931, 0.981, 1.004)) == "99.3 % [98.1, 100.4]"


def test_differences_carry_their_sign_and_zero_has_none() -> None:
    assert text.delta(estimate(-0.0333, -0.07, 0.0081), ACCURACY) == "−3.3 [−7.0, +0.8]"
    assert text.delta(estimate(-0.0001, -0.01, 0.01), ACCURACY) == "0.0 [−1.0, +1.0]"


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (1.0843, "1.084"),
        (51_300.2, "51,300"),
        (3.41e8, "3.4e+08"),
        (-12.346, "−12.35"),
        (math.inf, "∞"),
        (math.nan, "NaN"),
    ],
)
def test_a_quantity_keeps_its_width_at_any_size(number: float, shown: str) -> None:
    assert text.quantity(number) == shown


def test_a_broken_model_has_no_interval_to_show() -> None:
    assert text.score(estimate(math.inf, math.inf, math.inf), PERPLEXITY) == "∞"


def test_an_open_interval_says_so() -> None:
    assert text.percent(estimate(0.5, 0.1, math.inf)) == "50 % [10, ∞]"


def test_sizes_and_times_read_as_people_say_them() -> None:
    assert text.size(268_098_176) == "268 M"
    assert text.bytes_(542_000_000) == "542 MB"
    assert text.bytes_(1_310_000_000) == "1.31 GB"
    assert text.bytes_(12) == "12 B"
    assert [text.duration(seconds) for seconds in (42, 185, 7_800)] == ["42 s", "3 min 05 s", "2 h 10 min"]


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "</td></tr></table>",
        "a | b",
        "first\nsecond\r\nthird",
        "[click](https://evil.example)",
        "![image](https://evil.example/x.png)",
        "https://evil.example",
        "`code` **bold** $x^2$ ~~gone~~ _slanted_",
        "\\| \\` &lt;b&gt;",
    ],
)
def test_markdown_shows_foreign_text_as_it_is(hostile: str) -> None:
    escaped = text.markdown(hostile)
    assert "\n" not in escaped
    assert "\r" not in escaped
    assert "<s" not in escaped
    assert "</" not in escaped
    assert "](" not in escaped.replace("\\](", "")
    assert "://" not in escaped
    assert "|" not in escaped.replace("\\|", "")


def test_a_name_with_underscores_stays_readable_in_markdown() -> None:
    assert text.markdown("kick_free_qa [33.1, 50.0] < 0.001") == "kick_free_qa [33.1, 50.0] < 0.001"


@given(st.text())
def test_a_markdown_code_span_cannot_be_left(given_text: str) -> None:
    span = text.markdown_code(given_text, None)
    inner = span[1:-1] if span.startswith("`") else ""
    assert "`" not in inner
    assert "|" not in span.replace("\\|", "")
    assert "\n" not in span


def test_text_that_turns_the_page_around_is_written_out() -> None:
    assert text.one_line("a\u202eb\u2066c\u0007") == "a\\u202eb\\u2066c\\u0007"


def test_arabic_and_emoji_are_left_alone() -> None:
    assert text.one_line("مرحبا 🙂") == "مرحبا 🙂"


def test_long_text_is_cut_and_says_how_much_is_left_out() -> None:
    assert text.one_line("x" * 100_000, 10) == "xxxxxxxxxx… [99,990 more characters]"


FORMULAS = ("=HYPERLINK(1)", "+1+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r\n=1", "\r=1", "\uff1d1+1")
FORMULAS += ("\uff0b1", "\uff0d1", "\uff20SUM(A1)", "\u3000=1", "\x1f=1")


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_spreadsheet_does_not_compute_text(formula: str) -> None:
    field = text.spreadsheet(formula)
    assert field.startswith(("'", "\\u"))


@pytest.mark.parametrize("mark", ["\ufeff", "\u200b", "\u2060", "\u00ad"])
def test_a_mark_that_cannot_be_seen_hides_no_formula(mark: str) -> None:
    field = text.spreadsheet(f"{mark}=1+1")
    assert field.startswith(("'", "\\u"))


@given(st.text())
def test_a_field_of_a_spreadsheet_never_opens_like_a_formula(given_text: str) -> None:
    assert not text.spreadsheet(given_text).startswith(tuple("=+-@＝＋－＠\t\r\n\ufeff"))


def test_plain_words_reach_a_spreadsheet_unchanged() -> None:
    assert text.spreadsheet("not run") == "not run"


def test_latex_commands_in_text_are_set_as_text() -> None:
    assert text.latex(r"\input{/etc/passwd} $x_1$ 50% & #1") == (
        r"\textbackslash{}input\{/etc/passwd\} \$x\_1\$ 50\% \& \#1"
    )


@given(st.text())
def test_latex_never_holds_a_character_that_pdflatex_lacks(given_text: str) -> None:
    assert all(ord(character) < 0x180 for character in text.latex(given_text, None))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("/home/me/models/gemma", "gemma"),
        ("./gemma", "gemma"),
        ("~/gemma", "gemma"),
        ("a/b/model-q4.gguf", "model-q4.gguf"),
        ("google/gemma-3-270m", "google/gemma-3-270m"),
    ],
)
def test_a_model_is_named_without_its_place_on_this_machine(model: str, name: str) -> None:
    assert text.model_name(model) == name

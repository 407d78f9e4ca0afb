"""Control characters of foreign text are written out, in terminals, XML and reports alike."""

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from kick.printable import printable


def test_escape_sequences_are_written_out() -> None:
    shown = printable("\x1b[31mred\x1b]0;title\x07 \x9b2J")
    assert shown == r"\u001b[31mred\u001b]0;title\u0007 \u009b2J"


def test_line_breaks_and_tabs_survive_and_carriage_returns_do_not() -> None:
    assert printable("a\r\nb\rc\td") == "a\nb\nc\td"


@given(st.text(st.characters()))
def test_text_without_controls_is_well_formed_xml(given_text: str) -> None:
    shown = printable(given_text)
    root = ElementTree.Element("a", b=shown)
    root.text = shown
    read = ElementTree.fromstring(ElementTree.tostring(root, encoding="unicode"))
    assert (read.text or "", read.get("b")) == (shown, shown)
    assert "\x1b" not in shown

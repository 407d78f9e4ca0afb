"""Text from files and models, made safe to print: control characters are shown and never sent."""

import re

# C0 and C1 controls but tab and newline, DEL, lone surrogates, the noncharacters that XML forbids, and the marks that
# reorder what a reader sees.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def printable(text: str) -> str:
    r"""Return text whose control characters are escapes: ESC becomes the four characters `\x1b`.

    The result neither moves a cursor nor sets a colour in a terminal, and is well-formed in XML once `<` and `&` are
    escaped.
    """
    return _UNPRINTABLE.sub(lambda match: _escape(ord(match[0])), text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

"""Text from files and models, made safe to print: control characters are written out and never sent."""

import re

# Control characters but line breaks and tabs, line separators, lone surrogates and noncharacters, which are not
# well-formed in XML, and characters that hide text or change its direction.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    r"""Return text that is safe in a terminal and well-formed in XML.

    Control characters, escape sequences among them, and characters that hide text or change its direction are written
    out, as `\u001b`. Line breaks and tabs stay; carriage returns become line breaks.
    """
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    return _HIDDEN.sub(lambda match: f"\\u{ord(match[0]):04x}", unified)

"""A report is one list of sections, and every format renders all of it in the same order."""

import re

import pytest

from kick.reports import document, write
from kick.reports.blocks import (
    Bullets,
    Figure,
    Paragraph,
    Section,
    Table,
    Term,
    Terms,
    applicable,
    name,
    number,
    plain,
)
from kick.reports.findings import Findings, gather
from kick.store import Store
from tests.reports.small import HOSTILE, small_results

PAGES = {"md": "report.md", "html": "report.html", "latex": "report.tex"}


def toy(findings: Findings) -> Section:
    """A section that the report does not have, with a block of each kind."""
    rows = tuple((name(checkpoint), number("42")) for checkpoint in findings.checkpoints)
    return Section(
        key="toy",
        title="A toy section",
        intro="How to read the toy.",
        blocks=(
            Table("toy-table", "The toys", (plain("checkpoint"), number("toys")), rows, "A note on toys."),
            Paragraph("A paragraph about toys."),
            Terms((Term("Toy", "something to play with."),)),
            Bullets(("The first toy.", HOSTILE[2])),
        ),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return small_results(tmp_path_factory.mktemp("small") / "r")


@pytest.fixture(scope="module")
def pages(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "SECTIONS", (document.SECTIONS[0], toy, *document.SECTIONS[1:]))
        write(store, out, list(PAGES))
    return {kind: (out / page).read_text(encoding="utf-8") for kind, page in PAGES.items()}


@pytest.mark.parametrize("kind", PAGES)
def test_a_section_that_is_added_in_one_place_is_in_every_format(pages: dict[str, str], kind: str) -> None:
    page = pages[kind]
    words = (
        "A toy section",
        "How to read the toy.",
        "The toys",
        "A note on toys.",
        "A paragraph about toys.",
    )
    words += ("something to play with.", "The first toy.")
    places = [page.index(word) for word in words]
    assert places == sorted(places)
    following = {"md": "## How far", "html": ">How far each series can go</h2>", "latex": "{How far each"}
    assert places[-1] < page.index(following[kind])
    assert page.count("42") >= 4


def test_a_section_is_escaped_by_each_format(pages: dict[str, str]) -> None:
    assert r"\textbackslash{}input\{/etc/passwd\}" in pages["latex"]
    assert r"\\input{/etc/passwd}" in pages["md"]
    assert "&amp; #1 _x_" in pages["html"]


def test_a_web_page_lists_every_section_and_its_links_lead_to_them(pages: dict[str, str]) -> None:
    linked = re.findall(r'<a href="#(section-[a-z]+)">', pages["html"])
    assert linked == re.findall(r'<section id="(section-[a-z]+)"', pages["html"])
    assert "section-toy" in linked


def test_all_formats_have_the_same_sections_in_the_same_order(pages: dict[str, str]) -> None:
    found = {
        "md": re.findall(r"^## (.*)$", pages["md"], flags=re.MULTILINE),
        "latex": re.findall(r"^\\subsection\*\{(.*)\}$", pages["latex"], flags=re.MULTILINE),
        "html": re.findall(r"<h2 [^>]*>(.*)</h2>", pages["html"]),
    }
    found["html"].remove("Item explorer")
    assert found["md"] == found["latex"] == found["html"]


def test_every_key_of_a_section_is_its_own(store: Store) -> None:
    keys = [section.key for section in document.document(gather(store)).sections]
    assert len(keys) == len(set(keys)) == len(document.SECTIONS)


def test_a_section_without_content_is_left_out() -> None:
    empty = Table("empty", "Nothing applies", (), ())
    sections = (
        Section("none", "No block at all"),
        Section("empty", "A table that does not apply", blocks=(empty,)),
        Section("figure", "A figure that was not drawn", blocks=(Figure("curve", "A curve."),)),
        Section("note", "A table that says why", blocks=(Table("t", "Left out", (), (), "Nothing."), empty)),
    )
    (left,) = applicable(sections, {})
    assert left.key == "note"
    assert [type(block) for block in left.blocks] == [Table]

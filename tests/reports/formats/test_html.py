"""The web page stands alone and holds what its explorer shows; test_pages.py opens it in a browser."""

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kick.reports import write
from kick.reports.output import slug
from tests.reports.small import FACTS, HOSTILE, small_results

VOID = {"meta", "input", "img", "br", "link"}


class Outline(HTMLParser):
    """Every start tag of a page with its attributes, the text of each script, and whether tags nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return write(small_results(folder / "r", HOSTILE), folder / "report", ["html"])[0]


@pytest.fixture(scope="module")
def outline(path: Path) -> Outline:
    return Outline(path.read_text(encoding="utf-8"))


def packed(outline: Outline, task: str) -> dict[str, list[list[object]]]:
    text = next(text for attrs, text in outline.scripts if attrs.get("data-task") == task)
    return json.loads(gzip.decompress(base64.b64decode(text)))  # type: ignore[no-any-return]


def test_the_page_is_whole_and_its_tags_nest(outline: Outline) -> None:
    assert outline.open == []
    ids = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_nothing_is_loaded_from_anywhere(outline: Outline) -> None:
    for tag, attrs in outline.tags:
        assert not attrs.get("src") or str(attrs["src"]).startswith("data:"), tag
        assert not attrs.get("href") or str(attrs["href"]).startswith("#"), tag
        assert not any(name.startswith("on") or name == "style" for name in attrs), tag


def test_the_policy_allows_this_style_and_this_script_alone(outline: Outline, path: Path) -> None:
    policy = next(str(attrs["content"]) for tag, attrs in outline.tags if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    style = re.search(r"<style>(.*?)</style>", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert style
    script = next(text for attrs, text in outline.scripts if not attrs)
    for content, directive in ((style[1], "style-src"), (script, "script-src")):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


def test_the_only_scripts_are_those_of_the_page(outline: Outline) -> None:
    kinds = [attrs.get("type") for attrs, _ in outline.scripts]
    assert kinds == ["application/gzip"] * 3 + ["application/json", None]


def test_every_cell_belongs_to_a_named_row_and_column(outline: Outline) -> None:
    assert sum(tag == "table" for tag, _ in outline.tags) == sum(tag == "caption" for tag, _ in outline.tags)
    assert all(attrs.get("scope") in ("row", "col") for tag, attrs in outline.tags if tag == "th")
    assert all(attrs.get("alt") for tag, attrs in outline.tags if tag == "img")


def test_the_explorer_holds_what_changed_with_both_responses(outline: Outline) -> None:
    data = packed(outline, FACTS.name)
    changed = data["changes"]["rtn-4"]  # type: ignore[call-overload]
    lost = [row for row in changed if row[1] == "lost"]
    assert len(lost) == 3
    document = data["documents"][lost[0][0]]
    assert document[2:5] == ["Question 6?", "answer 6", "answer 6"]
    assert (document[5], lost[0][3]) == (1.0, 0.0)


def test_long_responses_are_cut_and_say_so(outline: Outline) -> None:
    texts = json.dumps(packed(outline, FACTS.name))
    assert "more characters]" in texts
    assert "x" * 20_001 not in texts


def test_ids_of_different_names_differ() -> None:
    assert slug("a b") != slug("a|b") != slug("a<b")
    assert slug("kick_squad") == "kick-squad"

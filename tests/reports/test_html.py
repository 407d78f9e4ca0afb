"""The web page stands alone, shows foreign text as text, and its tables and explorer work in a browser."""

import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kick.reports import write
from kick.reports.web import slug
from tests.reports.small import FACTS, HOSTILE, small_results

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
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


def in_browser(path: Path, script: str) -> dict[str, object]:
    """What `script` returns in the page, with the policy taken off so that it may run at all."""
    page = re.sub(r"<meta http-equiv[^>]*>", "", path.read_text(encoding="utf-8"))
    driver = (
        "<script>addEventListener('load', async () => {"
        "const wait = (ms) => new Promise((done) => setTimeout(done, ms));"
        f"const answer = await (async () => {{ {script} }})().catch((e) => ({{error: String(e)}}));"
        "document.body.replaceChildren();"
        "document.documentElement.dataset.answer = btoa(unescape(encodeURIComponent(JSON.stringify(answer))));"
        "});</script></body>"
    )
    copy = path.with_name("driven.html")
    copy.write_text(page.replace("</body>", driver), encoding="utf-8")
    answer = re.search(
        r'data-answer="([^"]*)"', browse(copy, "--virtual-time-budget=8000", "--dump-dom").stdout
    )
    assert answer, "the page did not answer"
    found = json.loads(base64.b64decode(answer[1]))
    assert "error" not in found, found
    return found  # type: ignore[no-any-return]


def browse(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM
    profile = path.parent / "profile"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", f"--user-data-dir={profile}", *options, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)


@needs_browser
def test_the_page_raises_nothing_in_the_console(path: Path) -> None:
    result = browse(path, "--enable-logging=stderr", "--virtual-time-budget=3000", "--dump-dom")
    assert "CONSOLE" not in result.stderr
    assert 'id="theme" type="button">' in result.stdout  # the script ran under the policy


@needs_browser
def test_tables_sort_and_filter(path: Path) -> None:
    found = in_browser(
        path,
        """
        const table = document.getElementById('changes-kick-freebaseqa');
        const first = () => table.tBodies[0].rows[0].cells[0].firstElementChild.textContent;
        const head = table.tHead.rows[0].cells[2];
        const before = first();
        head.querySelector('button').click();
        const up = [first(), head.getAttribute('aria-sort')];
        head.querySelector('button').click();
        const down = [first(), head.getAttribute('aria-sort')];
        return {before, up, down};
        """,
    )
    assert found == {"before": "rtn-8", "up": ["rtn-2", "ascending"], "down": ["rtn-8", "descending"]}


@needs_browser
def test_the_explorer_filters_opens_and_shows_hostile_answers_as_text(path: Path) -> None:
    found = in_browser(
        path,
        """
        const title = document.title;
        const see = [...document.querySelectorAll('.see')].find(
            (button) => button.getAttribute('aria-label').includes('rtn-2 on kick_freebaseqa'));
        see.click();
        await wait(1000);
        const form = document.getElementById('explorer-form').elements;
        const all = document.getElementById('explorer-count').textContent;
        form.change.value = 'lost';
        form.change.dispatchEvent(new Event('change'));
        const lost = document.getElementById('explorer-count').textContent;
        form.text.value = 'HYPERLINK';
        form.text.dispatchEvent(new Event('input'));
        const items = [...document.querySelectorAll('.item')];
        items[0].open = true;
        await wait(500);
        const texts = [...items[0].querySelectorAll('pre')].map((box) => box.textContent);
        form.text.value = '<script>';
        form.text.dispatchEvent(new Event('input'));
        const list = document.getElementById('explorer-list');
        const scripts = list.querySelectorAll('script, img').length;
        return {same: title === document.title, all, lost, found: items.length, texts, scripts,
                hostile: list.querySelectorAll('.item').length,
                task: form.task.value, candidate: form.candidate.value};
        """,
    )
    assert found["same"]
    assert found["task"] == FACTS.name
    assert found["candidate"] == "rtn-2"
    assert str(found["lost"]).startswith("17 of ")
    assert found["found"] == found["hostile"] == 3
    assert found["texts"][3] == HOSTILE[1]  # type: ignore[index]
    assert found["scripts"] == 0


@needs_browser
def test_an_empty_answer_is_not_taken_for_a_likelihood(tmp_path: Path) -> None:
    page = write(small_results(tmp_path / "r", ("",)), tmp_path / "report", ["html"])[0]
    found = in_browser(
        page,
        """
        const gist = async (task) => {
            const see = [...document.querySelectorAll('.see')].find(
                (button) => button.getAttribute('aria-label').includes(`rtn-2 on ${task}`));
            see.click();
            await wait(1000);
            const item = document.querySelector('.item');
            item.open = true;
            await wait(200);
            return [...item.querySelectorAll('pre')].at(-1).textContent;
        };
        return {facts: await gist('kick_freebaseqa'), choice: await gist('kick_mmlu')};
        """,
    )
    assert found["facts"] == "(an empty answer)"
    assert str(found["choice"]).startswith("(no text: scored by the likelihood")

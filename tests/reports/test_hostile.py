"""What models and data sets wrote goes through every format harmless and readable.

Hostile text stands wherever foreign text can: in a metric's name, a checkpoint's model, reasons for skipping,
categories of items, and responses. `test_pages.py` opens the responses in a browser.
"""

import csv
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard

from kick.reports import write
from kick.reports.leaderboard import write as write_leaderboard
from kick.store import Store
from kick.types import Skipped
from tests.reports.small import HOSTILE
from tests.results import binary_task, write_pair, write_scores

NAME = "=a|b<img src=x>`c`$d$_e_"
FILES = ("report.md", "report.html", "report.tex", "report.csv", "model-cards/small.md", "site/index.html")
ITEMS = 10  # of each category


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    task = binary_task(metric=NAME, metrics=(NAME,))
    groups = [text for text in HOSTILE for _ in range(ITEMS)]
    right, wrong = [1.0] * len(groups), [float(index % 3 == 0) for index in range(len(groups))]
    store = write_pair(tmp_path_factory.mktemp("hostile") / "r", right, right, task, group=groups)
    frame = pd.DataFrame({NAME: np.asarray(wrong), "group": groups, "response": groups})
    cell = write_scores(store, "small", task, frame)
    skipped = tuple(Skipped(doc_id=1000 + index, reason=reason) for index, reason in enumerate(HOSTILE))
    store.write_cell(cell.model_copy(update={"skipped": skipped}), store.items(cell))
    record = store.checkpoint("small")
    assert record is not None
    model = record.checkpoint.model_copy(update={"model": HOSTILE[1]})
    store.write_checkpoint(record.model_copy(update={"checkpoint": model}))
    return store


@pytest.fixture(scope="module")
def folder(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    write(store, out, ["md", "html", "latex", "csv", "model-card"])
    write_leaderboard([store], out / "site")
    return out


class Tags(HTMLParser):
    """The tags of a page that could do something, and its text outside scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.text += "" if self._inside in ("script", "style") else data


def read(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_no_text_is_long_and_none_turns_the_page_around(folder: Path, name: str) -> None:
    content = read(folder, name)
    assert "x" * 1000 not in content
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", content)


@pytest.mark.parametrize("name", ["report.md", "model-cards/small.md"])
def test_markdown_holds_no_tag_link_or_heading_of_another(folder: Path, name: str) -> None:
    content = read(folder, name).split("\n---\n")[-1]  # what stands in metadata is never rendered
    assert not re.search(r"<(?!br>)[A-Za-z/!?]", content)
    assert "](https" not in content.replace("\\](", "")
    assert "\n# heading" not in content
    for block in re.findall(r"(?:^\|.*\|$\n?)+", content, flags=re.MULTILINE):
        rows = [re.split(r" (?<!\\)\| ", line[2:-2]) for line in block.splitlines()]
        assert len({len(row) for row in rows}) == 1


def test_markdown_shows_the_text_itself(folder: Path) -> None:
    content = read(folder, "report.md")
    assert "&lt;script>document.title='broken'&lt;/script>" in content
    assert "مرحبا بالعالم שלום 🙂" in content
    assert "\\\\input{/etc/passwd}" in content
    assert "more characters]" in content


@pytest.mark.parametrize("name", ["report.html", "site/index.html"])
def test_a_web_page_holds_no_tag_of_another(folder: Path, name: str) -> None:
    page = Tags(read(folder, name))
    for tag, attrs in page.tags:
        assert not any(key.startswith("on") for key in attrs)
        if tag == "img":
            assert str(attrs["src"]).startswith("data:image/")
    kinds = [attrs.get("type") for tag, attrs in page.tags if tag == "script"]
    assert set(kinds) <= {None, "application/gzip", "application/json"}
    assert kinds.count(None) == 1
    assert NAME in page.text


def test_the_web_page_shows_the_text_itself(folder: Path) -> None:
    text = Tags(read(folder, "report.html")).text
    assert "<script>document.title='broken'</script></td></table>" in text
    assert "مرحبا بالعالم שלום 🙂" in text
    assert "\\u202eright to left\\u202c" in text
    assert '=HYPERLINK("https://evil.example","click")' in text


def test_latex_shows_commands_as_text_and_names_what_its_fonts_lack(folder: Path) -> None:
    content = read(folder, "report.tex")
    assert r"\textbackslash{}input\{/etc/passwd\}" in content
    assert r"\input{" not in content
    assert content.count(r"\end{document}") == 1
    assert "[U+1F642]" in content


@pytest.mark.parametrize("name", ["report.csv", "site/index.csv"])
def test_no_field_of_a_table_is_a_formula(folder: Path, name: str) -> None:
    fields = [field for row in csv.reader(io.StringIO(read(folder, name))) for field in row]
    assert name != "report.csv" or f"'{NAME}" in fields
    for field in fields:
        assert not re.match(r"[=+@\t\r]|-(?![\d.])", field)


def test_the_metadata_of_a_model_card_are_read_as_they_were_meant(folder: Path) -> None:
    results = ModelCard.load(folder / "model-cards" / "small.md").data.eval_results
    assert results is not None
    assert [result.metric_type for result in results] == [NAME]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_pdflatex_compiles_it(folder: Path) -> None:
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    result = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert result.returncode == 0, result.stdout.decode(errors="replace")[-2000:]

"""The report and the leaderboard in a real browser: they sort, filter and open, ask nobody, and fit their screen."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kick.reports import write
from kick.reports.leaderboard import write as write_leaderboard
from tests.reports.small import FACTS, HOSTILE, small_results
from tests.results import make_results

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
expect.set_options(timeout=120_000)  # a busy machine is no failure
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}
TASKS = ("kick_freebaseqa", "kick_mmlu", "perplexity_wikitext2")


@dataclass
class Visit:
    """A page and what it did beside being shown."""

    page: "playwright.Page"
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in self.page.locator(selector).all_text_contents()]

    def names(self, table: str) -> list[str]:
        """The names of the rows that are shown."""
        return self.texts(f"#{table} tbody tr:visible th .name")

    def column(self, table: str, title: str) -> int:
        heads = self.texts(f"#{table} thead th")
        return next(index for index, head in enumerate(heads) if head.startswith(title))


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    return write(small_results(folder / "r", HOSTILE), folder / "out", ["html"])[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("board")
    rounded = {"dense": 0.0, "rtn-8": 0.0, "rtn-4": 0.1, "rtn-3": 0.6}
    pruned = {"dense": 0.0, "magnitude-0.1": 0.02, "magnitude-0.5": 0.7}
    stores = [
        make_results(root / name, items=80, windows=8, tasks=TASKS, damage=damage)
        for name, damage in (("rounded", rounded), ("pruned", pruned))
    ]
    write_leaderboard(stores, root / "site")
    return root / "site"


@pytest.fixture
def visit(browser: "playwright.Browser", request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A new page on a screen; at the end, whether it complained or asked anything of anyone."""
    screen, scheme = getattr(request, "param", ("desktop", "light"))
    width, height = SCREENS[screen]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    context.set_default_timeout(120_000)
    made = Visit(context.new_page())
    made.page.on("console", lambda message: made.console.append(message.text))
    made.page.on("pageerror", lambda error: made.console.append(str(error)))
    made.page.on("request", lambda asked: made.requests.append(asked.url))
    yield made
    context.close()
    assert made.console == []
    assert made.requests
    assert {url.split(":")[0] for url in made.requests} <= {"file", "data", "blob"}


everywhere = pytest.mark.parametrize(
    "visit",
    [(screen, scheme) for screen in SCREENS for scheme in ("light", "dark")],
    indirect=True,
    ids="-".join,
)


@everywhere
@pytest.mark.parametrize("page", ["report", "board", "checkpoint"])
def test_a_page_is_as_wide_as_its_screen_and_readable_in_light_and_dark(
    visit: Visit, page: str, report: Path, site: Path
) -> None:
    paths = {"report": report, "board": site / "index.html"}
    path = paths.get(page) or next((site / "checkpoints").glob("*rtn-4*.html"))
    visit.page.goto(path.as_uri())
    assert visit.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    names = visit.page.locator("tbody th .name:visible")
    beyond = "(spans) => spans.filter((s) => s.getBoundingClientRect().right > s.closest('th').getBoundingClientRect().right + 1).map((s) => s.textContent)"  # noqa: E501
    assert names.evaluate_all(beyond) == []
    for selector in (".lead", ".note >> nth=0", "tbody td >> nth=0", "nav a >> nth=0"):
        assert contrast(visit.page, selector) >= 4.5, selector  # WCAG 2.2, level AA


def contrast(page: "playwright.Page", selector: str) -> float:
    """The contrast ratio of a text with what lies behind it (WCAG 2.2)."""
    ink, paper = page.locator(selector).evaluate(
        """(element) => {
          let behind = element;
          const clear = (e) => getComputedStyle(e).backgroundColor === "rgba(0, 0, 0, 0)";
          while (clear(behind) && behind.parentElement) behind = behind.parentElement;
          return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
        }"""
    )
    light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_theme_can_be_turned(visit: Visit, site: Path) -> None:
    visit.page.goto((site / "index.html").as_uri())
    body = visit.page.locator("body")
    before = body.evaluate("(element) => getComputedStyle(element).backgroundColor")
    visit.page.get_by_role("button", name="Dark").click()
    expect(body).not_to_have_css("background-color", before)
    visit.page.get_by_role("button", name="Light").click()
    expect(body).to_have_css("background-color", before)


# --- the leaderboard ---


def test_the_board_sorts_by_any_column_with_the_keyboard_alone(visit: Visit, site: Path) -> None:
    visit.page.goto((site / "index.html").as_uri())
    best_first = visit.names("board")
    head = visit.page.locator("#board thead th").nth(visit.column("board", "knowledge kept"))
    assert head.get_attribute("aria-sort") is None
    head.get_by_role("button").focus()
    visit.page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert visit.names("board") == best_first[::-1]
    visit.page.keyboard.press("Space")
    expect(head).to_have_attribute("aria-sort", "descending")
    assert visit.names("board") == best_first
    bits = visit.page.locator("#board thead th").nth(visit.column("board", "bits"))
    bits.get_by_role("button").click()
    expect(bits).to_have_attribute("aria-sort", "ascending")
    assert head.get_attribute("aria-sort") is None
    assert visit.names("board")[:3] == ["rtn-3", "rtn-4", "rtn-8"]


def test_the_board_filters_by_method_bits_and_words_and_says_how_many_are_left(
    visit: Visit, site: Path
) -> None:
    visit.page.goto((site / "index.html").as_uri())
    count = visit.page.locator("#board-count")
    expect(count).to_have_text("5 entries")
    visit.page.get_by_label("Method").select_option("rtn")
    expect(count).to_have_text("3 of 5 entries")
    assert sorted(visit.names("board")) == ["rtn-3", "rtn-4", "rtn-8"]
    visit.page.get_by_label("Bits, at most").select_option("4")
    expect(count).to_have_text("2 of 5 entries")
    assert sorted(visit.names("board")) == ["rtn-3", "rtn-4"]
    visit.page.get_by_label("Contains").fill("rtn-3")
    expect(count).to_have_text("1 of 5 entries")
    assert visit.names("board") == ["rtn-3"]
    visit.page.get_by_role("button", name="Show all").click()
    expect(count).to_have_text("5 entries")
    assert visit.page.get_by_label("Base model").locator("option").all_inner_texts() == [
        "all",
        "models/dense",
    ]


def test_an_entry_leads_to_its_page_and_back(visit: Visit, site: Path) -> None:
    visit.page.goto((site / "index.html").as_uri())
    visit.page.get_by_role("link", name="rtn-4", exact=True).click()
    title = visit.page.locator("h1")
    expect(title).to_have_text("rtn-4")
    width = "(image) => image.decode().then(() => image.naturalWidth)"
    assert visit.page.locator("#curve img").evaluate(width) > 0
    assert visit.page.locator(".badge-picture").evaluate(width) > 50
    visit.page.get_by_text("The data of this figure").click()
    expect(visit.page.locator("#curve table")).to_be_visible()
    visit.page.get_by_role("link", name="Leaderboard").click()
    expect(title).to_have_text("Knowledge kept after compression")


def test_paper_gets_the_tables_and_not_the_controls(visit: Visit, site: Path) -> None:
    visit.page.goto((site / "index.html").as_uri())
    visit.page.emulate_media(media="print")
    expect(visit.page.locator("#board")).to_be_visible()
    expect(visit.page.locator("#board-form")).to_be_hidden()
    expect(visit.page.locator(".bar")).to_be_hidden()


# --- the report ---


def test_tables_of_the_report_sort(visit: Visit, report: Path) -> None:
    visit.page.goto(report.as_uri())
    table = "changes-kick-freebaseqa"
    head = visit.page.locator(f"#{table} thead th").nth(visit.column(table, "delta"))
    assert visit.names(table)[0] == "rtn-8"
    for order, first in (("ascending", "rtn-2"), ("descending", "rtn-8")):
        head.get_by_role("button").click()
        expect(head).to_have_attribute("aria-sort", order)
        assert visit.names(table)[0] == first


def test_whole_numbers_sort_by_their_size(visit: Visit, report: Path) -> None:
    visit.page.goto(report.as_uri())
    table = "changes-kick-freebaseqa"
    head = visit.page.locator(f"#{table} thead th").nth(visit.column(table, "right to wrong"))
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert visit.names(table) == ["rtn-8", "rtn-4", "rtn-2"]  # 1, 3, 17


def explore(visit: Visit, candidate: str, task: str) -> None:
    """Ask for the items of a comparison, and wait until they are read: others may be on the page still."""
    visit.page.get_by_role("button", name=f"See the items of {candidate} on {task} that changed").click()
    expect(visit.page.get_by_role("combobox", name="Task")).to_have_value(task)
    expect(visit.page.get_by_role("combobox", name="Candidate")).to_have_value(candidate)
    expect(visit.page.locator("#explorer-count")).to_have_text(re.compile(r"^\d+ of \d+ items"))


def unfold(item: "playwright.Locator") -> None:
    """Open an item of the explorer; it is filled in a moment after the click."""
    item.locator("summary").click()
    item.locator("dt").first.wait_for()


def test_the_explorer_filters_to_the_items_that_flipped_and_opens_one(visit: Visit, report: Path) -> None:
    visit.page.goto(report.as_uri())
    explore(visit, "rtn-2", FACTS.name)
    visit.page.get_by_role("combobox", name="Change").select_option("lost")
    expect(visit.page.locator("#explorer-count")).to_have_text(re.compile("^17 of "))
    assert set(visit.texts("#explorer-list .badge")) == {"lost"}
    item = visit.page.locator("#explorer-list .item").first
    unfold(item)
    labels = item.locator("dt").all_inner_texts()
    assert labels[:2] == ["Prompt", "Gold answer"]
    assert labels[2].startswith("dense: em 1")
    assert labels[3].startswith("rtn-2: em 0")


def test_the_explorer_shows_what_models_wrote_as_text(visit: Visit, report: Path) -> None:
    visit.page.goto(report.as_uri())
    title = visit.page.title()
    explore(visit, "rtn-2", FACTS.name)
    visit.page.get_by_role("combobox", name="Change").select_option("lost")
    visit.page.get_by_label("Contains", exact=True).fill("HYPERLINK")
    items = visit.page.locator("#explorer-list .item")
    expect(items).to_have_count(3)
    unfold(items.first)
    assert items.first.locator("pre").last.text_content() == HOSTILE[1]
    visit.page.get_by_label("Contains", exact=True).fill("<script>")
    expect(items).to_have_count(3)
    for index in range(3):
        unfold(items.nth(index))
    assert visit.page.locator("#explorer-list script, #explorer-list img").count() == 0
    assert visit.page.title() == title


def test_of_two_comparisons_asked_for_in_a_row_the_last_is_shown_and_shown_once(
    visit: Visit, report: Path
) -> None:
    visit.page.goto(report.as_uri())
    visit.page.evaluate(
        """() => {
          window.shown = 0;
          const list = document.getElementById("explorer-list");
          new MutationObserver(() => { window.shown += 1; }).observe(list, { childList: true });
          for (const name of ["rtn-4", "rtn-2"]) {
            const label = `See the items of ${name} on kick_freebaseqa that changed`;
            document.querySelector(`#items button[aria-label="${label}"]`).click();
          }
        }"""
    )
    expect(visit.page.locator("#explorer-count")).to_have_text(re.compile(r"^\d+ of \d+ items"))
    expect(visit.page.get_by_role("combobox", name="Candidate")).to_have_value("rtn-2")
    assert visit.page.evaluate("window.shown") == 1


@pytest.mark.parametrize("visit", [("phone", "light")], indirect=True, ids="-".join)
def test_an_open_item_fits_a_phone(visit: Visit, report: Path) -> None:
    visit.page.goto(report.as_uri())
    explore(visit, "rtn-2", FACTS.name)
    visit.page.get_by_label("Contains", exact=True).fill("xxxxxxxx")  # a word of 20,000 letters
    item = visit.page.locator("#explorer-list .item").first
    unfold(item)
    expect(item.locator("pre").last).to_be_visible()
    assert visit.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_an_empty_answer_is_not_taken_for_a_likelihood(visit: Visit, tmp_path: Path) -> None:
    page = write(small_results(tmp_path / "r", ("",)), tmp_path / "report", ["html"])[0]
    visit.page.goto(page.as_uri())
    said = {}
    for task in (FACTS.name, "kick_mmlu"):
        explore(visit, "rtn-2", task)
        item = visit.page.locator("#explorer-list .item").first
        unfold(item)
        said[task] = item.locator("pre").last.inner_text()
    assert said[FACTS.name] == "(an empty answer)"
    assert said["kick_mmlu"].startswith("(no text: scored by the likelihood")

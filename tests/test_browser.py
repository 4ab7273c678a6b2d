"""Every page of the built book in a real browser: drawn, quiet, self-contained, accessible."""

import csv
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from browser import PAGES, Visit, executable, serious, visiting

MEGABYTE = 1_000_000

pytestmark = [
    pytest.mark.slow,
    # Chromium's helper processes outlive the pipes that Python closes.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def _page(part: str) -> str:
    found = [page for page in PAGES if part in page]
    if not found:
        pytest.skip(f"the built book has no page '{part}'")
    return found[0]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("page", PAGES or ["none built"])
def test_page_is_whole(browser: object, site: str, page: str, width: int, theme: str) -> None:
    with visiting(browser, site, width, theme) as visit:
        visit.open(page)
        tab = visit.page
        assert tab.evaluate("document.documentElement.dataset.theme") == theme
        figures = tab.locator("figure.chart")
        for index in range(figures.count()):
            figure = figures.nth(index)
            assert figure.get_attribute("data-drawn") == theme
            marks = figure.locator(".chart-live svg .mark-group ~ *, .chart-live svg [aria-label]")
            assert marks.count() > 0, f"{figure.get_attribute('id')} is empty"
            box = figure.locator(".chart-live svg").first.bounding_box()
            assert box is not None
            assert box["width"] > 200
        assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert (
            tab.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).length")
            == 0
        )
        assert serious(tab) == []
        assert visit.errors == []
        assert visit.outside == []


@pytest.mark.parametrize("page", PAGES or ["none built"])
def test_page_is_light(visit: Visit, page: str) -> None:
    visit.open(page)
    budget = 2.5 if "00-front" in page else 6
    assert visit.loaded() < budget * MEGABYTE


def test_legend_filters_by_keyboard(visit: Visit) -> None:
    visit.open(_page("agreement"))
    figure = visit.page.locator("figure.chart:has(.chart-legend button)").first
    marks = figure.locator(".chart-live svg [role='graphics-symbol']")
    before = marks.count()
    button = figure.locator(".chart-legend button").first
    button.focus()
    visit.page.keyboard.press("Space")
    assert button.get_attribute("aria-pressed") == "true"
    visit.page.wait_for_timeout(200)
    assert 0 < marks.count() < before
    # The choice outlives a change of theme, which draws anew.
    visit.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    visit.page.wait_for_function(
        "[...document.querySelectorAll('figure.chart')].every(f => f.dataset.drawn === 'dark')"
    )
    visit.page.wait_for_timeout(200)
    assert 0 < marks.count() < before
    visit.page.keyboard.press("Space")
    visit.page.wait_for_timeout(200)
    assert marks.count() == before


def test_slider_changes_the_support(visit: Visit) -> None:
    visit.open(_page("01-"))
    figure = visit.page.locator("figure.chart:has(input[type=range])").first
    slider = figure.locator("input[name=lam]")

    def sparsegen() -> str:
        return figure.locator(".chart-live svg text", has_text="sparsegen (").text_content() or ""

    before = sparsegen()
    slider.focus()
    visit.page.keyboard.press("Home")  # the most even distribution there is
    visit.page.wait_for_timeout(300)
    after = sparsegen()
    assert "λ = 0.0" in before
    assert "λ = −10.0" in after

    def nonzero(text: str) -> int:
        return int(text.split(": ")[1].split()[0])

    def tau(text: str) -> float:
        return float(text.split("τ-b ")[1])

    assert nonzero(after) > nonzero(before)
    assert tau(after) > tau(before)  # fewer ties, though no order changed


def test_data_and_pictures_download(visit: Visit) -> None:
    visit.open(_page("01-"))
    figure = visit.page.locator("figure.chart").first
    got = {}
    for kind in ("csv", "svg", "png"):
        with visit.page.expect_download() as download:
            figure.locator(f"[data-get={kind}]").click()
        assert download.value.suggested_filename.endswith(f".{kind}")
        got[kind] = Path(download.value.path()).read_bytes()
    rows = list(csv.DictReader(got["csv"].decode().splitlines()))
    assert len(rows) > 1
    assert all(None not in row.values() for row in rows)
    assert ET.fromstring(got["svg"]).tag.endswith("svg")
    assert got["png"].startswith(b"\x89PNG")
    assert visit.errors == []


def test_print_keeps_static_pictures(visit: Visit) -> None:
    visit.open(_page("agreement"))
    visit.page.emulate_media(media="print")
    figure = visit.page.locator("figure.chart").first
    assert figure.locator(".chart-static").is_visible()
    assert not figure.locator(".chart-live").is_visible()
    assert not figure.locator(".chart-downloads").is_visible()


def test_without_a_script_a_picture_stays(browser: object, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)  # type: ignore[attr-defined]
    page = context.new_page()
    page.goto(f"{site}/{_page('agreement')}")
    picture = page.locator("figure.chart .chart-static").first
    assert picture.is_visible()
    assert picture.get_attribute("alt")
    context.close()


def test_search_finds_a_term(visit: Visit) -> None:
    visit.page.goto(f"{visit.site}/search.html?q=dispersion")
    visit.page.wait_for_selector("#search-results li", timeout=15_000)
    assert visit.outside == []


def test_chromium_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARSEATTN_CHROMIUM", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert executable() is None


def test_diagram_follows_the_theme(browser: object, site: str) -> None:
    ink = {}
    for theme in ("light", "dark"):
        with visiting(browser, site, theme=theme) as visit:
            visit.open(_page("measures"))
            picture = visit.page.locator("figure.diagram svg")
            assert picture.get_attribute("aria-labelledby")
            ink[theme] = picture.locator("text").first.evaluate("e => getComputedStyle(e).fill")
    assert ink["light"] != ink["dark"]


def test_rows_of_sentences_are_cards_on_a_phone(browser: object, site: str) -> None:
    shown = {}
    for width in (1280, 360):
        with visiting(browser, site, width) as visit:
            visit.open(_page("00-front"))
            cell = visit.page.locator("table.cards td.sentence").first
            shown[width] = cell.evaluate("e => getComputedStyle(e).display")
            table = visit.page.locator("table.cards").first
            assert table.evaluate("e => e.scrollWidth <= e.parentElement.clientWidth + 1")
    assert shown == {1280: "table-cell", 360: "block"}

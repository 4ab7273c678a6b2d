"""Every page of the built book in a real browser: drawn, quiet, self-contained, accessible."""

import csv
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from browser import PAGES, Visit, cut, cut_in_pictures, pale, serious, visiting

from sparseattn.report.printed import executable

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


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (360, "dark")])
@pytest.mark.parametrize("page", PAGES or ["none built"])
def test_page_is_whole(browser: object, site: str, page: str, width: int, theme: str) -> None:
    with visiting(browser, site, width, theme) as visit:
        visit.open(page)
        assert visit.loaded() < (2.5 if "00-front" in page else 6) * MEGABYTE
        visit.unfold()
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
            symbols = figure.locator(".chart-live svg [role=graphics-symbol]:not(.mark-group)")
            sizes = symbols.evaluate_all("all => all.map(e => e.getBoundingClientRect().width)")
            assert not sizes or max(sizes) > 1, f"{figure.get_attribute('id')} shows nothing"
        assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert (
            tab.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).length")
            == 0
        )
        assert tab.locator("svg [role=graphics-symbol]:not([aria-label])").count() == 0
        assert cut(tab) == []
        assert width < 1280 or cut_in_pictures(tab) == []
        assert serious(tab) == []
        assert visit.errors == []
        assert visit.outside == []


@pytest.mark.parametrize("page", PAGES or ["none built"])
def test_page_fits_when_enlarged_to_twice_its_size_and_on_paper(
    browser: object, site: str, page: str
) -> None:
    with visiting(browser, site, 640) as visit:
        visit.open(page)
        assert visit.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        tables = ".bd-article .table-scroll"
        wide = "all => all.filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1).length"
        assert visit.page.locator(tables).evaluate_all(wide) == 0
        visit.unfold()
        assert cut(visit.page) == []
        visit.page.set_viewport_size({"width": 740, "height": 800})  # US letter, margins off
        visit.page.emulate_media(media="print")
        tall = "all => all.filter(e => e.getBoundingClientRect().height > 960).map(e => e.id)"
        assert visit.page.locator("figure.chart").evaluate_all(tall) == []


@pytest.mark.parametrize(
    "part",
    [
        "02-tasks",
        "03-hidden",
        "04-dispersion",
        "05-agreement",
        "05-truth",
        "06-adversary",
        "07-paper",
        "08-pretrained",
    ],
)
def test_page_is_an_article_of_eight_screens(visit: Visit, part: str) -> None:
    visit.open(_page(part))
    assert visit.page.evaluate("document.querySelector('.bd-article').scrollHeight") <= 8 * 900
    first = visit.page.locator(".bd-article h2").first
    assert "answer" in first.inner_text().lower()  # before how it was found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("part", ["00-front", "07-paper", "ledger", "glossary"])
def test_a_row_pointed_at_can_be_read(browser: object, site: str, part: str, theme: str) -> None:
    with visiting(browser, site, theme=theme) as visit:
        visit.open(_page(part))
        row = ".bd-article tbody tr:visible"
        if not visit.page.locator(row).count():
            pytest.skip("a page without a table")
        before = visit.page.locator(row).first.evaluate("e => getComputedStyle(e).backgroundColor")
        visit.page.locator(row).first.hover()
        visit.page.wait_for_timeout(200)
        after = visit.page.locator(row).first.evaluate("e => getComputedStyle(e).backgroundColor")
        assert before != after
        assert pale(visit.page, row) == []


def test_code_is_one_button(visit: Visit) -> None:
    visit.open(_page("agreement"))
    code = visit.page.locator(".bd-article div.cell_input")
    assert not any(one.is_visible() for one in code.all())
    visit.page.get_by_role("button", name="Show the code of this page").press("Enter")
    assert code.nth(1).is_visible()
    visit.page.get_by_role("button", name="Hide the code").press("Enter")
    assert not code.nth(1).is_visible()


def test_search_marks_no_chart(visit: Visit) -> None:
    page = _page("agreement")
    visit.open(page)
    visit.page.evaluate("localStorage.setItem('sphinx_highlight_terms', 'inputs')")
    visit.open(page)
    visit.page.wait_for_selector("span.highlighted")
    seen = visit.page.locator("svg rect.highlighted").evaluate_all(
        "all => all.filter(e => e.getBoundingClientRect().width).length"
    )
    assert seen == 0


def test_search_shows_prose(visit: Visit) -> None:
    visit.page.goto(f"{visit.site}/search.html?q=picture")
    visit.page.wait_for_function(
        "!document.querySelector('#search-progress .dots, .search-summary:empty')"
    )
    found = visit.page.locator("#search-results li")
    assert found.count() < len(PAGES) / 2  # a word of every figure's buttons is no find
    visit.page.goto(f"{visit.site}/search.html?q=dispersion")
    visit.page.wait_for_selector("#search-results li p.context", timeout=15_000)
    visit.page.wait_for_timeout(1_000)
    told = visit.page.locator("#search-results p.context").all_inner_texts()
    assert told
    assert not [text for text in told if "charts." in text or "(CSV)" in text or "import " in text]


def test_formulas_are_set_without_a_script(browser: object, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)  # type: ignore[attr-defined]
    page = context.new_page()
    page.goto(f"{site}/{_page('agreement')}")
    assert "\\(" not in page.locator(".bd-article").inner_text()
    assert page.locator("noscript math, math").first.is_visible()
    context.close()


def test_back_undoes_a_choice(visit: Visit) -> None:
    visit.open(_page("ledger"))
    every = len(_shown(visit))
    visit.page.locator(".ledger select[name=encoder]").select_option(index=1)
    some = len(_shown(visit))
    assert 0 < some < every
    visit.page.go_back()
    visit.page.wait_for_function(
        f"document.querySelector('.ledger-count').textContent === '{every} runs.'"
    )
    assert visit.page.locator(".ledger select[name=encoder]").input_value() == ""
    visit.page.go_forward()
    visit.page.wait_for_function("location.hash")
    visit.page.wait_for_timeout(200)
    assert len(_shown(visit)) == some


def test_a_picture_carries_its_key(visit: Visit) -> None:
    visit.open(_page("03-"))
    figure = visit.page.locator(
        "figure.chart", has=visit.page.locator(".chart-key", has_text="●\u00a0here")
    ).first
    with visit.page.expect_download() as download:
        figure.locator("[data-get=svg]").click()
    drawn = Path(download.value.path()).read_text("utf-8")
    assert "●\u00a0here" in drawn
    assert figure.locator("figcaption").inner_text().count("●\u00a0here") == 1


def test_paper_has_what_is_folded(visit: Visit) -> None:
    visit.open(_page("agreement"))
    visit.page.emulate_media(media="print")
    figure = visit.page.locator("details:not([open]) figure.chart .chart-static").first
    assert figure.evaluate("e => e.getBoundingClientRect().height") > 100
    visit.open(_page("ledger"))
    cells = visit.page.locator(".ledger-runs tbody tr").last.locator("td")
    box = cells.nth(4).bounding_box()
    assert box is not None
    assert box["width"] > 5


def test_ledger_names_its_cells_on_a_phone(browser: object, site: str) -> None:
    with visiting(browser, site, 360) as visit:
        visit.open(_page("ledger"))
        names = (
            visit.page.locator(".ledger-runs tbody tr[id]")
            .first.locator("th, td")
            .evaluate_all("all => all.map(e => getComputedStyle(e, '::before').content)")
        )
        assert all(name not in ("none", "normal") for name in names[:-1])  # the last opens the rest


def test_numbers_of_the_paper_are_chosen_by_a_link(visit: Visit) -> None:
    visit.open(_page("07-paper") + "#item=Table+1")
    visit.page.wait_for_selector(".ledger-choice:not([hidden])")
    shown = visit.page.locator(".ledger-runs tbody tr:visible")
    assert set(shown.evaluate_all("all => all.map(e => e.dataset.item)")) == {"Table 1"}


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


def test_charts_take_the_room_of_a_closed_sidebar(visit: Visit) -> None:
    visit.open(_page("agreement"))
    chart = visit.page.locator("figure.chart .chart-live svg").first
    narrow = chart.bounding_box()
    visit.page.locator("button.primary-toggle").first.click()
    visit.page.wait_for_function(
        "width => document.querySelector('figure.chart .chart-live svg').clientWidth > width + 50",
        arg=narrow["width"] if narrow else 0,
    )


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


def _shown(visit: Visit) -> list[str]:
    rows = visit.page.locator(".ledger-runs tbody tr[id]:visible")
    return [str(name) for name in rows.evaluate_all("all => all.map(e => e.id)")]


def _column(visit: Visit, heading: str) -> list[str]:
    heads = visit.page.locator(".ledger-runs thead th").all_inner_texts()
    place = next(i for i, text in enumerate(heads) if text.startswith(heading))
    cells = visit.page.locator(f".ledger-runs tbody tr[id] > :nth-child({place + 1})")
    return cells.all_text_contents()  # what is shown would be laid out anew for each cell


def test_ledger_filters_by_keyboard_and_the_address_follows(visit: Visit) -> None:
    visit.open(_page("ledger"))
    every = _shown(visit)
    menu = visit.page.locator(".ledger select[name=encoder]")
    menu.focus()
    visit.page.keyboard.press("ArrowDown")  # the first encoder there is
    chosen = menu.input_value()
    some = _shown(visit)
    assert chosen
    assert 0 < len(some) < len(every)
    count = visit.page.locator(".ledger-count").inner_text()
    assert count == f"{len(some)} of {len(every)} runs."
    rows = visit.page.locator(".ledger-runs tbody tr[id]:visible")
    assert set(rows.evaluate_all("all => all.map(e => e.dataset.encoder)")) == {chosen}
    assert visit.page.evaluate("location.hash") == f"#encoder={chosen}"
    visit.page.locator(".ledger input[name=words]").fill(some[0])
    # A run, and the adversaries that name it as their base.
    assert some[0] in _shown(visit)
    assert all(some[0] in text for text in rows.all_text_contents())
    assert len(_shown(visit)) < len(some)
    visit.page.locator(".ledger [type=reset]").press("Enter")
    visit.page.wait_for_function("!location.hash")
    assert _shown(visit) == every


def test_ledger_sorts_by_keyboard(visit: Visit) -> None:
    visit.open(_page("ledger"))
    heading = visit.page.locator(".ledger-runs thead th", has_text="Accuracy")
    heading.locator("button").focus()
    visit.page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    rising = [float(text) for text in _column(visit, "Accuracy")]
    assert rising == sorted(rising)
    assert rising[0] < rising[-1]
    visit.page.keyboard.press("Space")
    assert heading.get_attribute("aria-sort") == "descending"
    assert [float(text) for text in _column(visit, "Accuracy")] == rising[::-1]
    assert visit.page.locator(".ledger-runs [aria-sort]").count() == 1


def test_a_number_leads_to_its_runs_and_a_run_to_its_pages(visit: Visit) -> None:
    visit.open(_page("07-paper"))
    link = visit.page.locator(".ledger-runs tbody td a").first
    runs = int(link.inner_text())
    link.click()
    visit.page.wait_for_selector(".ledger-choice:not([hidden])")
    assert len(_shown(visit)) == runs
    run = _shown(visit)[0]
    visit.page.goto(f"{visit.site}/{_page('ledger')}#{run}")
    facts = visit.page.locator(".ledger-more dl")
    facts.wait_for()
    assert f"recompute {run}" in facts.inner_text()
    assert facts.locator("a", has_text="07-paper").count() == 1
    assert visit.errors == []


def test_ledger_downloads_what_it_shows(visit: Visit) -> None:
    visit.open(_page("ledger") + "#seed=0")
    shown = _shown(visit)
    with visit.page.expect_download() as download:
        visit.page.locator(".ledger [data-get=csv]").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text("utf-8").splitlines()))
    assert [row["key"] for row in rows] == shown
    assert {row["seed"] for row in rows} == {"0"}


def test_ledger_is_whole_without_a_script(browser: object, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)  # type: ignore[attr-defined]
    page = context.new_page()
    page.goto(f"{site}/{_page('ledger')}")
    rows = page.locator(".ledger-runs tbody tr")
    assert page.locator(".ledger-count").inner_text() == f"{rows.count()} runs."
    assert rows.last.is_visible()
    assert not page.locator(".ledger-choice").is_visible()
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

"""The explorer in a real browser: every control has its effect, by keyboard, and can be linked."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from browser import BOOK, PAGES, Visit, serious, visiting
from playwright.sync_api import Locator, Page

from sparseattn.report.explorer import Explorer

NAME = "notebooks/08-explorer.html"
ALL = "#show=attention.influence.inputs_gradient.inputs_loo.hidden_gradient.hidden_loo"
HOSTILE = ["</script><img src=x onerror=alert(1)>", "<b>", "\"'&amp;", "שלום", "👩‍🚀", "w" * 300]

pytestmark = [
    pytest.mark.slow,
    # Chromium's helper processes outlive the pipes that Python closes.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.skipif(NAME not in PAGES, reason=f"the built book has no page '{NAME}'"),
]


@pytest.fixture
def page(visit: Visit) -> Page:
    return opened(visit)


def opened(visit: Visit, fragment: str = ALL) -> Page:
    visit.page.goto(f"{visit.site}/_static/logo.svg")  # or another fragment would load nothing
    visit.open(NAME + fragment)
    visit.page.wait_for_selector(".explorer[data-ready]")
    return visit.page


def strip(page: Page, kind: str) -> Locator:
    return page.locator(f".explorer-strip[data-kind={kind}]")


def number(page: Page, kind: str, name: str) -> str:
    return str(strip(page, kind).locator(f"[data-number='{name}'] b").text_content())


def shades(page: Page, kind: str) -> list[float]:
    words = strip(page, kind).locator(".explorer-word")
    return [float(share) for share in words.evaluate_all(_SHARES)]


def data() -> dict:  # type: ignore[type-arg]
    html = (BOOK / NAME).read_text(encoding="utf-8")
    found = re.search(r'class="explorer-data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return dict(json.loads(found.group(1)))


def test_slider_changes_attention_support_and_tau(page: Page) -> None:
    slider = page.locator("input[name=projection]")
    status = page.locator(".explorer-summary")
    slider.focus()
    page.keyboard.press("Home")
    even = shades(page, "attention")
    before = [number(page, "attention", "support"), number(page, "inputs_gradient", "τ-b")]
    said = status.text_content()
    assert slider.get_attribute("aria-valuetext") == "softmax"
    page.keyboard.press("End")
    sparse = shades(page, "attention")
    after = [number(page, "attention", "support"), number(page, "inputs_gradient", "τ-b")]
    assert sum(share == 0 for share in sparse) > sum(share == 0 for share in even)
    assert int(after[0].split()[0]) < int(before[0].split()[0])
    assert before[1] != after[1]
    assert status.text_content() != said
    assert status.get_attribute("role") == "status"
    assert slider.get_attribute("aria-valuetext") != "softmax"


def test_numbers_are_those_of_the_data(page: Page) -> None:
    task = data()["tasks"][0]
    page.locator("input[name=projection]").focus()
    page.keyboard.press("Home")
    for stop in task["classifiers"][0]["stops"]:
        seen = stop["documents"][0]
        assert page.locator(".explorer-stop").text_content() == stop["name"]
        tokens = len(task["documents"][0]["tokens"])
        assert number(page, "attention", "support") == f"{seen['support']} of {tokens}"
        for kind, measures in seen["measures"].items():
            shown = number(page, kind, "dispersion").replace("−", "-")
            assert abs(float(shown) - measures["dispersion"]) < 0.00501
            if kind != "attention":
                shown = number(page, kind, "τ-b").replace("−", "-")
                assert abs(float(shown) - measures["tau"]) < 0.00501
        page.keyboard.press("ArrowRight")


def test_choosing_a_token_changes_the_influence(page: Page) -> None:
    page.locator("select[name=document]").select_option("22")  # of several lines
    words = strip(page, "attention").locator("button")
    chosen = strip(page, "attention").locator("button[aria-pressed=true]")
    chosen.focus()
    page.keyboard.press("Home")
    assert words.first.get_attribute("aria-pressed") == "true"
    assert words.first.evaluate("element => element === document.activeElement")
    first = shades(page, "influence")
    page.keyboard.press("ArrowRight")
    assert words.nth(1).get_attribute("aria-pressed") == "true"
    assert [words.nth(i).get_attribute("tabindex") for i in (0, 1)] == ["-1", "0"]
    assert shades(page, "influence") != first
    assert "h₂, the state at" in str(
        strip(page, "influence").locator("[role=status]").text_content()
    )
    page.keyboard.press("ArrowDown")
    below = chosen.bounding_box()
    page.keyboard.press("ArrowUp")
    above = chosen.bounding_box()
    assert below is not None
    assert above is not None
    assert below["y"] > above["y"] + 10
    # By mouse, on any strip.
    strip(page, "hidden_loo").locator(".explorer-word").nth(3).click()
    assert words.nth(3).get_attribute("aria-pressed") == "true"
    assert chosen.count() == 1


def test_pointing_shows_every_share_of_a_token(page: Page) -> None:
    token = data()["tasks"][0]["documents"][0]["tokens"][2]
    strip(page, "inputs_gradient").locator(".explorer-word").nth(2).hover()
    for kind in ("attention", "inputs_gradient", "hidden_loo"):
        shown = str(strip(page, kind).locator(".explorer-value").text_content())
        assert shown.startswith(f"“{token}” ")
        assert shown.endswith("%")


def test_a_document_has_one_number_in_the_list_and_above_its_text(page: Page) -> None:
    select = page.locator("select[name=document]")
    about = page.locator(".explorer-about")
    for place in (0, 4):
        select.select_option(str(place))
        listed = str(select.locator("option").nth(place).text_content())
        assert listed.startswith(f"{place + 1}. ")
        assert str(about.text_content()).startswith(f"Document {place + 1}: ")
    page.locator("select[name=task]").select_option("1")  # whose first is not the first observed
    assert str(about.text_content()).startswith("Document 1: ")


def test_documents_classifiers_and_tasks_are_chosen(page: Page) -> None:
    tasks = data()["tasks"]

    def words() -> list[str]:
        return [
            w.lstrip("● ") for w in strip(page, "attention").locator("button").all_inner_texts()
        ]

    page.locator("select[name=document]").select_option("3")
    assert words() == tasks[0]["documents"][3]["tokens"]
    page.get_by_role("button", name="Next document").click()
    assert words() == tasks[0]["documents"][4]["tokens"]
    assert page.locator("select[name=document]").input_value() == "4"
    before = shades(page, "attention")
    page.locator("select[name=classifier]").select_option("1")
    assert words() == tasks[0]["documents"][4]["tokens"]
    assert shades(page, "attention") != before
    page.locator("select[name=task]").select_option("1")
    assert words() == tasks[1]["documents"][0]["tokens"]
    assert page.locator("select[name=classifier] option").count() == len(tasks[1]["classifiers"])


def test_truth_is_marked(page: Page) -> None:
    evidence = data()["tasks"][0]["documents"][0]["evidence"]
    marked = strip(page, "attention").locator("button.decides")
    assert [
        int(str(at)) for at in marked.evaluate_all("all => all.map(one => one.dataset.at)")
    ] == (evidence)
    assert "decides" in str(marked.first.get_attribute("aria-label"))
    assert marked.first.evaluate("one => getComputedStyle(one, '::before').content").startswith(
        '"●'
    )


def test_a_link_restores_the_view(visit: Visit) -> None:
    page = opened(visit)
    page.locator("select[name=classifier]").select_option("1")
    page.locator("select[name=document]").select_option("2")
    page.locator("input[name=projection]").focus()
    page.keyboard.press("End")
    strip(page, "influence").locator(".explorer-word").nth(4).click()
    page.locator(".explorer-toggles [data-kind=hidden_loo]").click()
    page.get_by_role("button", name="Copy a link").click()
    address = page.url
    assert parse_qs(urlsplit(address).fragment)["token"] == ["5"]

    def view() -> list[object]:
        said = page.locator("[class^=explorer-][role=status], .explorer-about").all_inner_texts()
        return [said, shades(page, "attention"), shades(page, "influence")]

    before = view()
    page.locator("select[name=document]").select_option("0")
    assert view() != before
    opened(visit, "#" + urlsplit(address).fragment)
    assert view() == before
    assert not strip(page, "hidden_loo").is_visible()
    assert strip(page, "hidden_gradient").is_visible()
    # A link followed on the page itself, and one that names nothing there is.
    page.evaluate("location.hash = '#document=0&token=1'")
    page.wait_for_function("document.querySelector('.explorer-word').matches('.chosen')")
    page.evaluate("location.hash = '#document=no&task=no&projection=no&token=9999&colour=red'")
    page.wait_for_function("document.querySelector('.explorer-fault').textContent")
    said = str(page.locator(".explorer-fault").text_content())
    for part in ("colour", "task “no”", "document “no”", "projection “no”", "token “9999”"):
        assert part in said
    assert page.locator(".explorer-word.chosen:visible").count() >= 1
    page.locator("select[name=document]").select_option("1")
    assert page.locator(".explorer-fault").text_content() == ""
    assert visit.errors == []


def test_it_opens_on_reviews_with_two_strips(visit: Visit) -> None:
    page = opened(visit, "")
    assert page.locator("select[name=task] option").first.text_content() == "Short reviews"
    assert page.locator(".explorer-strip:visible").count() == 2
    assert "written for this book" in str(page.locator(".explorer-about").text_content())
    assert page.locator("select[name=document] option").count() >= 24
    page.locator(".explorer-toggles [data-kind=inputs_loo]").click()
    assert page.locator(".explorer-strip:visible").count() == 3
    opened(visit, "#nonsense")
    assert "“nonsense” names nothing here" in str(page.locator(".explorer-fault").text_content())


def test_back_undoes_a_choice_but_not_a_drag(page: Page) -> None:
    page.wait_for_timeout(200)
    page.locator("select[name=document]").select_option("3")
    page.wait_for_timeout(200)
    page.locator("input[name=projection]").focus()
    page.keyboard.press("End")  # no step of its own
    page.wait_for_timeout(200)
    page.locator("select[name=classifier]").select_option("1")
    page.wait_for_timeout(200)
    page.go_back()
    page.wait_for_function("document.querySelector('select[name=classifier]').value === '0'")
    assert page.locator("select[name=document]").input_value() == "3"
    page.go_back()
    page.wait_for_function("document.querySelector('select[name=document]').value === '0'")


def test_questions_lead_to_the_explorer(page: Page) -> None:
    buttons = page.locator("button[data-explore]")
    assert buttons.count() > 3
    said = set()
    for index in range(buttons.count()):
        buttons.nth(index).click()
        said.add(page.locator(".explorer-about").text_content())
        assert page.evaluate("document.activeElement.matches('.explorer-word')")
    assert len(said) > 2


def test_theme_is_followed_at_once(page: Page) -> None:
    word = strip(page, "attention").locator(".explorer-word.chosen")
    colour = "one => getComputedStyle(one).backgroundImage"
    light = word.evaluate(colour)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_timeout(300)
    assert word.evaluate(colour) != light


def test_print_keeps_the_view_without_its_controls(page: Page) -> None:
    page.emulate_media(media="print")
    assert strip(page, "attention").is_visible()
    assert page.locator(".explorer-summary").is_visible()
    assert not page.locator(".explorer-controls").is_visible()
    assert not page.locator("input[name=projection]").is_visible()


def test_without_a_script_there_is_a_table(browser: object, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)  # type: ignore[attr-defined]
    page = context.new_page()
    page.goto(f"{site}/{NAME}")
    rows = page.locator(".explorer-static tbody tr")
    assert rows.first.is_visible()
    assert rows.count() == len(data()["tasks"][0]["documents"][0]["tokens"])
    assert not page.locator("button[data-explore]").first.is_visible()
    context.close()


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (360, "dark")])
def test_hostile_text_is_shown_and_nothing_else(
    browser: object, site: str, width: int, theme: str
) -> None:
    nasty = data()
    for task in nasty["tasks"]:
        for document in task["documents"]:
            n = len(document["tokens"])
            document["tokens"] = [HOSTILE[i % len(HOSTILE)] for i in range(n)]
            document["why"] = HOSTILE[0]
    html = (BOOK / NAME).read_text(encoding="utf-8")
    start = html.index('<section class="explorer"')
    end = html.index("</section>", start) + len("</section>")
    body = html[:start] + Explorer(nasty)._repr_html_() + html[end:]
    with visiting(browser, site, width, theme) as visit:  # type: ignore[arg-type]
        visit.page.on("dialog", lambda dialog: visit.errors.append(dialog.message))
        visit.page.route("**/08-explorer.html", lambda route: route.fulfill(body=body))
        page = opened(visit)
        for kind in ("attention", "influence", "hidden_loo"):
            words = strip(page, kind).locator(".explorer-word")
            assert words.evaluate_all("all => all.slice(0, 6).map(w => w.textContent)") == HOSTILE
        assert page.locator(".explorer img, .explorer script:not([type])").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert serious(page) == []
        assert visit.errors == []


_SHARES = "all => all.map(one => one.style.getPropertyValue('--share'))"

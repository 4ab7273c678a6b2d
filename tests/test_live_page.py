"""The page "Your own sentence" in a real browser: it computes what torch does, and keeps it here.

The page stands in a folder of its own, laid out as the book is, so no book need be built.
"""

import os
import random
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trusted
from browser import Visit, served, visiting
from playwright.sync_api import Browser, Page

from sparseattn import paths
from sparseattn.attribution import importance as of
from sparseattn.attribution.influence import influence
from sparseattn.data.corpora import FOLDER_VARIABLE
from sparseattn.data.tasks import load_task
from sparseattn.data.words import BEGIN, END, MARKERS
from sparseattn.measures.kendall import kendall_tau, tau_ceiling
from sparseattn.measures.per_document import effective_tokens, normalise
from sparseattn.report import live

SENTENCES = 200
PRECISION = 1e-4
STATIC = paths.book() / "_static"
FOLDER = paths.book() / "_extra" / "live"
CODES = [live.short_name(spec) for spec in live.specs()]

pytestmark = [
    pytest.mark.slow,
    # Chromium's helper processes outlive the pipes that Python closes.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("book")
    shutil.copytree(FOLDER, root / "live")
    (root / "_static").mkdir()
    (root / "pages").mkdir()
    styles = ("explorer.css", "live.css")
    scripts = ("live.js", "live-classifier.js", "explorer.js", "sparseattn.js")  # in any order
    for name in (*styles, *scripts):
        shutil.copy(STATIC / name, root / "_static")
    links = "".join(f'<link rel="stylesheet" href="../_static/{name}">' for name in styles)
    links += "".join(f'<script src="../_static/{name}"></script>' for name in scripts)
    for name, body in (("other", "Another page"), ("live", links + live.page()._repr_html_())):
        (root / "pages" / f"{name}.html").write_text(
            '<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,">'
            f"<title>Your own sentence</title><body>{body}</body></html>",
            encoding="utf-8",
        )
    return root


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    with served(folder) as address:
        yield address


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Visit]:
    with visiting(browser, site) as opened:
        yield opened


def opened(visit: Visit, fragment: str = "") -> Page:
    visit.page.goto(f"{visit.site}/pages/other.html")  # or another fragment would load nothing
    visit.page.goto(f"{visit.site}/pages/live.html{fragment}")
    return ready(visit.page)


def ready(page: Page) -> Page:
    page.wait_for_selector(".live[data-ready=yes]")
    return page


def written(page: Page, text: str) -> Page:
    page.locator("textarea").fill(text)
    return ready(page)


def note(page: Page) -> str:
    return str(page.locator("#live-note").text_content())


def strip(page: Page, kind: str, panel: int = 0) -> Any:
    return page.locator(".live-panel").nth(panel).locator(f"[data-kind={kind}]")


def value(page: Page, kind: str, name: str, panel: int = 0) -> str:
    return str(strip(page, kind, panel).locator(f"[data-number='{name}'] b").text_content())


def keystrokes(page: Page) -> list[float]:
    """Milliseconds from a key to the picture with all results, at sixty words."""
    written(page, " ".join(["a fine dull surprise"] * 15))
    page.evaluate(_TIMED)
    page.locator("textarea").focus()
    for place in range(20):
        page.keyboard.press("Backspace" if place % 2 else "x")
        page.wait_for_timeout(300)
    found: list[float] = page.evaluate("times")
    assert len(found) == 20
    return found


@pytest.fixture(scope="module")
def sentences() -> list[torch.Tensor]:
    """SST's test sentences where they are at hand, else words of the vocabulary in any order."""
    if os.environ.get(FOLDER_VARIABLE):
        return list(load_task("sst").test.sample(SENTENCES).ids)
    draw, words = random.Random(0), live.page().index["task"]["words"] + len(MARKERS)
    return [
        torch.tensor([BEGIN, *(draw.randrange(1, words) for _ in range(draw.randint(1, 40))), END])
        for _ in range(SENTENCES)
    ]


@pytest.fixture(scope="module")
def bare(browser: Browser) -> Iterator[Page]:
    """A page with the classifiers' script and words, and nothing else."""
    page = browser.new_page()
    page.add_script_tag(path=str(STATIC / "live-classifier.js"))
    page.add_script_tag(path=str(FOLDER / "words.js"))
    yield page
    page.close()


@pytest.mark.parametrize("place", range(len(CODES)), ids=CODES)
def test_browser_computes_what_torch_does(
    bare: Page, visit: Visit, sentences: list[torch.Tensor], place: int
) -> None:
    """In double precision, so that a zero of a sparse projection is one for both."""
    spec, entry = live.specs()[place], live.page().index["classifiers"][place]
    if not trusted.THOROUGH:  # each sentence for one of the classifiers, which are of two kinds
        sentences = sentences[place :: len(CODES)]
    file = FOLDER / f"{entry['code']}.js"
    bare.add_script_tag(path=str(file))
    got = bare.evaluate(_READ, [entry, [ids[1:-1].tolist() for ids in sentences]])
    classifier = live.restored(file.read_bytes(), spec).double()
    lengths = [len(ids) - 2 for ids in sentences]
    logit, without = of.logits_without_each(classifier, sentences)
    expected = {
        "attention": of.attention(classifier, sentences),
        "loo": of.output_change(logit, without, lengths),
        "product": of.gradient_importance(classifier, sentences, times_embedding=True),
    }
    owed = influence(classifier, sentences[: trusted.times(5, 20)])
    for row, (here, n) in enumerate(zip(got, lengths, strict=True)):
        assert abs(here["logit"] - logit[row]) < PRECISION
        for name, values in expected.items():
            theirs, ours = values[row, :n], np.array(here[name])
            if name == "product":
                theirs, ours = (normalise(one[None], np.array([n]))[0] for one in (theirs, ours))
            assert np.abs(ours - theirs).max() < PRECISION, name
        zeros = np.array(here["attention"]) == 0
        assert (zeros == (expected["attention"][row, :n] == 0)).all()
        if row < len(owed):
            assert np.abs(np.array(here["influence"]) - owed[row][0]).max() < PRECISION
    sparse = sum(0 in here["attention"] for here in got)  # so that equal zeros say something
    if spec.projection == "softmax":
        assert not sparse
    elif spec.projection == "sparsemax" or spec.lam == 0.6:
        assert sparse > len(sentences) / 2
    if not trusted.THOROUGH:
        return
    furthest = max(
        np.abs(np.array(here[name]) - expected[name][row, :n]).max()
        for row, (here, n) in enumerate(zip(got, lengths, strict=True))
        for name in ("attention", "loo")
    )
    shown = opened(visit, f"#classifier={entry['code']}")
    trusted.keep(
        f"live/{entry['code']}",
        {
            "milliseconds": round(statistics.median(here["milliseconds"] for here in got), 1),
            "keystroke": round(statistics.median(keystrokes(shown)), 1),
            "furthest": float(f"{furthest:.1g}"),
        },
    )


def test_slider_solves_the_projections_that_python_does(bare: Page) -> None:
    from sparseattn.models.projections import project

    rng = np.random.default_rng(0)
    entry = live.page().index["classifiers"][0]
    bare.add_script_tag(path=str(FOLDER / f"{entry['code']}.js"))
    ids = rng.integers(4, 4000, 30).tolist()
    for lam in (None, -10.0, 0.0, 0.5, 0.9):
        here = bare.evaluate(_UNDER, [entry, ids, lam])
        scores = torch.tensor(here["scores"], dtype=torch.float64)
        name = "softmax" if lam is None else "sparsegen"
        theirs = project(scores, torch.ones(30, dtype=torch.bool), name, lam).numpy()
        assert np.abs(np.array(here["attention"]) - theirs).max() < 1e-12
        assert ((theirs == 0) == (np.array(here["attention"]) == 0)).all()


@pytest.mark.parametrize("place", [0, len(CODES) - 1], ids=[CODES[0], CODES[-1]])
def test_equal_texts_have_equal_numbers(bare: Page, place: int) -> None:
    """To the bit: a tie must be one; and whatever else is read in between, in the same room."""
    entry = live.page().index["classifiers"][place]
    bare.add_script_tag(path=str(FOLDER / f"{entry['code']}.js"))
    ids = [10, 11, 12, 12, 12, 13, 11, 14]
    alone, between, other = bare.evaluate(_BETWEEN, [entry, ids, ids[::-1]])
    assert alone == between
    assert alone != other
    assert alone[2] == alone[3] == alone[4] != alone[5]
    assert alone[1] != alone[6]  # the same word, but another text is left


def test_numbers_of_a_text_are_those_of_the_measures(bare: Page) -> None:
    rng = np.random.default_rng(1)
    for n in (2, 3, 7, 40):
        x, y = rng.integers(0, 4, (2, n)) / 7
        x[0] = 1.0  # some mass
        length = np.array([n])
        tau, ceiling, effective = bare.evaluate(_NUMBERS, [x.tolist(), y.tolist()])
        for got, expected in (
            (tau, kendall_tau(x[None], y[None], length)[0]),
            (ceiling, tau_ceiling(x[None], length, y[None])[0]),
            (effective, effective_tokens(x[None], length)[0]),
        ):
            assert got == pytest.approx(expected, nan_ok=True)


def test_words_are_split_as_in_python(bare: Page) -> None:
    texts = [
        *live.EXAMPLES, "I don't; he can’t, they WON'T", "-LRB- x -rrb- hunt's N'T",
        "漢字 x½² ünï_code İstanbul ΣΑΣ STRASSE ß ǅ", "<b>bold</b>&amp; 👩‍🚀", "שלום ไทย हिन्दी",
        " \n\t ", "a\u00a0b\u2028c 3.5",
    ]  # fmt: skip
    assert bare.evaluate("texts => texts.map(sparseattnLive.split)", texts) == [
        live.typed_words(text) for text in texts
    ]


def test_nothing_typed_leaves_the_page(visit: Visit) -> None:
    asked: list[str] = []
    page = opened(visit)
    page.on("request", lambda request: asked.append(request.url))
    times = []
    for end in range(1, len(_LONG) + 1, 7):
        written(page, _LONG[:end])
        times.append(float(str(page.locator(".live").get_attribute("data-milliseconds"))))
    page.locator(".live-examples button").last.click()
    page.locator("input[name=projection]").press("End")
    page.wait_for_timeout(1000)  # the address is written, the spoken line is
    assert asked == []
    print(f"a keystroke: {statistics.median(times):.1f} ms, at most {max(times):.1f}")
    # The control: a choice is a request, for one file that says nothing of the text.
    page.locator("select[name=classifier]").select_option("transformer-sparsemax")
    ready(page)
    assert [url.rsplit("/", 1)[1] for url in asked] == ["transformer-sparsemax.js"]
    assert visit.outside == []
    assert visit.errors == []


def test_works_from_a_disk(browser: Browser, folder: Path) -> None:
    page = browser.new_page()
    page.goto((folder / "pages" / "live.html").as_uri())
    ready(page)
    assert "Read as" in str(page.locator(".live-panel .explorer-summary").first.text_content())
    page.close()


def test_offline_once_loaded(visit: Visit) -> None:
    page = opened(visit)
    page.context.set_offline(True)
    before = page.locator(".live-panel .explorer-summary").first.text_content()
    written(page, "dull and lifeless")
    assert page.locator(".live-panel .explorer-summary").first.text_content() != before
    page.locator("select[name=classifier]").select_option("transformer-softmax")
    page.wait_for_function("document.querySelector('#live-note').textContent.includes('could not')")
    page.context.set_offline(False)
    page.locator("select[name=classifier]").select_option("bilstm-softmax")
    page.locator("select[name=classifier]").select_option("transformer-softmax")
    ready(page)  # a later choice tries again
    assert "Transformer" in str(page.locator(".live-title").first.text_content())


def test_only_what_is_chosen_is_loaded(visit: Visit) -> None:
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[1]))
    opened(visit)
    visit.page.wait_for_load_state("networkidle")
    assert sorted(one for one in asked if one in {"words.js", *(f"{c}.js" for c in CODES)}) == [
        f"{CODES[0]}.js",
        "words.js",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Type a sentence"),
        ("  \n ", "Type a sentence"),
        ("👩‍🚀 !?", "no letter or digit"),
        ("zyx wvu", "No word of this is known"),
        ("漢字", "No word of this is known"),
        ("a dull zyx", "Unknown, and so all the same word to the classifiers: “zyx”."),
        ("good " * 2000, "Only the first 60 of 2,000 words are read."),
        ("x" * 10_000, "No word of this is known"),
        ("<img src=x onerror=alert(1)> good", "Unknown"),
        ("film", ""),
    ],
)
def test_odd_texts_have_a_clear_line(visit: Visit, text: str, said: str) -> None:
    page = written(opened(visit), text)
    assert said in note(page)
    words = live.typed_words(text)[:60]
    assert page.locator(".live-panels").is_visible() == bool(words)
    shown = strip(page, "attention").locator("button").all_text_contents()
    assert shown == words or not words
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    if len(words) == 1:
        assert value(page, "loo", "τ-b") == "–"  # one word has no order
    visit.page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    if len(text) > 60:
        page.wait_for_function("location.hash")  # it is written a while after the last letter
        assert len(page.url) < 4000
    assert visit.errors == []


def test_unknown_words_are_marked(visit: Visit) -> None:
    page = written(opened(visit), "good zyx film")
    words = strip(page, "loo").locator(".explorer-word")
    assert [("unknown" in str(words.nth(k).get_attribute("class"))) for k in range(3)] == [
        False, True, False,
    ]  # fmt: skip
    assert "unknown" in str(
        strip(page, "attention").locator("button").nth(1).get_attribute("aria-label")
    )


def test_slider_projects_the_same_scores_and_says_so(visit: Visit) -> None:
    page = written(opened(visit), _LONG)
    about = page.locator(".live-panel .explorer-about").first
    assert "projected anew" not in str(about.text_content())
    assert (
        value(page, "attention", "support").split()[0]
        == value(page, "attention", "support").split()[-1]
    )
    slider = page.locator("input[name=projection]")
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    ready(page)
    assert slider.get_attribute("aria-valuetext") == "sparsemax"
    few, all_ = value(page, "attention", "support").split(" of ")
    assert int(few) < int(all_)
    assert "same scores, projected anew by sparsemax: it was trained with softmax" in str(
        about.text_content()
    )
    assert float(value(page, "loo", "at most")) < 1
    about.locator("button").click()
    ready(page)
    assert page.locator("select[name=beside]").input_value() == "bilstm-sparsemax"
    assert "The one trained with that stands beside" in str(about.text_content())
    page.locator("select[name=classifier]").select_option("transformer-softmax")
    ready(page)
    assert slider.get_attribute("aria-valuetext") == "softmax"  # its own again


def test_two_panels_are_linked_by_token(visit: Visit) -> None:
    page = opened(
        visit,
        "#text=a+warm+and+funny+film&classifier=bilstm-softmax&beside=transformer-sparsegen0.6",
    )
    assert page.locator(".live-panel:visible").count() == 2
    before = strip(page, "influence", 1).locator(".explorer-word").evaluate_all(_SHARES)
    strip(page, "loo").locator(".explorer-word").nth(3).hover()
    assert page.locator(".peek[data-at='3']:visible").count() == 8  # four strips, two panels
    assert page.locator(".peek:not([data-at='3']):visible").count() == 0
    assert strip(page, "influence", 1).locator(".explorer-word").evaluate_all(_SHARES) != before
    assert "“funny”" in str(strip(page, "influence", 1).locator(".explorer-numbers").text_content())
    page.mouse.move(0, 0)
    assert page.locator(".peek:visible").count() == 0
    assert strip(page, "influence", 1).locator(".explorer-word").evaluate_all(_SHARES) == before


def test_keyboard_moves_between_tokens(visit: Visit) -> None:
    page = written(opened(visit), "a warm and funny film")
    words = strip(page, "attention").locator("button")
    assert words.last.get_attribute("aria-pressed") == "true"  # typing looks at the last word
    words.last.focus()
    page.keyboard.press("ArrowLeft")
    assert words.nth(3).get_attribute("aria-pressed") == "true"
    assert words.nth(3).evaluate("element => element === document.activeElement")
    page.keyboard.press("Home")
    assert [words.nth(k).get_attribute("tabindex") for k in (0, 3)] == ["0", "-1"]
    assert "Leave-one-out" in str(words.first.get_attribute("aria-label"))
    said = "document.querySelector('.live-spoken').textContent"
    # Until the writer has paused, it tells of the text that stood there before.
    page.wait_for_function(f"{said}.startsWith('BiLSTM, softmax: Read as positive')")
    assert "Attention rests most on" in page.evaluate(said)


def test_state_is_in_the_address_and_back_undoes_a_choice(visit: Visit, browser: Browser) -> None:
    page = opened(visit)
    written(page, "a warm film")
    page.wait_for_function("location.hash.includes('a+warm+film')")
    page.locator("select[name=beside]").select_option("transformer-sparsemax")
    ready(page)
    page.locator("input[name=projection]").press("End")
    page.locator("input[name=projection]").blur()
    strip(page, "attention").locator("button").nth(1).click()
    ready(page)
    address = page.url
    again = opened(visit, "#" + address.partition("#")[2])
    assert again.locator("textarea").input_value() == "a warm film"
    assert again.locator("select[name=beside]").input_value() == "transformer-sparsemax"
    assert "0.9" in str(again.locator(".explorer-stop").text_content())
    assert strip(again, "attention").locator("button[aria-pressed=true]").text_content() == "warm"
    assert again.locator(".live-note").first.text_content() == ""
    again.locator("select[name=classifier]").select_option("transformer-softmax")
    ready(again)
    again.go_back()
    ready(again)
    assert again.locator("select[name=classifier]").input_value() == "bilstm-softmax"
    assert again.locator("textarea").input_value() == "a warm film"


@pytest.mark.parametrize(
    ("fragment", "said"),
    [
        ("#classifier=bert", "no classifier “bert”"),
        ("#text=good&beside=<b>", "no classifier “<b>”"),
        ("#text=good&projection=entmax", "no projection “entmax”"),
        ("#text=good&token=9", "no token 9 among 1"),
        ("#text=good&token=x", "no token “x”"),
        ("#text=good&colour=red", "there is no “colour”"),
        ("#nonsense", "“nonsense” names nothing here"),
    ],
)
def test_what_the_address_asks_in_vain_is_said(visit: Visit, fragment: str, said: str) -> None:
    page = opened(visit, fragment)
    assert said in str(page.locator(".live-note").first.text_content())
    assert page.locator(".live-panel:visible").count() == 1
    written(page, "good film")
    assert page.locator(".live-note").first.text_content() == ""
    assert visit.errors == []


_LONG = (
    "The plot is thin, the jokes are old and the music is far too loud, but the two leads are a joy"
)
_SHARES = "words => words.map(word => word.style.getPropertyValue('--share'))"
_TIMED = """() => {
  window.times = [];
  const root = document.querySelector(".live"), painted = new MessageChannel();
  let start;
  painted.port1.onmessage = () => times.push(performance.now() - start);
  addEventListener("keydown", (event) => (start = event.timeStamp), true);
  new MutationObserver(() => {
    if (root.dataset.ready === "yes") requestAnimationFrame(() => painted.port2.postMessage(0));
  }).observe(root, { attributeFilter: ["data-ready"] });
}"""

_READ = """([entry, texts]) => {
  const live = sparseattnLive, classifier = new live.Classifier(live[entry.code], entry);
  return texts.map((ids) => {
    const start = performance.now(), reading = classifier.read(ids);
    reading.complete();
    const { logit, attention, loo, product } = reading.under();
    const milliseconds = performance.now() - start;
    return { logit, attention: [...attention], loo: [...loo], product: [...product], milliseconds,
      influence: [...reading.influence(0)] };
  });
}"""
_BETWEEN = """([entry, ids, others]) => {
  const live = sparseattnLive, classifier = new live.Classifier(live[entry.code], entry);
  const [alone, between, other] = [ids, ids, others].map((text) => classifier.read(text));
  alone.complete();
  while (between.deleted.length < ids.length) {
    for (const reading of [between, other]) {
      const states = reading.deleting.next().value;
      if (states) reading.deleted.push(classifier.judged(states));
    }
  }
  return [alone, between, other].map((reading) => [...reading.under().loo]);
}"""
_UNDER = """([entry, ids, lam]) => {
  const live = sparseattnLive, reading = new live.Classifier(live[entry.code], entry).read(ids);
  const { scores, attention } = reading.under(lam);
  return { scores: [...scores], attention: [...attention] };
}"""
_NUMBERS = """([x, y]) => {
  const { tau, ceiling, shares, effective } = sparseattnLive;
  return [tau(x, y), ceiling(x, y), effective(shares(x))];
}"""

"""A page that stands alone asks for nothing, runs its own scripts only, shows what a book does."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from browser import serious
from IPython.display import Markdown

from sparseattn import charts
from sparseattn.charts.figure import inert
from sparseattn.errors import UserError
from sparseattn.report import book, onefile


class _Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.scripts, self.inside = [], [], None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.inside = tag if tag == "script" and "type" not in attrs else None

    def handle_data(self, data):
        if self.inside:
            self.scripts.append(data)
            self.inside = None


@pytest.fixture(scope="module")
def frame():
    import pandas as pd

    return pd.DataFrame({"x": [1.0, 2.0], "y": [2.0, 1.0], "word": ["<b>a</b>", "</script>"]})


@pytest.fixture(scope="module")
def page(frame):
    import altair as alt

    figure = charts.show(
        alt.Chart(frame).mark_point().encode(x="x:Q", y="y:Q", tooltip=["word:N"]),
        name="points", caption="Points.", description="Two points.",
    )  # fmt: skip
    table = charts.table(frame, "A table.")
    return onefile.page("One & <two>", ["# One", Markdown("Some $x_i$."), table, figure])


def test_nothing_is_asked_of_another_place(page):
    for tag, attrs in _Tags(page).tags:
        for name in ("src", "href", "action", "srcset"):
            value = attrs.get(name) or "#"
            assert value.startswith(("data:", "#")), (tag, value)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page.partition("<style>")[2].partition("</style>")[0])


def test_only_its_own_scripts_may_run(page):
    policy = dict([
        (attrs["http-equiv"], attrs["content"]) for tag, attrs in _Tags(page).tags
        if tag == "meta" and "http-equiv" in attrs
    ])["Content-Security-Policy"]  # fmt: skip
    assert policy.startswith("default-src 'none'; ")
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    scripts = _Tags(page).scripts
    assert len(scripts) == 3  # the theme's, Vega, the figures'
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_charts_bring_vega_and_pages_without_do_not(page):
    assert "vegaEmbed" in page
    assert len(onefile.page("Words", ["Only words."])) < 60_000 < 800_000 < len(page)


def test_text_that_looks_like_markup_stays_text(page, frame):
    tags = [tag for tag, _ in _Tags(page).tags]
    assert tags.count("b") == 0
    assert "<title>One &amp; &lt;two&gt;</title>" in page


def test_a_script_cannot_end_early():
    assert onefile._inline("a='</script><!--'; b=/<p>/") == r"a='\x3c/script>\x3c!--'; b=/<p>/"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$a_i$ and\n\n$$b^2$$", ["<math", "display=\"block\""]),
        ("see {doc}`01-scores-to-attention`", ["From scores to attention"]),
        ("see {doc}`this <05-agreement>`", ["see this"]),
        ("{cite:t}`jain2019attention` and {cite:p}`meister2021sparse`",
         ["Jain and Wallace (2019)", "(Meister et al., 2021)"]),
        ("(here)=\n## A part\n\n{ref}`here`", ['id="here"', "<h2>A part</h2>", 'href="#here"']),
        ("{ref}`words <measures-flow>`", [">words<"]),
    ],
)  # fmt: skip
def test_what_markdown_becomes(text, expected):
    html = onefile.markdown(text)
    for part in expected:
        assert part in html
    assert "{" not in re.sub(r"<math.*?</math>", "", html, flags=re.DOTALL)


def test_links_lead_within_the_page_or_to_an_address_or_nowhere():
    spec = {"datasets": {"a": [{"page": "05-truth.html#t"}, {"page": "06.html#t"}, {"page": None}]}}
    body = (
        '<p id="t"></p><a href="05-truth.html#t">in</a> <a href="06.html">out</a> '
        "<a class='x' href='#gone'>gone</a> <a href=\"https://doi.org/1\">far</a>"
        + inert("chart-spec", spec)
    )
    alone = onefile._alone(body, "05-truth.html")
    assert re.findall(r'href="(.*?)"', alone) == ["#t", "https://doi.org/1"]
    assert "in</a> out gone <a" in alone
    kept = json.loads(re.search(r">(\{.*\})</script>", alone)[1])
    assert [one["page"] for one in kept["datasets"]["a"]] == ["#t", None, None]


def test_a_notebook_shows_what_its_tags_let_be_seen():
    def cell(kind, tags, **more):
        return {"cell_type": kind, "metadata": {"tags": tags}, **more}

    def said(text):
        return [{"output_type": "stream", "name": "stdout", "text": [text]}]

    html = {
        "output_type": "execute_result",
        "data": {"text/html": ["<i>rich</i>"], "text/plain": "p"},
    }
    shown = onefile.of_notebook("05-agreement", {"cells": [
        cell("markdown", [], source=["# Title\n", "words"]),
        cell("code", ["parameters"], source="secret = 1", outputs=said("no")),
        cell("code", ["remove-cell"], source="secret", outputs=said("no")),
        cell("code", ["hide-cell"], source="secret", outputs=said("no")),
        cell("code", ["hide-input"], source="secret", outputs=[*said("plain <b>"), html]),
    ]})  # fmt: skip
    article = shown.partition("<article")[2].partition("</article>")[0]
    assert "secret" not in article
    assert "no" not in re.sub(r"<.*?>", " ", article).split()
    assert "plain &lt;b&gt;" in article
    assert "<i>rich</i>" in article
    assert article.index("<h1>Title") < article.index("rich")


def test_run_writes_a_page_or_a_notebook_by_the_ending(tmp_path, monkeypatch):
    made = []
    cells = [{"cell_type": "markdown", "metadata": {}, "source": "# A *page*"}]

    def execute(notebook, values, output):
        made.append(output)
        output.write_text(json.dumps({"cells": cells}), encoding="utf-8")
        return output

    monkeypatch.setattr(book, "execute", execute)
    monkeypatch.setattr(book, "compute", lambda pages: None)
    page = book.run("01-scores-to-attention", {}, tmp_path / "page.html")
    assert "<h1>A <em>page</em></h1>" in page.read_text(encoding="utf-8")
    assert not made[0].exists()
    assert book.run("01-scores-to-attention", {}, tmp_path / "a.ipynb") == made[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ipynb", "page.html"]
    with pytest.raises(UserError, match="Cannot write"):
        book.run("01-scores-to-attention", {}, tmp_path / "page.html" / "b.html")
    assert len(made) == 2


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_opens_from_a_disk_without_a_network(page, tmp_path, browser, theme):
    file = tmp_path / "page.html"
    file.write_text(page, encoding="utf-8")
    context = browser.new_context(offline=True, color_scheme=theme)
    tab, heard, asked = context.new_page(), [], []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(file.as_uri())
    tab.wait_for_selector("html[data-charts=ready]", timeout=20_000)
    assert tab.locator("figure.chart .chart-live svg").count() == 1
    assert tab.evaluate("document.documentElement.dataset.theme") == theme
    assert serious(tab) == []
    assert heard == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [file.as_uri()]
    context.close()

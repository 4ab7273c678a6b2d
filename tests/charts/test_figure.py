"""A figure is inert, escaped, described, the same twice, and needs nothing from elsewhere."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import altair as alt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparseattn.charts.figure import show, write_scripts
from sparseattn.errors import UserError

FRAME = pd.DataFrame({"x": [1, 2], "word": ["</script><script>alert(1)</script>", "<!--'\"&"]})
CHART = alt.Chart(FRAME).mark_point().encode(x="x:Q", y="word:N")


class _Outline(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def outline(html: str) -> _Outline:
    parser = _Outline()
    parser.feed(html)
    parser.close()
    return parser


@settings(max_examples=15, deadline=None)
@given(text=st.text(min_size=1).filter(str.strip))
def test_no_text_escapes(text: str) -> None:
    nasty = f"</script><b onload='x'>\"{text}"
    html = show(CHART, name="a", caption=nasty, description=nasty)._repr_html_()
    plain = show(CHART, name="a", caption="x", description="x")._repr_html_()
    assert [tag for tag, _ in outline(html).tags] == [tag for tag, _ in outline(plain).tags]


def test_specification_survives_the_page() -> None:
    shown = show(CHART, name="a", caption="c", description="d")
    inert = re.search(r'class="chart-spec">(.*?)</script>', shown._repr_html_(), re.DOTALL)
    assert inert is not None
    assert not set("<>&") & set(inert.group(1))
    assert json.loads(inert.group(1)) == shown.spec
    assert FRAME["word"].tolist()[0] in json.dumps(shown.spec)


def test_picture_is_described_and_asks_nobody() -> None:
    tags = outline(
        show(CHART, name="a", caption="c", description='two "points"')._repr_html_()
    ).tags
    (picture,) = [attrs for tag, attrs in tags if tag == "img"]
    assert picture["alt"] == 'two "points"'
    source = unquote(str(picture["src"]))
    assert source.startswith("data:image/svg+xml,<svg")
    assert not re.findall(r'(?:href|src)="http', source)


def test_ids_come_from_the_name() -> None:
    tags = outline(show(CHART, name="tau", caption="c", description="d")._repr_html_()).tags
    ids = [str(attrs["id"]) for _, attrs in tags if "id" in attrs]
    assert ids
    assert all(given.startswith("figure-tau") for given in ids)
    assert len(set(ids)) == len(ids)


def test_given_data_is_what_is_offered() -> None:
    shown = show(CHART, name="a", caption="c", description="d", data=pd.DataFrame({"n": [7]}))
    assert shown.data == "n\n7\n"
    assert r'"n\n7\n"' in shown._repr_html_()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Tau b"}, "lower-case"),
        ({"caption": " "}, "caption"),
        ({"description": ""}, "description"),
    ],
)
def test_incomplete_figures_are_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        show(CHART, **({"name": "a", "caption": "c", "description": "d"} | change))


def test_too_many_rows_are_refused() -> None:
    chart = alt.Chart(pd.DataFrame({"x": range(5001)})).mark_point().encode(x="x:Q")
    with pytest.raises(UserError, match="aggregate"):
        show(chart, name="a", caption="c", description="d")


def test_scripts_are_whole(tmp_path: Path) -> None:
    write_scripts(tmp_path)
    vega = (tmp_path / "vega.js").read_text(encoding="utf-8")
    assert "window.vegaEmbed" in vega
    assert "window.sparseattnThemes" in vega
    assert (tmp_path / "mathjax" / "tex-chtml.js").stat().st_size > 1_000_000
    assert list((tmp_path / "mathjax/output/chtml/fonts/woff-v2").glob("MathJax_Main-Regular.woff"))

"""A figure is inert, escaped, described, the same twice, and needs nothing from elsewhere."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import altair as alt
import pandas as pd
import pytest
import vl_convert
from hypothesis import given, settings
from hypothesis import strategies as st

from sparseattn.charts import over_lambda, paper_versus_here
from sparseattn.charts.figure import VEGA_LITE, show, write_scripts
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


@settings(max_examples=15)
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


def named(spec: dict[str, Any]) -> list[str]:
    """Return the names of a chart's marks, in a picture drawn with them."""
    svg = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
    marks = re.findall(r'<path[^>]*role="graphics-symbol"[^>]*>', svg)
    return [
        found[1] if (found := re.search('aria-label="([^"]*)"', mark)) else "" for mark in marks
    ]


def lines(**more: float) -> dict[str, Any]:
    row = {"task": "sst", "encoder": "bilstm", "low": 0.1, "high": 0.7, "mean": 0.0386816} | more
    frame = pd.DataFrame([row | {"lam": lam} for lam in (-50.0, 0.5)])
    return dict(show(over_lambda, frame, name="a", caption="c", description="d").spec)


def test_each_number_has_a_mark_that_says_it_as_its_tooltip_does() -> None:
    names = named(lines())
    assert len(names) == 2  # of its bands and lines none is called by an axis
    assert names[0].startswith("λ: −50; Encoder: BiLSTM; source: here; Kendall’s τ-b: 0.0387; ")
    assert "95 % interval from: 0.1; to: 0.7" in names[0]
    assert "51" not in names[0]  # the temperature, which the axis counts in
    assert "from: –" in named(lines(low=float("nan")))[0]


def test_a_picture_has_a_legend_that_can_be_read() -> None:
    tasks = ["BiLSTM, additive", "BiLSTM, scaled dot"]
    frame = pd.DataFrame({"lam": [-10.0, 0.0] * 2, "mean": 0.5, "low": 0.4, "high": 0.6})
    frame = frame.assign(classifier=[name for name in tasks for _ in range(2)])
    shown = show(over_lambda, frame, colour="classifier", name="a", caption="c", description="d")
    legend = shown.svg().partition('class="mark-group role-legend"')[2]
    swatches = re.findall(r"<path transform[^>]*stroke-width[^>]*>", legend)
    opacities = [re.search(r'opacity="([^"]*)"', one) for one in swatches]
    assert len(swatches) >= len(tasks)
    assert {found[1] for found in opacities if found} == {"1"}
    # Names side by side have room for a font a fifth wider than the one they are measured with.
    entries = re.findall(r"translate\(([\d.]+),0\)\"><path[^>]*d=\"M0,0h([\d.]+)v13", legend)
    places = [(float(start), float(width)) for start, width in entries]
    assert len(places) == len(tasks)
    for (start, width), (following, _) in pairwise(places):
        assert following == 0 or following >= start + 1.2 * width


def test_long_titles_of_small_multiples_break() -> None:
    frame = pd.DataFrame({"task": ["sst", "imdb"], "projection": "softmax", "mean": 0.5})
    frame = frame.assign(low=0.4, high=0.6, where=["a", "b"])
    title = "τ-b with hidden states less τ-b with inputs"
    shown = show(
        paper_versus_here, frame, panel="where", title=title, name="a", caption="c",
        description="d",
    )  # fmt: skip
    assert json.dumps(title.split(" τ-b with in")[0]) in json.dumps(shown.spec)


def test_a_folded_figure_is_the_same_figure() -> None:
    plain = show(CHART, name="a", caption="c", description="d")._repr_html_()
    folded = show(CHART, name="a", caption="c", description="d", fold="a < b")._repr_html_()
    assert folded == f"<details><summary>a &lt; b</summary>{plain}</details>"


def test_zero_has_a_line_of_its_own() -> None:
    frame = pd.DataFrame({"task": ["sst"], "projection": "softmax", "mean": 0.1})
    shown = show(
        paper_versus_here, frame.assign(low=-0.2, high=0.4), name="a", caption="c", description="d"
    )
    grid = shown.svg().partition("role-axis-grid")[2].partition("</g>")[0]
    widths = re.findall(r'stroke-width="([^"]*)"', grid)
    assert sorted(set(widths)) == ["1", "1.5"]
    assert widths.count("1.5") == 1

"""From a chart to a figure on a page: one renderer for the book, plain Jupyter, and print.

A figure carries its Vega-Lite specification as inert JSON, and a static picture of itself. In the
book, ``_static/sparseattn.js`` draws the specification and hides the picture; where no script runs
(a notebook elsewhere, paper), the picture stays.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from textwrap import wrap
from typing import Any, TypeAlias
from urllib.parse import quote

import altair as alt
import pandas as pd
import vl_convert
from IPython.display import Markdown

from sparseattn.charts.colours import BRIGHTER, theme
from sparseattn.errors import UserError

AnyChart: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart

VEGA_LITE = "6.4"  # of the versions vl-convert carries, the one Altair writes for
_MAX_ROWS = 5000
_STATIC_WIDTH = 640
_PADDING = {"left": 35, "right": 35, "top": 5, "bottom": 5}
_TITLE = {"x": 30, "y": 26}  # letters a line of an axis's title, in small multiples
_NAMED = ("point", "bar", "rect", "text")  # marks that stand for one number each
_DIGITS = ".3~r"  # of a number that a mark says, unless its chart says otherwise
_CLIP = re.compile(r"\bclip\d+\b")
_KEYS = {
    "single": "○ one seed, its interval over documents alone",
    "paper": "◇ the paper",
    "stroke": "┃ by chance",
    "dots": "┈ by chance",
}


class EmptyChartError(UserError):
    """A chart without a row; says in one sentence what is missing."""


@dataclass(frozen=True)
class Figure:
    """A chart with its caption and description, as HTML for a notebook or a book."""

    name: str  # every id of the HTML derives from it: two executions give the same text
    spec: dict[str, Any]  # Vega-Lite's, without a theme
    caption: str
    description: str  # what there is to see in it, for who cannot
    fold: str | None = None  # what stands for it until it is asked for; None shows it at once

    def __repr__(self) -> str:
        return f"Figure: {self.caption}"

    def svg(self) -> str:
        """Return the static picture, in the light theme."""
        spec = json.loads(json.dumps(self.spec))
        _set_width(spec, _STATIC_WIDTH)
        # The picture has its own alternative text. Its padding: who shows it may have a wider font
        # than the one that it was measured with.
        config: dict[str, Any] = theme("light") | {"aria": False, "padding": _PADDING}
        columns = self.spec.get("usermeta", {}).get("legend", {}).get("columns", 4)
        config["legend"] = {**config["legend"], "columns": columns}
        svg = str(vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE, config=config))
        # Vega counts clip paths over the life of the process; here each picture counts its own.
        order = {old: f"clip-{new}" for new, old in enumerate(dict.fromkeys(_CLIP.findall(svg)))}
        return _CLIP.sub(lambda match: order[match.group()], svg)

    def _repr_html_(self) -> str:
        name, description = self.name, escape(self.description)
        return folded(
            f'<figure class="chart" id="figure-{name}" data-name="{name}">'
            f"{inert('chart-spec', self.spec)}"
            f'<div class="chart-legend" role="group" aria-label="Filter by" hidden></div>'
            f'<div class="chart-live" hidden></div>'
            f'<img class="chart-static" alt="{description}" '
            f'src="data:image/svg+xml,{quote(self.svg(), safe=_URL_SAFE)}">'
            f'<figcaption id="figure-{name}-caption">{escape(self.caption)}'
            f"{_key(self.spec['usermeta'])}</figcaption>"
            f'<div class="chart-tools">'
            f'<details class="chart-words"><summary>In words</summary>'
            f'<p id="figure-{name}-description">{description}</p></details>'
            f"</div></figure>",
            self.fold,
        )


def _key(usermeta: dict[str, Any]) -> str:
    """Return what the marks mean that are not ours, or the chart's own key."""
    if own := usermeta.get("key"):
        return f" <span class='chart-key'>{escape(str(own))}</span>"
    marks = {name for name in ("paper", "single") if usermeta.get(name)} | {usermeta.get("null")}
    named = ["● here", *(words for name, words in _KEYS.items() if name in marks)]
    whole = ", ".join(words.replace(" ", "\u00a0", 1) for words in named)  # a mark and its word
    return f" <span class='chart-key'>{whole}.</span>" if len(named) > 1 else ""


# Kept readable inside a double-quoted attribute: quotes, brackets, #, % and & are still escaped.
_URL_SAFE = " ,;:/=()!*$@~+?'"


def show(
    chart: AnyChart | Callable[..., AnyChart],
    *frames: pd.DataFrame | None,
    name: str,
    caption: str,
    description: str | None = None,
    missing: str | None = None,
    fold: str | None = None,
    **options: Any,
) -> Figure | Markdown:
    """Return a chart as a figure: captioned, described, downloadable.

    `chart` is one of the functions of `charts`, which is given `frames` and `options`, or any
    Altair chart without a theme; `name` a lower-case identity, unique on the page, such as
    ``agreement-by-task``; `caption` one or two sentences under the figure, without a number: the
    page counts. `description` says what there is to see, for readers who cannot see the chart; by
    default the numbers drawn, where the chart is one of `charts`. `missing` is the sentence in
    place of a figure without a row, the chart's own by default; `fold` what stands for the figure
    until it is asked for, None shows it at once. A `UserError` if the name is not an identity, the
    caption or description is empty, or the chart holds more than 5,000 rows.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise UserError(
            f"A figure's name is lower-case letters, digits and hyphens, such as 'tau-by-task'; "
            f"got '{name}'."
        )
    bare = UserError(f"Figure '{name}' needs a caption and a description in words.")
    if not caption.strip() or (description is not None and not description.strip()):
        raise bare
    if callable(chart) and not isinstance(chart, alt.TopLevelMixin):
        try:
            chart = chart(*frames, **options)
        except EmptyChartError as nothing:
            return Markdown(missing or str(nothing))
    with alt.data_transformers.enable("default", max_rows=None), alt.theme.enable("none"):
        spec = chart.to_dict()
    spec.pop("config", None)  # the page's theme decides
    rows = sum(len(rows) for rows in spec.get("datasets", {}).values())
    if rows > _MAX_ROWS:
        raise UserError(
            f"Figure '{name}' holds {rows:,} rows, of at most {_MAX_ROWS:,}: aggregate first."
        )
    _name_marks(spec)
    if "spec" in spec:
        _wrap_titles(spec["spec"])
    words = spec.setdefault("usermeta", {}).pop("words", None)
    description = description or words
    if not description:
        raise bare
    spec["description"] = description
    return Figure(name, spec, caption.strip(), description.strip(), fold)


def _wrap_titles(spec: dict[str, Any]) -> None:
    """Set the titles of the axes of a small multiple in lines, none wider than it is."""
    for inner in spec.get("layer", ()):
        _wrap_titles(inner)
    for channel, most in _TITLE.items():
        axis = spec.get("encoding", {}).get(channel, {})
        if isinstance(title := axis.get("title"), str):
            axis["title"] = wrap(title, most) or title


def _name_marks(spec: dict[str, Any]) -> None:
    """Let each mark that has a tooltip be called what that says, and hide the others' names.

    Vega would call a mark by its axes, in their units: the temperature 51 for a λ of −50.
    """
    for inner in (*spec.get("layer", ()), *([spec["spec"]] if "spec" in spec else ())):
        _name_marks(inner)
    mark = spec.get("mark")
    if mark is None:
        return
    mark = spec["mark"] = {"type": mark} if isinstance(mark, str) else mark
    tips = spec.get("encoding", {}).get("tooltip")
    if not tips or mark["type"] not in _NAMED:
        mark["aria"] = False
        return
    said = []
    for tip in tips:
        text = f"datum['{tip['field']}']"
        if tip.get("type") == "quantitative":
            tip.setdefault("format", _DIGITS)
            text = f"(isValid({text}) ? format({text}, '{tip['format']}') : '–')"
        title = str(tip.get("title") or tip["field"]).replace("'", "’")
        said.append(f"'{title}: ' + {text}")
    spec["encoding"]["description"] = {"value": {"expr": " + '; ' + ".join(said)}}


def folded(markup: str, words: str | None) -> str:
    """Return HTML behind the words that stand for it until it is asked for; None shows it."""
    if words is None:
        return markup
    return f"<details><summary>{escape(words)}</summary>{markup}</details>"


def inert(kind: str, content: object) -> str:
    """Return JSON that a page carries in an element of class `kind` and no browser runs."""
    # Nothing in a script element may close it or open a comment, hence no bare <, > or &.
    text = json.dumps(
        content, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" class="{kind}">{text}</script>'


def vega_script() -> str:
    """Return the script that draws charts, Vega with both themes, as vl-convert carries it."""
    bundle = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;", vl_version=VEGA_LITE)
    themes = json.dumps({mode: theme(mode) for mode in ("light", "dark")})
    brighter = json.dumps(BRIGHTER)
    # Inside a function: the bundle declares names, such as _, that the theme's scripts declare too.
    return (
        f"(function(){{{bundle}\n}})();\n"
        f"window.sparseattnThemes={themes};window.sparseattnBrighter={brighter};\n"
    )


def write_scripts(folder: str | Path) -> None:
    """Write the scripts a book needs into a folder, so that it asks no other server.

    Vega, Vega-Lite and vega-embed come from vl-convert (``vega.js``, with both themes), MathJax
    from the package ``sphinx-mathjax-offline`` (``mathjax/``; a UserError if it is not installed).
    The folder is what Sphinx copies to the top of the pages (``html_extra_path``).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vega.js").write_text(vega_script(), encoding="utf-8")
    try:
        package = distribution("sphinx-mathjax-offline")
    except PackageNotFoundError:
        raise UserError(
            "The book's equations need the package 'sphinx-mathjax-offline': "
            "install requirements.txt."
        ) from None
    for file in package.files or []:
        inner = str(file).partition("/static/mathjax/")[2]
        if inner == "tex-chtml.js" or inner.startswith("output/chtml/fonts/"):
            target = folder / "mathjax" / inner
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(Path(str(file.locate())).read_bytes())


def write_card(drawing: Path, folder: Path) -> None:
    """Write ``card.png``, the picture that stands for the book where people link to it.

    From an SVG of 1200 by 630, which what shows such previews does not read.
    """
    picture = vl_convert.svg_to_png(drawing.read_text(encoding="utf-8"))
    (folder / "card.png").write_bytes(picture)


def _set_width(spec: dict[str, Any], width: int) -> None:
    if "spec" in spec:  # small multiples share the width
        spec["spec"]["width"] = width // spec.get("columns", 1) - 70
    elif spec.get("width") == "container":
        spec["width"] = width

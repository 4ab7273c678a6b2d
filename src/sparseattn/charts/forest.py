"""A forest plot: effects in units of what matters, so that rows of other units compare."""

import json
from collections.abc import Iterable
from itertools import cycle
from textwrap import wrap

import altair as alt
import numpy as np
import pandas as pd

from sparseattn.charts.colours import GREY
from sparseattn.charts.encodings import chosen_by, colour_by, finish, tidy, tip
from sparseattn.charts.figure import AnyChart
from sparseattn.wording import label, signed

# One shape means one task on all pages, as Vega draws it and as a letter that looks like it. A
# user's own task, or any other, has one of the rest.
_SHAPES = {
    "SST": ("circle", "●"),
    "20News": ("square", "■"),
    "IMDb": ("triangle-up", "▲"),
    "Planted": ("triangle-down", "▼"),
    "Planted in context": ("triangle-left", "◀"),
    "SST + token": ("cross", "✚"),
    "SST + beside": (
        "M0,-.4L.5,-1L1,-.5L.4,0L1,.5L.5,1L0,.4L-.5,1L-1,.5L-.4,0L-1,-.5L-.5,-1Z",
        "✖",
    ),
    "SST + order": ("M0,-1.1L.3,-.4L1,-.4L.5,.1L.7,1L0,.5L-.7,1L-.5,.1L-1,-.4L-.3,-.4Z", "★"),
}
_OTHERS = (("triangle-right", "▶"), ("M1,0L.5,.9L-.5,.9L-1,0L-.5,-.9L.5,-.9Z", "⬢"))
_LINE, _LEAST, _NAME = 4, 52, 16  # pixels a cell, and of a row; letters a line of a row's name
_TICKS = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)
_ENDS = ("low", "high", "predicted_low", "predicted_high")
_KEY = (
    "hollow: one seed, not in the mean; faint: its 95 % interval; ◆ mean, thick its interval, thin "
    "where one more classifier would lie; grey: too small to matter; beyond ±1 the axis is "
    "logarithmic, and lines are cut at its ends"
)


def forest(
    cells: pd.DataFrame,
    means: pd.DataFrame,
    *,
    sides: tuple[str, str] = ("against the claim", "for it"),
) -> AnyChart:
    """Draw effects by row: a point a cell, a diamond their mean with both its intervals.

    Parameters
    ----------
    cells
        Columns ``row``, ``task``, ``classifier``, ``value``, ``low``, ``high``, ``seeds``,
        ``unit`` and ``smallest``, the smallest effect that matters, in the same unit. Those of one
        seed are drawn hollow.
    means
        In the order of the rows, from top: columns ``row``, ``verdict``, ``counts``, ``value``,
        ``low``, ``high``, ``predicted_low``, ``predicted_high`` (NaN where there is none),
        ``unit``, ``smallest``, and ``page``, where a click leads (None: nowhere). A row may have no
        mean, and no cell. With ``reported``, the paper's own effect (NaN where there is none).

    Notes
    -----
    The axis counts smallest effects: linear near zero, where all from −1 to 1 is negligible, and
    logarithmic beyond (Vega's symlog). Prediction intervals are cut at its ends.
    """
    fields = ["row", "task", "classifier", "value", "low", "high", "smallest", "seeds", "unit"]
    rows = tidy(cells, fields, None)
    order = [label(name) for name in means["row"]]
    page = dict(zip(order, means["page"], strict=True))
    rows = rows.assign(
        x=(rows["value"] / rows["smallest"]).round(4),
        effect=_with_intervals(rows),
        page=rows["row"].map(page),
        **{f"x_{end}": (rows[end] / rows["smallest"]).round(4) for end in ("low", "high")},
        # Cells of a row lie one below another, so that none hides another.
        line=rows.groupby("row").cumcount()
        - (rows.groupby("row")["row"].transform("size") - 1) / 2,
    )
    most = int(rows["row"].value_counts().max())
    theirs = "reported" in means and bool(means["reported"].notna().any())
    marked = ["value", *_ENDS, *(["reported"] if theirs else [])]
    known = means[means["value"].notna()]
    relative = {f"x_{name}": known[name] / known["smallest"] for name in marked}
    pooled = known.assign(**relative).round(dict.fromkeys(relative, 4))
    sizes = _with_intervals(pooled)
    short = [
        f"{one.split()[0]} {unit.split()[0]}"
        for one, unit in zip(sizes, pooled["unit"], strict=True)
    ]
    pooled = pooled.assign(row=pooled["row"].map(label), effect=sizes, shown=short)
    pooled = pooled[["row", "verdict", "counts", "effect", "shown", "page", *relative]]
    inside = [name for name in relative if "predicted" not in name]
    seen = np.concatenate([rows["x"], pooled[inside].to_numpy().ravel(), [-3, 3]])
    reach = 1.2 * float(np.nanmax(np.abs(seen)))
    for frame, names in ((pooled, relative), (rows, ("x_low", "x_high"))):
        for name in names:
            frame[name] = frame[name].clip(-reach, reach)
    ticks = sorted({sign * tick for tick in _TICKS if tick <= reach for sign in (-1.0, 1.0)})
    scale = alt.Scale(type="symlog", constant=1, domain=[-reach, reach], nice=False)

    def across(field: str) -> alt.X:
        title = ["Effect ÷ the smallest that matters", f"← {sides[0]} · {sides[1]} →"]
        axis = alt.Axis(values=ticks, format="~g", labelOverlap=False, tickCount=50)
        return alt.X(f"{field}:Q", title=title, scale=scale, axis=axis)

    names = {
        name: [*wrap(name, _NAME), *wrap(f"→ {verdict}", _NAME)]
        for name, verdict in zip(order, means["verdict"], strict=True)
    }
    height = max(_LINE * (most + 9), _LEAST, 14 * max(map(len, names.values())) + 8)
    tallest = 14 * (max(map(len, names.values())) - 1) / 2
    axis = alt.Axis(
        labelExpr=f"({json.dumps(names, ensure_ascii=False)})[datum.label]",
        labelLineHeight=14,
        labelOffset=-tallest,
        grid=True,
        tickBand="extent",
    )
    scale_of_rows = alt.Scale(domain=order, paddingInner=0, paddingOuter=0)
    up = alt.Y("row:N", title=None, sort=order, scale=scale_of_rows, axis=axis)
    lines = alt.Scale(domain=[-most / 2 - 0.5, most / 2 + 8.5], range=[0, height])
    band = alt.Chart(pd.DataFrame({"low": [-1.0], "high": [1.0], "zero": [0.0]}))
    shapes = _shapes(rows["task"])
    claim = tip("row", title="Claim")
    cell = (
        alt.Chart(rows)
        .transform_filter(chosen_by("classifier"))
        .encode(
            y=up,
            yOffset=alt.YOffset("line:Q", scale=lines),
            color=colour_by("classifier", rows),
            href="page:N",
            tooltip=[claim, *map(tip, ("task", "classifier", "effect", "seeds"))],
        )
    )
    drawn_as = alt.Scale(domain=list(shapes), range=[drawn for drawn, _ in shapes.values()])
    points = cell.encode(x=across("x"), shape=alt.Shape("task:N", scale=drawn_as, legend=None))
    mean = alt.Chart(pooled.assign(line=most / 2 + 2)).encode(
        y=up,
        yOffset=alt.YOffset("line:Q", scale=lines),
        href="page:N",
        tooltip=[claim, *map(tip, ("verdict", "counts", "effect"))],
    )
    # Near an end of the axis a number stands on its inner side, and so within the chart.
    near = f"abs(datum.x_value) < {reach / 4:.4g}"
    inwards = alt.ExprRef(f"{near} ? 'center' : datum.x_value > 0 ? 'right' : 'left'")
    told = mean.transform_filter("isValid(datum.x_reported)").mark_text(text="◇", fontSize=19)
    papers_own = [told.encode(x=across("x_reported"))] if theirs else []
    chart = alt.layer(
        band.mark_rect(opacity=0.13).encode(x=across("low"), x2="high:Q", color=alt.value(GREY)),
        band.mark_rule(strokeWidth=1.2).encode(x=across("zero")),
        cell.transform_filter("isValid(datum.x_low)")
        .mark_rule(strokeWidth=1, opacity=0.35)
        .encode(x=across("x_low"), x2="x_high:Q"),
        points.transform_filter("datum.seeds != 1").mark_point(filled=True, opacity=0.9, size=36),
        points.transform_filter("datum.seeds == 1").mark_point(
            filled=False, opacity=0.9, size=36, strokeWidth=1.4
        ),
        mean.transform_filter("isValid(datum.x_predicted_low)")
        .mark_rule(strokeWidth=1.5)
        .encode(x=across("x_predicted_low"), x2="x_predicted_high:Q"),
        mean.transform_filter("isValid(datum.x_low)")
        .mark_rule(strokeWidth=5, opacity=0.6)
        .encode(x=across("x_low"), x2="x_high:Q"),
        mean.mark_text(text="◆", fontSize=16).encode(x=across("x_value")),
        mean.mark_text(dy=15, fontSize=11, align=inwards).encode(
            x=across("x_value"), text="shown:N"
        ),
        *papers_own,
    ).properties(height=height * len(order))
    effect = dict(zip(pooled["row"], pooled["effect"], strict=True))
    summary = " ".join(
        f"{name}: {verdict}{', ' + effect[name] if name in effect else ''} ({counts})."
        for name, verdict, counts in zip(order, means["verdict"], means["counts"], strict=True)
    )
    drawn = finish(
        chart, "classifier", rows.drop(columns="seeds"), None, filtered=True, words=summary
    )
    key = [f"{mark} {name}" for name, (_, mark) in shapes.items()]
    papers = "; ◇ the paper's own" if theirs else ""
    drawn.usermeta = drawn.usermeta | {"key": f"{', '.join([*key, _KEY])}{papers}."}
    return drawn


def _shapes(tasks: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the shape of each task, as Vega draws it and as a letter that looks like it."""
    names = set(tasks)
    known = {name: shape for name, shape in _SHAPES.items() if name in names}
    return known | dict(zip(sorted(names - set(known)), cycle(_OTHERS), strict=False))


def _with_intervals(rows: pd.DataFrame) -> list[str]:
    """Return each effect with its interval and unit: ``0.39 [0.24, 0.53] τ``."""
    told = []
    for one in rows.to_dict("records"):
        form = "z.1f" if one["smallest"] >= 1 else "z.2f"
        value, low, high = (signed(one[name], form) for name in ("value", "low", "high"))
        interval = "" if pd.isna(one["low"]) else f" [{low}, {high}]"
        told.append(f"{value}{interval} {one['unit']}")
    return told

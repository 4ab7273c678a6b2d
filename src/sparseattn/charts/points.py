"""Points with intervals, boxes, bars by group, or one against another; the paper's are hollow."""

from typing import Literal

import altair as alt
import numpy as np
import pandas as pd

from sparseattn.charts.colours import GREY, colours
from sparseattn.charts.encodings import (
    Panel,
    beside,
    colour_by,
    finish,
    grouped,
    height_of,
    hollow,
    measured,
    ours,
    panel_column,
    plot_height,
    scale_over,
    tidy,
    tip,
)
from sparseattn.charts.figure import AnyChart
from sparseattn.charts.in_words import numbers

_QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


def paper_versus_here(
    frame: pd.DataFrame,
    paper: pd.DataFrame | None = None,
    *,
    value: str = "mean",
    low: str | None = "low",
    high: str | None = "high",
    group: str = "task",
    colour: str = "projection",
    panel: Panel = None,
    title: str = "Kendall's τ-b",
    null: str | None = None,
    zero: bool = False,
    domain: tuple[float, float] | None = None,
) -> AnyChart:
    """Draw points with intervals by group, the paper's hollow beside ours.

    Parameters
    ----------
    frame, paper
        Ours: columns `group`, `colour`, `value`, `low`, `high`, `panel`, and ``seeds`` if what
        rests on one seed is to be drawn hollow. The paper's: the same but for the interval.
    low, high
        Ends of our interval; None draws none.
    title
        What `value` is, with its unit.
    null
        Column of ours that holds what chance alone would give: an upright grey stroke.
    zero
        Whether the axis begins at 0.
    domain
        Ends of the axis, where intervals reach further than is worth showing; they are cut there.
    """
    more = measured(frame, low, high, null)
    rows = beside(frame, paper, [group, colour, value, *more], panel)
    drawn = [value, *(name for name in more if name != "seeds")]
    scale = scale_over(rows, drawn, zero=zero, domain=domain)
    base = grouped(rows, group, colour).encode(
        tooltip=[*map(tip, (group, colour, "source")), tip(value, title=title), *map(tip, more)]
    )
    here = base.transform_filter("datum.source == 'here'")
    layers: list[alt.Chart] = []
    if null is not None:
        stroke = here.mark_tick(orient="vertical", thickness=2, size=15, opacity=1, clip=True)
        at_chance = alt.X(f"{null}:Q", title=title, scale=scale)
        layers.append(stroke.encode(x=at_chance, color=alt.value(GREY)))
    if low and high:
        interval = here.mark_rule(strokeWidth=2, clip=True).encode(
            x=alt.X(f"{low}:Q", title=title, scale=scale), x2=f"{high}:Q"
        )
        layers.append(interval)
    at = alt.X(f"{value}:Q", title=title, scale=scale)
    layers += [points.encode(x=at) for points in ours(base, rows)]
    if paper is not None:
        layers.append(hollow(base).encode(x=at))
    chart = alt.layer(*layers).properties(height=height_of(rows, group, colour))
    mark: Literal["stroke"] | None = "stroke" if null else None
    words = numbers(rows, title, value, [panel_column(panel), group, colour])
    return finish(chart, colour, rows, panel, paper=paper is not None, null=mark, words=words)


def amounts(
    frame: pd.DataFrame, *, value: str, group: str = "task", colour: str, title: str
) -> AnyChart:
    """Draw amounts (`value`, not negative) that add up: a bar a group, a part of it a colour."""
    rows = tidy(frame, [group, colour, value], None)
    order = list(colours(colour, rows[colour]))
    rows["place"] = rows[colour].map(order.index)
    chart = (
        alt.Chart(rows)
        .mark_bar(height=16)
        .encode(
            x=alt.X(f"{value}:Q", title=title, stack="zero"),
            y=alt.Y(f"{group}:N", title=None, sort=list(dict.fromkeys(rows[group]))),
            color=colour_by(colour, rows),
            order="place:Q",
            tooltip=[tip(group), tip(colour), tip(value, ",.3~f")],
        )
        .properties(height=20 + 32 * int(rows[group].nunique()))
    )
    words = numbers(rows, title, value, [group, colour])
    return finish(chart, colour, rows, None, words=words)


def distribution(
    frame: pd.DataFrame,
    paper: pd.DataFrame | None = None,
    *,
    value: str,
    group: str = "task",
    colour: str = "projection",
    panel: Panel = None,
    title: str,
) -> AnyChart:
    """Draw how documents spread: a box from 25 to 75 %, its median, whiskers to 5 and 95 %.

    Ours has any number of rows, one a document, which are aggregated here: columns `value` (NaN is
    left out; `title` says what it is, with its unit), `group`, `colour` and `panel`. The paper's
    medians are in ``mean``.
    """
    panels = [panel] if isinstance(panel, str) else list(panel or [])
    keys = list(dict.fromkeys([group, colour, *panels]))
    pieces: list[dict[str, object]] = []
    for codes, part in frame.dropna(subset=[value]).groupby(keys, sort=False, observed=True):
        sample = part[value].to_numpy(dtype=float)
        quantiles = {name: float(np.quantile(sample, q)) for name, q in _QUANTILES.items()}
        pieces.append({**dict(zip(keys, codes, strict=True)), "documents": len(sample)} | quantiles)
    fields = [*keys, "documents", *_QUANTILES]
    theirs = None if paper is None else paper.rename(columns={"mean": "p50"})
    rows = beside(pd.DataFrame(pieces, columns=fields), theirs, fields, panel)
    base = grouped(rows, group, colour).encode(
        tooltip=[
            *(tip(field) for field in (group, colour, "source")),
            *(alt.Tooltip(name, title=f"{q:.0%}") for name, q in _QUANTILES.items()),
            tip("documents", ",d"),
        ]
    )
    scale = scale_over(rows, [*_QUANTILES])
    here = base.transform_filter("datum.source == 'here'")
    layers = [
        here.mark_rule().encode(x=alt.X("p05:Q", title=title, scale=scale), x2="p95:Q"),
        # Paler where the paper's mark, of the same colour, may lie on it.
        here.mark_bar(size=9, cornerRadius=2, opacity=1 if paper is None else 0.5).encode(
            x="p25:Q", x2="p75:Q"
        ),
        here.mark_tick(thickness=2.5, size=14, color="white", opacity=1).encode(
            x="p50:Q", color=alt.value("white"), stroke=colour_by(colour, rows).legend(None)
        ),
    ]
    if theirs is not None:
        layers.append(hollow(base).encode(x="p50:Q"))
    chart = alt.layer(*layers).properties(height=height_of(rows, group, colour))
    words = numbers(rows, f"{title}, medians", "p50", [panel_column(panel), group, colour])
    return finish(chart, colour, rows, panel, paper=paper is not None, words=words)


def times_faster(frame: pd.DataFrame, *, group: str, colour: str) -> AnyChart:
    """Draw ``ratio``, how many times faster ours is, on a logarithmic axis.

    A tick stands at each ``goal``, NaN where there is none.
    """
    rows = tidy(frame, [group, colour, "ratio", "goal"], None)
    fields = ["ratio", "goal", "even"]
    scale = scale_over(rows.assign(even=1.0), fields, type="log", nice=False, padding=10)
    title = "Times faster than the peer (│ the goal)"
    base = grouped(rows, group, colour).encode(
        tooltip=[tip(group), tip(colour), tip("ratio", ".3~r"), tip("goal")]
    )
    axis = alt.Axis(format=",~r", values=[k * 10**e for e in range(-2, 4) for k in (1, 2, 5)])
    point = base.mark_point(filled=True, opacity=1).encode(
        x=alt.X("ratio:Q", title=title, scale=scale, axis=axis)
    )
    goal = base.mark_tick(thickness=2, size=16, opacity=1).encode(
        x=alt.X("goal:Q", title=title, scale=scale, axis=axis), color=alt.value(GREY)
    )
    chart = alt.layer(goal.transform_filter("isValid(datum.goal)"), point)
    words = numbers(rows, "Times faster than the peer", "ratio", [group, colour])
    height = height_of(rows, group, colour)
    return finish(chart.properties(height=height), colour, rows, None, words=words)


def against(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    titles: tuple[str, str],
    colour: str = "classifier",
    called: str = "sparsity",
    panel: Panel = None,
    low: str | None = None,
    high: str | None = None,
    diagonal: bool = False,
) -> AnyChart:
    """Draw one quantity against another, a point a row, named by `called` when pointed at.

    `titles` say what `x` and `y` are, with their units; `low` and `high` are the columns of the
    ends of an interval of `y`; `diagonal` draws y = x.
    """
    ends = [end for end in (low, high) if end is not None]
    rows = tidy(frame, [x, y, colour, called, *ends], panel)
    both = [x, y, *ends] if diagonal else []
    across = alt.X(f"{x}:Q", title=titles[0], scale=scale_over(rows, both or [x], padding=8))
    up = scale_over(rows, both or [y, *ends], padding=8)
    base = alt.Chart(rows).encode(x=across, color=colour_by(colour, rows))
    layers = []
    if diagonal:
        line = base.mark_line(strokeWidth=1, clip=True)
        layers.append(line.encode(y=alt.Y(f"{x}:Q", scale=up), color=alt.value(GREY)))
    if len(ends) == 2:
        interval = base.mark_rule(strokeWidth=1.5, opacity=0.6)
        layers.append(interval.encode(y=alt.Y(f"{low}:Q", scale=up), y2=f"{high}:Q"))
    points = base.mark_point(filled=True, opacity=0.85).encode(
        y=alt.Y(f"{y}:Q", title=titles[1], scale=up),
        tooltip=[
            *(tip(colour), tip(called), tip(x, title=titles[0]), tip(y, title=titles[1])),
            *map(tip, ends),
        ],
    )
    chart = alt.layer(*layers, points).properties(height=plot_height(rows, panel))
    words = numbers(rows, titles[1], y, [panel_column(panel), colour])
    return finish(chart, colour, rows, panel, words=words)

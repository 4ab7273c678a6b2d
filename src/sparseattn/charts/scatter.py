"""Kinds of chart that set one measured quantity against another, a point a cell."""

import altair as alt
import pandas as pd

from sparseattn.charts.colours import GREY
from sparseattn.charts.encodings import (
    Panel,
    colour_by,
    finish,
    plot_height,
    scale_over,
    tidy,
    tip,
)
from sparseattn.charts.figure import AnyChart


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
    return finish(chart, colour, rows, panel)

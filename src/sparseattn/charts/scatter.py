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
from sparseattn.charts.figure import AnyChart, EmptyChartError


def against(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    titles: tuple[str, str],
    colour: str = "classifier",
    name: str = "sparsity",
    panel: Panel = None,
    null: str | None = None,
    diagonal: bool = False,
    log: bool = False,
) -> AnyChart:
    """Draw one quantity against another, a point a row, called by its `name` when pointed at.

    `titles` say what `x` and `y` are, with their units; `null` is the column of what chance alone
    would give for `y`, a dotted grey line; `diagonal` draws y = x; `log`: both axes logarithmic.
    """
    extra = [] if null is None else [null]
    rows = tidy(frame, [x, y, colour, name, *extra], panel)
    kind = {"type": "log", "nice": False, "padding": 8} if log else {"padding": 8}
    both = [x, y, *extra] if diagonal else []
    across = alt.X(f"{x}:Q", title=titles[0], scale=scale_over(rows, both or [x], **kind))
    up = scale_over(rows, both or [y, *extra], **kind)
    base = alt.Chart(rows).encode(x=across, color=colour_by(colour, rows))
    layers = []
    if diagonal:
        line = base.mark_line(strokeWidth=1, clip=True)
        layers.append(line.encode(y=alt.Y(f"{x}:Q", scale=up), color=alt.value(GREY)))
    if null is not None:
        line = base.mark_line(strokeDash=[2, 3], strokeWidth=1.5, clip=True)
        layers.append(line.encode(y=alt.Y(f"{null}:Q", scale=up), color=alt.value(GREY)))
    points = base.mark_point(filled=True, opacity=0.85).encode(
        y=alt.Y(f"{y}:Q", title=titles[1], scale=up),
        tooltip=[
            *(tip(colour), tip(name), tip(x, title=titles[0]), tip(y, title=titles[1])),
            *map(tip, extra),
        ],
    )
    chart = alt.layer(*layers, points).properties(height=plot_height(rows, panel))
    return finish(chart, colour, rows, panel, null="dots" if null else None)


def trade_off(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    order: str,
    colour: str = "projection",
    panel: Panel = None,
    titles: tuple[str, str],
) -> AnyChart:
    """Draw what one quantity costs of another, a point a setting, joined in the settings' order.

    Parameters
    ----------
    frame
        Columns `x`, `y`, `order`, `colour`, `panel`; and the ends of the intervals of both,
        ``{x}_low``, ``{x}_high``, ``{y}_low``, ``{y}_high``.
    order
        The setting, a number: the larger, the larger the point; written beside the largest only.
    """
    if frame.empty:
        raise EmptyChartError("Nothing to draw: the frame has no rows.")
    ends = [f"{name}_{end}" for name in (x, y) for end in ("low", "high")]
    rows = tidy(frame.sort_values(order), [x, y, order, colour, *ends], panel)
    largest = float(rows[order].max())
    scales = [
        scale_over(rows, [name, f"{name}_low", f"{name}_high"], padding=16) for name in (x, y)
    ]

    def across(field: str) -> alt.X:
        return alt.X(f"{field}:Q", title=titles[0], scale=scales[0])

    def up(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title=titles[1], scale=scales[1])

    base = alt.Chart(rows).encode(
        color=colour_by(colour, rows),
        tooltip=[
            alt.Tooltip(order, title=order, format="~g"),
            tip(colour),
            *(
                tip(f"{field}{end}", title=f"{title}{words}")
                for field, title in zip((x, y), titles, strict=True)
                for end, words in {"": "", "_low": ", from", "_high": ", to"}.items()
            ),
        ],
    )
    size = alt.Size(f"{order}:O", scale=alt.Scale(range=[25, 130]), legend=None)
    chart = alt.layer(
        base.mark_line(strokeWidth=1.5, opacity=0.7).encode(
            x=across(x), y=up(y), order=f"{order}:Q"
        ),
        base.mark_rule(opacity=0.5).encode(x=across(ends[0]), x2=ends[1], y=up(y)),
        base.mark_rule(opacity=0.5).encode(x=across(x), y=up(ends[2]), y2=ends[3]),
        base.mark_point(filled=True, opacity=1).encode(x=across(x), y=up(y), size=size),
        base.transform_filter(f"datum['{order}'] == {largest}")
        .mark_text(align="left", dx=10, fontSize=11)
        .encode(x=across(x), y=up(y), text=alt.Text(f"{order}:Q", format="~g")),
    ).properties(height=plot_height(rows, panel))
    return finish(chart, colour, rows, panel)

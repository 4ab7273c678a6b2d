"""Charts of times: growth on two logarithmic axes, and how many times faster, beside a goal."""

import altair as alt
import pandas as pd

from sparseattn.charts.encodings import colour_by, finish, grouped, height_of, scale_over, tidy, tip
from sparseattn.charts.figure import AnyChart

_SECONDS = (
    "datum.value < 1 ? format(datum.value * 1000, ',~r') + ' ms' : format(datum.value, ',~r')"
)
_SECONDS += " + ' s'"


def over_size(
    frame: pd.DataFrame,
    *,
    size: str,
    title: str,
    colour: str = "by",
    panel: str | None = None,
) -> AnyChart:
    """Draw seconds against a size, both on logarithmic axes: a power law is a straight line.

    Parameters
    ----------
    frame
        Columns `size` and ``seconds``, both positive, `colour` and `panel`.
    size
        What grows.
    title
        Of the horizontal axis.
    """
    rows = tidy(frame, [size, "seconds", colour], panel)
    base = alt.Chart(rows).encode(
        x=alt.X(
            f"{size}:Q",
            title=title,
            scale=scale_over(rows, [size], type="log", nice=False, padding=10),
            axis=alt.Axis(values=sorted(set(rows[size])), format=",d", grid=False),
        ),
        y=alt.Y(
            "seconds:Q",
            title="Time",
            scale=scale_over(rows, ["seconds"], type="log"),
            axis=alt.Axis(labelExpr=_SECONDS, values=[10.0**power for power in range(-5, 4)]),
        ),
        color=colour_by(colour, rows),
        tooltip=[tip(colour), tip(size, ",d"), tip("seconds", ".3~s")],
    )
    chart = alt.layer(base.mark_line(), base.mark_point(filled=True, opacity=1))
    return finish(chart.properties(height=220), colour, rows, panel)


def times_faster(
    frame: pd.DataFrame, *, group: str, colour: str, panel: str | None = None
) -> AnyChart:
    """Draw how many times faster ours is, on a logarithmic axis, with a tick at each goal.

    Parameters
    ----------
    frame
        Columns ``ratio``, `group`, `colour`, `panel`, and ``goal`` (NaN where there is none).
    """
    rows = tidy(frame, [group, colour, "ratio", "goal"], panel)
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
        x=alt.X("goal:Q", title=title, scale=scale, axis=axis), color=alt.value("#7d838c")
    )
    chart = alt.layer(goal.transform_filter("isValid(datum.goal)"), point)
    return finish(chart.properties(height=height_of(rows, group, colour)), colour, rows, panel)

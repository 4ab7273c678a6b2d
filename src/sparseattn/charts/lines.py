"""Lines over epochs, over λ and over sizes."""

from typing import Literal

import altair as alt
import numpy as np
import pandas as pd

from sparseattn.charts.colours import GREY
from sparseattn.charts.encodings import (
    Panel,
    beside,
    colour_by,
    finish,
    measured,
    ours,
    panel_column,
    plot_height,
    scale_over,
    tidy,
    tip,
)
from sparseattn.charts.figure import AnyChart, EmptyChartError
from sparseattn.charts.in_words import along

_SECONDS = (
    "datum.value < 1 ? format(datum.value * 1000, ',~r') + ' ms' : format(datum.value, ',~r')"
)
_SECONDS += " + ' s'"
_PANEL = 230  # pixels of the axis of one of two panels side by side


def learning_curves(
    frame: pd.DataFrame, *, colour: str = "encoder", panel: Panel = None
) -> AnyChart:
    """Draw ``dev_auc`` over ``epoch``, one thin line a ``seed`` where there are several."""
    detail = [column for column in ("seed",) if column in frame]
    title = "ROC-AUC, held-out documents"
    rows = tidy(frame, ["epoch", "dev_auc", colour, *detail], panel)
    base = alt.Chart(rows).encode(
        x=alt.X("epoch:Q", title="Epoch", axis=alt.Axis(tickMinStep=1, format="d")),
        y=alt.Y("dev_auc:Q", title=title, scale=scale_over(rows, ["dev_auc"])),
        color=colour_by(colour, rows),
        detail=[f"{column}:N" for column in detail] or alt.Undefined,
        tooltip=[tip("epoch", "d"), tip("dev_auc", title=title), tip(colour), *map(tip, detail)],
    )
    # Two layers: a line's own points make Vega-Lite warn in small multiples.
    line = base.mark_line(strokeWidth=1.5, opacity=0.85)
    chart = alt.layer(line, base.mark_point(filled=True, size=22)).properties(height=240)
    named = rows.assign(at="epoch " + rows["epoch"].astype(str))
    words = along(named, title, "dev_auc", [panel_column(panel), colour], "epoch", "at")
    return finish(chart, colour, rows, panel, words=words)


def over_lambda(
    frame: pd.DataFrame,
    *,
    value: str = "mean",
    low: str | None = "low",
    high: str | None = "high",
    colour: str = "encoder",
    panel: Panel = None,
    title: str = "Kendall's τ-b",
    null: str | None = None,
    domain: tuple[float, float] | None = None,
) -> AnyChart:
    """Draw a quantity over sparsegen's λ with interval bands.

    λ lies on the logarithm of its temperature 1 − λ (sparsegen(a; λ) is sparsemax(a / (1 − λ))),
    sparser to the right; the labels are λ. Columns and options are those of
    `points.paper_versus_here`, over ``lam`` (below 1); `null` is a dotted grey line.
    """
    if frame.empty:
        raise EmptyChartError("None of these classifiers has a λ: there is nothing to draw.")
    more = measured(frame, low, high, null)
    rows = beside(frame, None, ["lam", colour, value, *more], panel)
    rows["temperature"] = (1 - rows["lam"].astype(float)).round(6)
    rows["lam"] = rows["lam"].str.replace("-", "−")
    scale = scale_over(rows, [value, *(one for one in more if one != "seeds")], domain=domain)
    x = alt.X(
        "temperature:Q",
        title="λ of sparsegen (sparser →)",
        scale=scale_over(rows, ["temperature"], type="log", reverse=True, nice=False, padding=12),
        axis=alt.Axis(
            values=sorted(set(rows["temperature"])),
            labelExpr=f"indexof({_labelled(rows['temperature'], panel)}, datum.value) < 0 ? '' : "
            "replace(format(1 - datum.value, '.3~r'), '-', '−')",
            grid=False,
            labelOverlap=False,
            tickCount=100,  # of a log scale, fewer would drop labels, even of given values
        ),
    )
    base = alt.Chart(rows).encode(
        x=x,
        color=colour_by(colour, rows),
        tooltip=[
            *(tip("lam"), tip(colour), tip("source")),
            tip(value, title=title),
            *map(tip, more),
        ],
    )
    here = base.transform_filter("datum.source == 'here'")
    y = alt.Y(f"{value}:Q", title=title, scale=scale)
    layers: list[alt.Chart] = []
    if null is not None:
        dotted = here.mark_line(strokeDash=[2, 3], strokeWidth=1.5, clip=True)
        at_chance = alt.Y(f"{null}:Q", title=title, scale=scale)
        layers.append(dotted.encode(y=at_chance, color=alt.value(GREY), detail=f"{colour}:N"))
    if low and high:
        band = here.mark_area(opacity=0.18, clip=True).encode(
            y=alt.Y(f"{low}:Q", title=title, scale=scale), y2=f"{high}:Q"
        )
        layers.append(band)
    layers.append(here.mark_line(clip=True).encode(y=y))
    layers += [points.encode(y=y) for points in ours(base, rows, clip=domain is not None)]
    chart = alt.layer(*layers).properties(height=plot_height(rows, panel))
    drawn: Literal["dots"] | None = "dots" if null else None
    named = rows.assign(at="λ = " + rows["lam"], sparser=-rows["temperature"])
    words = along(named, title, value, [panel_column(panel), colour], "sparser", "at")
    return finish(chart, colour, rows, panel, null=drawn, words=words)


def _labelled(temperatures: pd.Series, panel: Panel) -> list[float]:
    """Return those of an axis's temperatures that have room for a label: 1, for λ = 0, first."""
    ends = (least, most) = temperatures.min(), temperatures.max()
    known = sorted(set(temperatures), key=lambda one: (one != 1, one not in ends, one))
    span = np.log(most / least) or 1.0
    apart = 30 / (_PANEL if panel is not None else 2 * _PANEL)  # pixels a label takes
    kept: list[float] = []
    for one in known:
        if all(abs(np.log(one / other)) / span > apart for other in kept):
            kept.append(float(one))
    return kept


def over_size(frame: pd.DataFrame, *, size: str, title: str, panel: Panel = None) -> AnyChart:
    """Draw ``seconds`` against a size ``by`` way, on logarithmic axes: a power law is straight."""
    rows = tidy(frame, [size, "seconds", "by"], panel)
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
        color=colour_by("by", rows),
        tooltip=[tip("by"), tip(size, ",d"), tip("seconds", ".3~s")],
    )
    chart = alt.layer(base.mark_line(), base.mark_point(filled=True, opacity=1))
    named = rows.assign(at=rows[size].astype(str), ms=1000 * rows["seconds"])
    told = f"Milliseconds over {title[0].lower()}{title[1:]}"
    words = along(named, told, "ms", [panel_column(panel), "by"], size, "at")
    return finish(chart.properties(height=220), "by", rows, panel, words=words)

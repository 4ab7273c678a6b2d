"""Kinds of chart, one function each: a tidy frame in, an Altair chart out; `show` makes the figure.

All of them draw the paper's numbers as hollow diamonds beside ours, filled; take their colours from
`appearance`, constant over the book; and are as wide as the page. A legend is a filter: the page
draws it as buttons that set the parameter ``chosen``.
"""

from collections.abc import Sequence
from typing import Literal

import altair as alt
import numpy as np
import pandas as pd
import torch

from .appearance import GREY, colours, label
from .encodings import (
    beside,
    colour_by,
    finish,
    grouped,
    height_of,
    hollow,
    ours,
    plot_height,
    scale_over,
    tidy,
    tip,
)
from .errors import UserError
from .figures import AnyChart, Figure, show
from .kendall import kendall_tau
from .projections import project
from .scatter import against, trade_off

__all__ = [
    "Figure",
    "against",
    "amounts",
    "distribution",
    "learning_curves",
    "over_lambda",
    "paper_versus_here",
    "projections",
    "show",
    "tokens",
    "trade_off",
]

_QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


def learning_curves(
    frame: pd.DataFrame,
    *,
    value: str = "dev_auc",
    colour: str = "encoder",
    panel: str | None = None,
    title: str = "ROC-AUC, held-out documents",
) -> AnyChart:
    """Draw a value over the epochs, one thin line a seed.

    Parameters
    ----------
    frame
        Columns ``epoch``, `value`, `colour`, ``seed`` if there are several, and `panel`.
    """
    detail = [column for column in ("seed",) if column in frame]
    rows = tidy(frame, ["epoch", value, colour, *detail], panel)
    base = alt.Chart(rows).encode(
        x=alt.X("epoch:Q", title="Epoch", axis=alt.Axis(tickMinStep=1, format="d")),
        y=alt.Y(f"{value}:Q", title=title, scale=scale_over(rows, [value])),
        color=colour_by(colour, rows),
        detail=[f"{column}:N" for column in detail] or alt.Undefined,
        tooltip=[tip("epoch", "d"), tip(value), tip(colour), *map(tip, detail)],
    )
    # Two layers: a line's own points make Vega-Lite warn in small multiples.
    line = base.mark_line(strokeWidth=1.5, opacity=0.85)
    chart = alt.layer(line, base.mark_point(filled=True, size=22)).properties(height=240)
    return finish(chart, colour, rows, panel)


def paper_versus_here(
    frame: pd.DataFrame,
    paper: pd.DataFrame | None = None,
    *,
    value: str = "mean",
    low: str | None = "low",
    high: str | None = "high",
    group: str = "task",
    colour: str = "projection",
    panel: str | None = None,
    title: str = "Kendall's τ-b",
    null: str | None = None,
    zero: bool = False,
    domain: tuple[float, float] | None = None,
) -> AnyChart:
    """Draw points with intervals by group, the paper's hollow beside ours.

    Parameters
    ----------
    frame
        Ours: columns `group`, `colour`, `value`, `low`, `high`, `panel`, and ``seeds`` if what
        rests on one seed is to be drawn hollow.
    paper
        The paper's: the same columns but for the interval.
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
    ends = [end for end in (low, high) if end is not None]
    chance = [] if null is None else [null]
    seeds = [name for name in ("seeds",) if name in frame]
    rows = beside(frame, paper, [group, colour, value, *ends, *chance, *seeds], panel)
    scale = scale_over(rows, [value, *ends, *chance], zero=zero, domain=domain)
    base = grouped(rows, group, colour).encode(
        tooltip=[tip(field) for field in (group, colour, "source", value, *ends, *chance, *seeds)]
    )
    here = base.transform_filter("datum.source == 'here'")
    layers: list[alt.Chart] = []
    if null is not None:
        stroke = here.mark_tick(orient="vertical", thickness=2, size=15, opacity=1, clip=True)
        at_chance = alt.X(f"{null}:Q", title=title, scale=scale)
        layers.append(stroke.encode(x=at_chance, color=alt.value(GREY)))
    if len(ends) == 2:
        interval = here.mark_rule(strokeWidth=2, clip=True).encode(
            x=alt.X(f"{low}:Q", title=title, scale=scale), x2=f"{high}:Q"
        )
        layers.append(interval)
    at = alt.X(f"{value}:Q", title=title, scale=scale)
    layers += [points.encode(x=at) for points in ours(base, rows)]
    if paper is not None:
        layers.append(hollow(base).encode(x=at))
    chart = alt.layer(*layers).properties(height=height_of(rows, group, colour))
    drawn: Literal["stroke"] | None = "stroke" if null else None
    return finish(chart, colour, rows, panel, paper=paper is not None, null=drawn)


def amounts(
    frame: pd.DataFrame, *, value: str, group: str = "task", colour: str, title: str
) -> AnyChart:
    """Draw amounts that add up: a bar a group, a part of it a colour.

    Parameters
    ----------
    frame
        Columns `value` (not negative), `group` and `colour`.
    title
        What `value` is, with its unit.
    """
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
    return finish(chart, colour, rows, None)


def distribution(
    frame: pd.DataFrame,
    paper: pd.DataFrame | None = None,
    *,
    value: str,
    group: str = "task",
    colour: str = "projection",
    panel: str | None = None,
    title: str,
) -> AnyChart:
    """Draw how documents spread: a box from 25 to 75 %, its median, whiskers to 5 and 95 %.

    Parameters
    ----------
    frame
        One row a document: columns `value`, `group`, `colour` and `panel`. Documents without a
        value (NaN) are left out. Any number of rows: they are aggregated here.
    paper
        The paper's medians: columns ``mean``, `group`, `colour` and `panel`.
    title
        What `value` is, with its unit.
    """
    keys = [group, colour, *([panel] if panel else [])]
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
    return finish(chart, colour, rows, panel, paper=paper is not None)


def over_lambda(
    frame: pd.DataFrame,
    paper: pd.DataFrame | None = None,
    *,
    value: str = "mean",
    low: str | None = "low",
    high: str | None = "high",
    colour: str = "encoder",
    panel: str | None = None,
    title: str = "Kendall's τ-b",
    null: str | None = None,
    domain: tuple[float, float] | None = None,
) -> AnyChart:
    """Draw a quantity over sparsegen's λ with interval bands, and the paper's hollow points.

    λ lies on the logarithm of its temperature 1 − λ (sparsegen(a; λ) is sparsemax(a / (1 − λ))),
    sparser to the right; the labels are λ.

    Parameters
    ----------
    frame
        Ours: columns ``lam`` (below 1), `value`, `low`, `high`, `colour`, `panel`, and ``seeds`` as
        for `paper_versus_here`.
    paper
        The paper's: the same columns but for the interval.
    low, high
        Ends of our interval; None draws no band.
    title
        What `value` is, with its unit.
    null
        Column of ours that holds what chance alone would give: a dotted grey line.
    domain
        Ends of the axis, where bands reach further than is worth showing; they are cut there.
    """
    ends = [end for end in (low, high) if end is not None]
    chance = [] if null is None else [null]
    seeds = [name for name in ("seeds",) if name in frame]
    rows = beside(frame, paper, ["lam", colour, value, *ends, *chance, *seeds], panel)
    rows["temperature"] = (1 - rows["lam"].astype(float)).round(6)
    scale = scale_over(rows, [value, *ends, *chance], domain=domain)
    x = alt.X(
        "temperature:Q",
        title="λ of sparsegen (sparser →)",
        scale=scale_over(rows, ["temperature"], type="log", reverse=True, nice=False, padding=12),
        axis=alt.Axis(
            values=sorted(set(rows["temperature"])),
            labelExpr="replace(format(1 - datum.value, '.3~r'), '-', '−')",
            grid=False,
            labelOverlap="greedy",
            labelSeparation=5,
            tickCount=100,  # of a log scale, fewer would drop labels, even of given values
        ),
    )
    base = alt.Chart(rows).encode(
        x=x,
        color=colour_by(colour, rows),
        tooltip=[
            *(tip("lam"), tip(colour), tip("source")),
            *map(tip, (value, *ends, *chance, *seeds)),
        ],
    )
    here = base.transform_filter("datum.source == 'here'")
    y = alt.Y(f"{value}:Q", title=title, scale=scale)
    layers: list[alt.Chart] = []
    if null is not None:
        dotted = here.mark_line(strokeDash=[2, 3], strokeWidth=1.5, clip=True)
        at_chance = alt.Y(f"{null}:Q", title=title, scale=scale)
        layers.append(dotted.encode(y=at_chance, color=alt.value(GREY), detail=f"{colour}:N"))
    if len(ends) == 2:
        band = here.mark_area(opacity=0.18, clip=True).encode(
            y=alt.Y(f"{low}:Q", title=title, scale=scale), y2=f"{high}:Q"
        )
        layers.append(band)
    layers.append(here.mark_line(clip=True).encode(y=y))
    layers += [points.encode(y=y) for points in ours(base, rows, clip=domain is not None)]
    if paper is not None:
        thin = base.transform_filter("datum.source == 'paper'")
        layers.append(
            thin.mark_line(strokeWidth=1, strokeDash=[3, 3], opacity=0.7, clip=True).encode(y=y)
        )
        layers.append(hollow(base).encode(y=y))
    chart = alt.layer(*layers).properties(height=plot_height(rows, panel))
    drawn: Literal["dots"] | None = "dots" if null else None
    return finish(chart, colour, rows, panel, paper=paper is not None, null=drawn)


def projections(
    scores: Sequence[float],
    items: Sequence[str] | None = None,
    *,
    lams: Sequence[float] | None = None,
    alphas: Sequence[float] | None = None,
) -> AnyChart:
    """Draw one score vector under softmax, sparsegen and α-entmax, with sliders for λ and α.

    Every distribution is computed here, by the same functions the classifiers use; the sliders
    choose among them. Beside the number of non-zero weights stands Kendall's τ-b between weights
    and scores, which falls with ties alone.

    Parameters
    ----------
    scores
        Alignment scores, n ≤ 20 of them.
    items
        Their names; "1", "2", … if not given.
    lams
        Evenly spaced values of λ; by default −10, −9.9, …, 0.9. The slider starts at 0 (sparsemax).
    alphas
        Evenly spaced values of α; by default 1, 1.05, …, 2.5. The slider starts at 1.5.
    """
    lams = list(lams) if lams is not None else [round(-10 + 0.1 * i, 1) for i in range(110)]
    alphas = list(alphas) if alphas is not None else [round(1 + 0.05 * i, 2) for i in range(31)]
    names = list(items) if items is not None else [str(i + 1) for i in range(len(scores))]
    if not 2 <= len(scores) <= 20 or len(names) != len(scores):
        raise UserError(
            f"A projection chart takes 2 to 20 scores with a name each; "
            f"got {len(scores)} scores and {len(names)} names."
        )
    vector = torch.tensor(list(scores), dtype=torch.float64)
    mask = torch.ones(len(scores), dtype=torch.bool)
    settings: list[tuple[str, float]] = [("softmax", 0.0)]
    settings += [("sparsegen", lam) for lam in lams] + [("entmax", alpha) for alpha in alphas]
    pieces = []
    for projection, parameter in settings:
        weights = project(vector, mask, projection, lam=parameter, alpha=max(parameter, 1.0))
        nonzero = int((weights > 0).sum())
        tau = kendall_tau(weights[None].numpy(), vector[None].numpy(), np.array([len(scores)]))
        for index, weight in enumerate(weights.tolist()):
            score = vector[index].item()
            pieces.append((index, projection, parameter, weight, nonzero, float(tau[0]), score))
    columns = ["index", "projection", "parameter", "weight", "nonzero", "tau", "score"]
    frame = pd.DataFrame(pieces, columns=columns)
    rows = tidy(frame, columns, None)

    lam = _slider("lam", "λ", lams, 0.0)
    alpha = _slider("alpha", "α", alphas, 1.5)
    entmax = label("entmax")
    shown = (
        f"datum.projection == 'softmax' || "
        f"(datum.projection == 'sparsegen' && abs(datum.parameter - lam) < 1e-6) || "
        f"(datum.projection == '{entmax}' && abs(datum.parameter - alpha) < 1e-6)"
    )
    order = list(colours("projection", rows["projection"]))
    base = alt.Chart(rows).transform_filter(shown)
    bars = base.mark_bar().encode(
        x=alt.X(
            "index:O",
            title=None,
            axis=alt.Axis(labelAngle=0, labelExpr="names[datum.value]", labelOverlap=True),
        ),
        xOffset=alt.XOffset("projection:N", sort=order, scale=alt.Scale(domain=order)),
        y=alt.Y("weight:Q", title="Attention weight", scale=alt.Scale(domain=[0, 1])),
        color=colour_by("projection", rows),
        tooltip=[
            *(tip("projection"), tip("score"), tip("weight", ".4~f"), tip("nonzero", "d")),
            alt.Tooltip("tau", title="τ-b with the scores", format=".2f"),
        ],
    )
    # The counts stand above the plot, clear of its bars.
    counts = base.transform_filter("datum.index == 0").mark_text(align="right", fontWeight=600)
    lines = [
        counts.transform_filter(f"datum.projection == '{name}'")
        .transform_calculate(
            line=f"{_spelled(name, entmax)} + ': ' + datum.nonzero + ' of {len(names)} non-zero, "
            "τ-b ' + (isValid(datum.tau) ? format(datum.tau, '.2f') : '–')"
        )
        .encode(
            x=alt.value(alt.ExprRef("width")),
            y=alt.value(18 * (row - len(order)) + 4),
            text="line:N",
        )
        for row, name in enumerate(order)
    ]
    chart = (
        alt.layer(bars, *lines)
        .add_params(lam, alpha, alt.param(name="names", value=names))
        .properties(height=260)
    )
    return finish(chart, "projection", rows, None)


def tokens(
    frame: pd.DataFrame,
    *,
    columns: Sequence[str],
    truth: str | None = None,
) -> AnyChart:
    """Draw one document, a row a token: its attention beside its importances, shaded.

    Parameters
    ----------
    frame
        One row a token, in reading order: column ``token`` and one column of non-negative shares
        (summing to 1) for each of `columns`.
    columns
        The shares to draw, left to right; each is shaded relative to its own largest.
    truth
        A boolean column, True for the tokens known to be decisive: marked ●.
    """
    words = [str(token) for token in frame["token"]]
    if truth is not None:
        words = [f"● {w}" if t else w for w, t in zip(words, frame[truth], strict=True)]
    pieces = []
    for column in columns:
        shares = frame[column].to_numpy(dtype=float)
        largest = shares.max() if len(shares) and shares.max() > 0 else 1.0
        pieces += [
            (position, words[position], label(column), float(share), float(share / largest))
            for position, share in enumerate(shares)
        ]
    fields = ["position", "token", "quantity", "share", "shade"]
    rows = tidy(pd.DataFrame(pieces, columns=fields), fields, None)
    base = alt.Chart(rows).encode(
        y=alt.Y(
            "position:O",
            title=None,
            axis=alt.Axis(labelExpr="words[datum.value]", labelOverlap=False, labelPadding=6),
        ),
        x=alt.X(
            "quantity:N",
            title=None,
            sort=[label(column) for column in columns],
            axis=alt.Axis(orient="top", labelAngle=0, domain=False, ticks=False, labelLimit=110),
        ),
        tooltip=[tip("token"), tip("quantity"), tip("share", ".1%")],
    )
    cells = base.mark_rect(stroke=None).encode(
        color=alt.Color("shade:Q", legend=None, scale=alt.Scale(domain=[0, 1]))
    )
    return (
        cells.properties(width="container", height=19 * len(words))
        .add_params(alt.param(name="words", value=words))
        .properties(usermeta={"paper": False})
    )


def _spelled(name: str, entmax: str) -> str:
    # A Vega expression: the projection with the parameter now chosen.
    if name == "sparsegen":
        return "'sparsegen (λ = ' + replace(format(lam, '.1f'), '-', '−') + ')'"
    return f"'{name} (α = ' + format(alpha, '.2f') + ')'" if name == entmax else f"'{name}'"


def _slider(name: str, shown: str, values: Sequence[float], start: float) -> alt.Parameter:
    step = round(values[1] - values[0], 6)
    nearest = min(values, key=lambda value: abs(value - start))
    bind = alt.binding_range(min=min(values), max=max(values), step=step, name=shown)
    return alt.param(name=name, value=nearest, bind=bind)

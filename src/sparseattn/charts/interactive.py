"""A chart a reader plays with: projections under sliders."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from sparseattn.charts.colours import colours
from sparseattn.charts.encodings import colour_by, finish, tidy, tip
from sparseattn.charts.figure import AnyChart
from sparseattn.wording import label


def projections(frame: pd.DataFrame) -> AnyChart:
    """Draw one score vector under softmax, sparsegen and α-entmax, with sliders for λ and α.

    The sliders choose among the rows of :func:`models.projections.solved`, whose λ and α are evenly
    spaced; they start at λ = 0 (sparsemax) and α = 1.5. Beside the number of non-zero weights
    stands Kendall's τ-b between weights and scores, which falls with ties alone.
    """
    columns = ["index", "projection", "parameter", "weight", "nonzero", "tau", "score"]
    rows = tidy(frame, columns, None)
    names = [str(place + 1) for place in range(rows["index"].nunique())]
    each = {name: list(part.unique()) for name, part in rows.groupby("projection")["parameter"]}
    lams, alphas = each["sparsegen"], each[label("entmax")]

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

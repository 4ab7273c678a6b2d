"""What all kinds of chart share: tidy rows, constant colours, steady axes, a filtering legend.

The paper's numbers are drawn by `hollow`, and by nothing else.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import altair as alt
import numpy as np
import pandas as pd

from sparseattn.charts.colours import colours
from sparseattn.charts.figure import AnyChart, EmptyChartError
from sparseattn.errors import UserError
from sparseattn.wording import TITLES, label

Panel: TypeAlias = str | Sequence[str] | None
"""A column whose values are small multiples, or several, joined: ``SST, BiLSTM, additive``."""

_LEGEND = 560  # pixels a static picture has for its legend
# A Vega expression: long labels go on a new line after at least seven letters.
_WRAPPED = r"split(replace(datum.label, regexp('(.{7,}?) ', 'g'), '$1\n'), '\n')"


def tidy(frame: pd.DataFrame, fields: Sequence[str], panel: Panel) -> pd.DataFrame:
    """Keep what is drawn: codes as people write them, numbers to six digits (equal everywhere)."""
    if frame.empty:
        raise EmptyChartError("Nothing to draw: the frame has no rows.")
    panels = [panel] if isinstance(panel, str) else list(panel or [])
    wanted = list(dict.fromkeys([*fields, *panels]))
    missing = [field for field in wanted if field not in frame]
    if missing:
        raise UserError(
            f"The chart needs the columns {', '.join(wanted)}; "
            f"missing {', '.join(missing)} of {', '.join(map(str, frame.columns))}."
        )
    rows = frame[wanted].reset_index(drop=True)
    for field in wanted:
        if field == "lam":  # a name for a colour; `over_lambda` places it
            rows[field] = [f"{value:g}" for value in rows[field]]
        elif pd.api.types.is_float_dtype(rows[field]):
            rows[field] = [float(f"{value:.6g}") for value in rows[field]]
        elif not pd.api.types.is_numeric_dtype(rows[field]):
            rows[field] = [label(value) for value in rows[field]]
    if len(panels) > 1:
        rows["panel"] = [", ".join(map(str, names)) for names in rows[panels].to_numpy()]
        rows = rows.drop(columns=[name for name in panels if name not in fields])
    return rows


def measured(frame: pd.DataFrame, *names: str | None) -> list[str]:
    """Return the columns drawn beside a value: those named, such as its interval's; ``seeds``."""
    drawn = [name for name in names if name is not None]
    return [*drawn, "seeds"] if "seeds" in frame else drawn


def panel_column(panel: Panel) -> str | None:
    """Return the column of `tidy` rows that holds the small multiples."""
    return panel if panel is None or isinstance(panel, str) else "panel"


def beside(
    frame: pd.DataFrame, paper: pd.DataFrame | None, fields: Sequence[str], panel: Panel
) -> pd.DataFrame:
    """Put ours and the paper's rows into one frame, told apart by the column ``source``."""
    ours = tidy(frame, fields, panel).assign(source="here")
    if paper is None:
        return ours
    theirs = paper.reindex(columns=[*dict.fromkeys([*paper.columns, *fields])])
    parts = [ours, tidy(theirs, fields, panel).assign(source="paper")]
    # Through records: empty interval columns have no type of their own to agree on.
    records = [row for part in parts for row in part.to_dict("records")]
    return pd.DataFrame(records)


def grouped(rows: pd.DataFrame, group: str, colour: str) -> alt.Chart:
    """Put groups from top to bottom in the frame's order; within each, one line a colour."""
    order = list(colours(colour, rows[colour]))
    groups = list(dict.fromkeys(rows[group]))
    # Vega sets a label's first line at the middle of its row; two or three lines begin higher.
    lines = f"length({_WRAPPED.replace('datum.label', 'datum.value')})"
    raised = {
        "condition": [{"test": f"{lines} > {count}", "value": -7 * count} for count in (2, 1)],
        "value": 0,
    }
    axis = alt.Axis(labelFontWeight=600, labelExpr=_WRAPPED, labelOffset=raised)
    return alt.Chart(rows).encode(
        y=alt.Y(f"{group}:N", title=None, sort=groups, axis=axis),
        yOffset=alt.YOffset(f"{colour}:N", sort=order, scale=alt.Scale(domain=order)),
        color=colour_by(colour, rows),
    )


def height_of(rows: pd.DataFrame, group: str, colour: str) -> int:
    """Return a height that gives every line of `grouped` the same room."""
    lines = max(rows[colour].nunique(), 2)
    return 20 + int(rows[group].nunique()) * (10 + 17 * lines)


def plot_height(rows: pd.DataFrame, panel: Panel) -> int:
    """Return the height of a plot with a measured vertical axis; of many panels, less each."""
    column = panel_column(panel)
    return 260 if column is None or rows[column].nunique() <= 4 else 180


def hollow(base: alt.Chart) -> alt.Chart:
    """Draw the paper's numbers, always this way."""
    return base.transform_filter("datum.source == 'paper'").mark_point(
        filled=False, shape="diamond", size=70, strokeWidth=1.6, opacity=1
    )


def ours(base: alt.Chart, rows: pd.DataFrame, clip: bool = False) -> list[alt.Chart]:
    """Draw our numbers filled, but hollow those of a single seed."""
    here = base.transform_filter("datum.source == 'here'")
    filled = here.mark_point(filled=True, opacity=1, clip=clip)
    if not _single(rows):
        return [filled]
    ring = here.mark_point(filled=False, strokeWidth=1.6, opacity=1, clip=clip)
    return [filled.transform_filter("datum.seeds != 1"), ring.transform_filter("datum.seeds == 1")]


def _single(rows: pd.DataFrame) -> bool:
    return "seeds" in rows and bool(((rows["seeds"] == 1) & (rows["source"] == "here")).any())


def scale_over(
    rows: pd.DataFrame,
    fields: Sequence[str],
    *,
    zero: bool = False,
    domain: tuple[float, float] | None = None,
    **options: Any,
) -> alt.Scale:
    """Span all that may be drawn, so that a filter moves no axis and may leave nothing."""
    if domain is not None:
        return alt.Scale(domain=list(domain))
    values = rows[list(fields)].to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    if not len(values):
        return alt.Scale(domain=[0, 1])
    low, high = float(values.min()), float(values.max())
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        low, high = low - abs(low or 1) / 10, high + abs(high or 1) / 10
    return alt.Scale(domain=[low, high], **{"nice": True, **options})


def up_to_one(rows: pd.DataFrame, fields: Sequence[str], parts: int) -> tuple[float, float]:
    """Return the ends of an axis of shares, from below all values to 1; one has `parts` steps."""
    lowest = np.nanmin(rows[list(fields)].to_numpy(dtype=float), initial=1 - 1 / parts)
    return max(0.0, float(np.floor(parts * lowest)) / parts), 1.0


def colour_by(field: str, rows: pd.DataFrame) -> alt.Color:
    """Encode a field by its constant colours, listed in their constant order."""
    chosen = colours(field, rows[field])
    return alt.Color(
        f"{field}:N",
        title=TITLES.get(field, field),
        sort=list(chosen),
        scale=alt.Scale(domain=list(chosen), range=list(chosen.values())),
    )


_ENDS = {"low": "95 % interval from", "high": "to"}


def tip(field: str, form: str | None = None, title: str | None = None) -> alt.Tooltip:
    """Show a field in the tooltip under a title, or the name people know it by."""
    title = title or _ENDS.get(field) or TITLES.get(field, field.replace("_", " "))
    return alt.Tooltip(field, title=title, format=form) if form else alt.Tooltip(field, title=title)


def chosen_by(colour: str) -> str:
    """Return the expression that keeps what the legend's reader chose."""
    return f"length(chosen) == 0 || indexof(chosen, datum['{colour}']) >= 0"


def finish(
    chart: AnyChart,
    colour: str,
    rows: pd.DataFrame,
    panel: Panel,
    *,
    paper: bool = False,
    null: Literal["stroke", "dots"] | None = None,
    filtered: bool = False,
    words: str | None = None,
) -> AnyChart:
    """Make the legend a filter, spread small multiples, take the page's width.

    `filtered`: the chart applies `chosen` itself, where not all of its marks have a colour.
    `words`: its numbers, for readers who cannot see it.
    """
    chosen = colours(colour, rows[colour])
    items = [{"value": value, "colour": hue} for value, hue in chosen.items()]
    # Of a static picture alone: the book's legend is made of buttons. No entry over another.
    columns = max(1, _LEGEND // (50 + 7 * max(map(len, chosen), default=1)))
    usermeta = {
        "paper": paper,
        "null": null,
        "single": _single(rows),
        "legend": {"title": TITLES.get(colour, colour), "items": items, "columns": columns},
        "words": words,
    }
    drawn = chart if filtered else chart.transform_filter(chosen_by(colour))
    parameter = alt.param(name="chosen", value=[])
    column = panel_column(panel)
    if column is None:
        drawn = drawn.properties(width="container").add_params(parameter)
    else:
        panels = list(dict.fromkeys(rows[column]))
        drawn = drawn.facet(
            facet=alt.Facet(f"{column}:N", title=None, sort=panels),
            # An axis's last number and the next one's first stand side by side.
            spacing={"row": 24, "column": 44},
            columns=1 if len(panels) in (1, 3, 5) else 2,  # Vega draws an axis below a gap, too
        ).add_params(parameter)
    return drawn.properties(usermeta=usermeta)

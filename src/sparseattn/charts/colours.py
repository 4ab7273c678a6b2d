"""How charts look: colours that stay put, and a light and a dark theme.

Every colour has a contrast of at least 3 to 1 with both page backgrounds. In the dark theme the
main ones are drawn in a brighter shade of the same hue (`BRIGHTER`). They stay apart under the
common kinds of colour blindness (the tests measure all of it).
"""

from collections.abc import Iterable

import numpy as np

from sparseattn.wording import label

BLUE, OCHRE, GREEN, PURPLE, GREY = "#384af8", "#c9820d", "#11a373", "#9a6ba9", "#7d838c"
SKY, ORANGE, BROWN, VIOLET = "#1591ce", "#f55d02", "#885c3d", "#b515fb"
BRIGHTER = {
    BLUE: "#7f8cff", OCHRE: "#e59f2f", GREEN: "#2fc493", PURPLE: "#c39bd0", GREY: "#a3a9b2",
    SKY: "#5cb8ec", ORANGE: "#ff8a4c", BROWN: "#c08f6c", VIOLET: "#d27bff",
}  # fmt: skip
"""The shade of each colour in the dark theme."""

# One dictionary per kind of thing: softmax has one colour wherever it is drawn. Classifiers and
# projections, which share pages, share no colour.
COLOURS: dict[str, dict[str, str]] = {
    "projection": {"softmax": BLUE, "sparsemax": OCHRE, "sparsegen": GREEN, "entmax": PURPLE},
    "encoder": {"none": GREY, "bilstm": SKY, "transformer": ORANGE},
    "classifier": {  # the paper's own two as their encoders
        "BiLSTM, additive": SKY,
        "BiLSTM, scaled dot": BROWN,
        "Transformer, additive": VIOLET,
        "Transformer, scaled dot": ORANGE,
        "no encoder, additive": GREY,
    },
    "alignment": {"additive": GREEN, "dot": PURPLE},
    "task": {"planted": GREY, "sst": BLUE, "newsgroups": OCHRE, "imdb": GREEN},
    "measure": {"gradient": BLUE, "gradient_fixed": GREEN, "loo": OCHRE, "loo_logit": PURPLE},
    "importance_of": {"inputs": OCHRE, "hidden": BLUE},
    "verdict": {"same": GREEN, "different": OCHRE, "undecided": GREY},
    "adversary": {"frozen": BLUE, "unfrozen": OCHRE, "reseeded": GREEN, "uniform": GREY},
}

_SPARE = (BLUE, OCHRE, GREEN, PURPLE)
_LAMBDA_RAMP = ("#3a7ab8", "#5f66d6", "#9a58b8", "#c2527a", "#c9641a")  # even … sparse
_BACKGROUNDS = {"light": "#ffffff", "dark": "#121212"}
_AT_ZERO = "datum.value === 0"  # no difference, no correlation: a line to look for
_FONT = "-apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"


def colours(field: str, values: Iterable[object]) -> dict[str, str]:
    """Return the colour of each value of a field: from label to hexadecimal, in charts' order.

    Known values come first, in the order of `COLOURS`, with colours that never change; λ (``lam``)
    runs along a sequential ramp; unknown values take the spare colours in sorted order.
    """
    values = list(values)
    if field == "lam":
        ordered = sorted({float(str(value)) for value in values})
        return {f"{lam:g}": colour for lam, colour in zip(ordered, ramp(len(ordered)), strict=True)}
    known = {label(code): colour for code, colour in COLOURS.get(field, {}).items()}
    present = {label(value) for value in values}
    spare = [colour for colour in _SPARE if colour not in {known.get(name) for name in present}]
    chosen = {name: colour for name, colour in known.items() if name in present}
    for index, name in enumerate(sorted(present - set(known))):
        chosen[name] = spare[index % len(spare)] if spare else GREY
    return chosen


def ramp(count: int) -> list[str]:
    """Return `count` colours in sequence, from even (blue) to sparse (orange)."""
    parts = [[int(c[i : i + 2], 16) for c in _LAMBDA_RAMP] for i in (1, 3, 5)]
    last = len(_LAMBDA_RAMP) - 1
    places = np.arange(count) / max(count - 1, 1) * last
    mixed = np.stack([np.interp(places, range(last + 1), part).round() for part in parts], axis=1)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in mixed.astype(int).tolist()]


def theme(mode: str) -> dict[str, object]:
    """Return Vega-Lite's configuration for a theme of the page, ``light`` or ``dark``."""
    ink, faint, rule = {
        "light": ("#24292f", "#57606a", "#e3e6ea"),
        "dark": ("#e6e8eb", "#a4adb8", "#33383f"),
    }[mode]
    heat = {
        "light": ["#eef1fb", "#c3cbf9", "#8f9bf7", "#5f6df8", "#2f3fd0"],
        "dark": ["#1d2033", "#2d3569", "#4350b8", "#7682f5", "#c3c9ff"],
    }[mode]
    return {
        "background": _BACKGROUNDS[mode],
        "font": _FONT,
        "view": {"stroke": None},
        "axis": {
            "labelColor": faint,
            "titleColor": ink,
            "titleFontWeight": 500,
            "gridColor": rule,
            "domainColor": faint,
            "tickColor": faint,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titlePadding": 8,
            "labelLimit": 160,
        },
        "axisY": {"domain": False, "ticks": False},
        "axisX": {"labelOverlap": "greedy", "labelSeparation": 8, "labelFlush": False},
        "axisQuantitative": {
            "tickCount": 6,
            "gridColor": {"condition": {"test": _AT_ZERO, "value": faint}, "value": rule},
            "gridWidth": {"condition": {"test": _AT_ZERO, "value": 1.5}, "value": 1},
        },
        "legend": {
            "labelColor": ink,
            "titleColor": ink,
            "titleFontWeight": 500,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "orient": "top",
            "columnPadding": 30,  # a reader's font may be wider than the one it is measured with
            "symbolStrokeWidth": 2,
            "symbolOpacity": 1,
            "labelLimit": 0,  # a name cut short is no name
        },
        "header": {
            "labelColor": ink,
            "titleColor": ink,
            "labelFontSize": 12,
            "labelFontWeight": 600,
            "labelAnchor": "start",
            "title": None,
        },
        "range": {"heatmap": heat, "ramp": heat},
        "mark": {"color": BLUE},
        "text": {"color": ink, "fontSize": 12},
        "rule": {"color": faint},
        "point": {"size": 60, "strokeWidth": 2},
        "line": {"strokeWidth": 2},
    }

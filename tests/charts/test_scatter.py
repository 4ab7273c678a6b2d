"""One quantity against another: its points, its diagonal, its intervals."""

import altair as alt
import pandas as pd

from sparseattn import charts

POINTS = pd.DataFrame(
    {
        "attention": [0.1, 0.5, 0.9, 0.2],
        "importance": [0.7, 0.8, 0.9, 0.6],
        "low": [0.65, 0.75, 0.85, 0.55],
        "high": [0.75, 0.85, 0.95, 0.65],
        "classifier": ["BiLSTM, additive"] * 2 + ["Transformer, scaled dot"] * 2,
        "sparsity": ["sparsemax", "softmax"] * 2,
        "task": ["SST", "SST", "IMDb", "IMDb"],
    }
)


def drawn(**options):
    chart = charts.against(
        POINTS, x="attention", y="importance", titles=("attention", "importance"), **options
    )
    shown = charts.show(chart, name="a-chart", caption="A caption.", description="In words.")
    alt.Chart.from_dict(shown.spec)  # validates against Vega-Lite's schema
    return shown


def marks(spec):
    layers = spec["spec"]["layer"] if "spec" in spec else spec["layer"]
    return [layer["mark"]["type"] for layer in layers]


def test_lines_only_where_asked_for():
    assert marks(drawn().spec) == ["point"]
    assert marks(drawn(diagonal=True).spec) == ["line", "point"]
    both = drawn(diagonal=True, low="low", high="high", panel="task")
    assert marks(both.spec) == ["line", "rule", "point"]


def test_the_diagonal_is_one():
    layer = drawn(diagonal=True).spec["layer"][0]
    assert layer["encoding"]["x"]["field"] == layer["encoding"]["y"]["field"] == "attention"
    # Axes with one extent each, so that it is straight and ends where the points do.
    domains = [layer["encoding"][axis]["scale"]["domain"] for axis in "xy"]
    assert domains == [[0.1, 0.9]] * 2


def test_a_point_says_which_it_is():
    fields = [tip["field"] for tip in drawn().spec["layer"][0]["encoding"]["tooltip"]]
    assert fields == ["classifier", "sparsity", "attention", "importance"]

"""One quantity against another: its points, its diagonal, its chance line."""

import altair as alt
import pandas as pd

from sparseattn import charts

POINTS = pd.DataFrame(
    {
        "attention": [0.1, 0.5, 0.9, 0.2],
        "importance": [0.7, 0.8, 0.9, 0.6],
        "chance": [0.75] * 4,
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
    both = drawn(diagonal=True, null="chance", panel="task", log=True)
    assert marks(both.spec) == ["line", "line", "point"]
    assert "by chance" in both._repr_html_()
    assert "by chance" not in drawn(diagonal=True)._repr_html_()


def test_the_diagonal_is_one():
    layer = drawn(diagonal=True).spec["layer"][0]
    assert layer["encoding"]["x"]["field"] == layer["encoding"]["y"]["field"] == "attention"
    # Axes with one extent each, so that it is straight and ends where the points do.
    domains = [layer["encoding"][axis]["scale"]["domain"] for axis in "xy"]
    assert domains == [[0.1, 0.9]] * 2


def test_a_point_says_which_it_is():
    fields = [tip["field"] for tip in drawn().spec["layer"][0]["encoding"]["tooltip"]]
    assert fields == ["classifier", "sparsity", "attention", "importance"]


def test_what_one_quantity_costs_of_another():
    frame = pd.DataFrame({"jsd": [0.6, 0.2, 0.4], "change": [-0.1, 0.0, -0.02]})
    for name in ("jsd", "change"):
        frame = frame.assign(**{f"{name}_low": frame[name] - 0.01, f"{name}_high": frame[name]})
    frame = frame.assign(pressure=[10.0, 0.1, 1.0], projection="softmax", task="SST")
    for panel in (None, "task"):
        chart = charts.trade_off(
            frame, x="jsd", y="change", order="pressure", panel=panel, titles=("x", "y")
        )
        shown = charts.show(chart, name="a-chart", caption="A caption.", description="In words.")
        alt.Chart.from_dict(shown.spec)
        assert marks(shown.spec) == ["line", "rule", "rule", "point", "text"]
        (rows,) = shown.spec["datasets"].values()
        assert [row["pressure"] for row in rows] == [0.1, 1.0, 10.0]  # joined in this order

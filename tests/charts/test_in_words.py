"""What a chart shows, said to those who cannot see it."""

import numpy as np
import pandas as pd
import pytest

from sparseattn import charts
from sparseattn.charts.figure import Figure
from sparseattn.charts.in_words import along, numbers
from sparseattn.errors import UserError


def frame(tasks: int = 2) -> pd.DataFrame:
    rows = [
        {"panel": panel, "task": f"task {place}", "projection": projection, "mean": value}
        for panel in ("BiLSTM", "Transformer")
        for place in range(tasks)
        for projection, value in (("softmax", 0.25 + place / 100), ("sparsemax", -0.5))
    ]
    return pd.DataFrame(rows).assign(source="here")


BY = ["panel", "task", "projection"]


def test_each_number_is_said_in_the_order_of_the_chart():
    told = numbers(frame(1), "Agreement", "mean", BY)
    assert told == (
        "Agreement. BiLSTM, task 0: softmax 0.25, sparsemax −0.50. "
        "Transformer, task 0: softmax 0.25, sparsemax −0.50."
    )
    turned = numbers(frame(1)[::-1], "Agreement", "mean", BY)
    assert turned.startswith("Agreement. Transformer, task 0: sparsemax −0.50, softmax 0.25.")
    assert numbers(frame(1), "A", "mean", [None, "projection"]) == (
        "A. softmax 0.25, sparsemax −0.50."
    )


def test_of_many_numbers_their_reach_is_said():
    told = numbers(frame(11), "Agreement", "mean", BY)  # 44
    assert "task" not in told
    assert "BiLSTM: softmax 0.25 to 0.35, sparsemax −0.50." in told  # panels may differ in kind
    wide = frame(11).assign(task="one", mean=np.linspace(0, 1, 44))
    assert numbers(wide.assign(task=range(44)), "A", "mean", ["task", "projection"]) == (
        "A. softmax 0.00 to 0.98, sparsemax 0.02 to 1.00."
    )


def test_the_papers_numbers_and_missing_ones_are_not_ours():
    rows = frame(1).assign(source=["here", "paper", "here", "here"])
    rows.loc[3, "mean"] = np.nan
    assert numbers(rows, "A", "mean", BY) == (
        "A. BiLSTM, task 0: softmax 0.25. Transformer, task 0: softmax 0.25."
    )


@pytest.mark.parametrize(
    ("value", "said"), [(1234.4, "1,234"), (12.345, "12.35"), (0.01234, "0.0123")]
)
def test_digits_suit_the_size(value, said):
    rows = pd.DataFrame({"colour": ["a"], "x": [value]})
    assert numbers(rows, "A", "x", ["colour"]) == f"A. a {said}."


def test_lines_are_said_by_their_ends():
    rows = pd.DataFrame({"c": [*"baaa"], "x": [1, 9, 1, 2], "y": [7.0, 2, 1, 5]})
    rows = rows.assign(at="x = " + rows["x"].astype(str))
    told = along(rows, "Time", "y", [None, "c"], "x", "at")
    assert told == "Time. b: 7 at x = 1. a: 1 at x = 1, 2 at x = 9."
    twice = pd.concat([rows, rows.assign(y=rows["y"] + 2)])  # two seeds: their mean
    assert "a: 2 at x = 1, 3 at x = 9." in along(twice, "Time", "y", ["c"], "x", "at")
    bent = pd.DataFrame({"c": "a", "x": range(5), "y": [1, 9, 5.5, 9, 1]}).assign(at=[*"vwxyz"])
    assert along(bent, "Time", "y", ["c"], "x", "at") == "Time. a: 1.00 at v, 5.50 at x, 1.00 at z."
    many = pd.concat([rows.assign(c=rows["c"] + str(k)) for k in range(20)])
    assert along(many, "Time", "y", ["c"], "x", "at") == numbers(many, "Time", "y", ["c"])


def test_a_figure_without_a_description_says_its_numbers():
    rows = frame(1).rename(columns={"panel": "classifier"})
    drawn = rows.drop(columns="source").assign(low=0.0, high=1.0)
    shown = charts.show(
        charts.paper_versus_here, drawn, panel="classifier", title="A", name="a", caption="c"
    )
    assert isinstance(shown, Figure)
    assert shown.description == numbers(rows, "A", "mean", ["classifier", "task", "projection"])
    assert "words" not in shown.spec["usermeta"]
    bare = charts.show(charts.paper_versus_here, drawn, name="a", caption="c", description="Mine.")
    assert isinstance(bare, Figure)
    assert bare.description == "Mine."
    import altair as alt

    with pytest.raises(UserError, match="needs a caption and a description"):
        charts.show(alt.Chart(drawn).mark_point(), name="a", caption="c")

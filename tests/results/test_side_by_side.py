"""Published tasks and a page's own runs stay apart, and beside the paper's figures and chance."""

import numpy as np
import pandas as pd
import pytest
from tiny import measured

from sparseattn.measures.statistics import summarise
from sparseattn.results import paper, side_by_side


def test_a_task_published_and_live_is_shown_twice():
    sst = measured("sst")
    frame = side_by_side.joined({"SST": sst, "IMDb": sst[:0]}, sst)
    assert list(frame["origin"].unique()) == ["SST", "SST (live)"]
    assert frame["origin"].value_counts().to_dict() == {"SST": len(sst), "SST (live)": len(sst)}


def test_nothing_at_all():
    empty = measured("sst")[:0]
    assert "origin" in side_by_side.joined({"SST": empty}, empty)


def test_the_papers_figures_come_for_each_origin_of_their_task():
    frame = side_by_side.joined({"SST": measured("sst")}, measured("planted"))
    theirs = side_by_side.reported(paper.table1(), frame)
    assert set(theirs["origin"]) == {"SST"}
    assert len(theirs) == len(paper.table1().query("task == 'sst'"))
    assert set(theirs["classifier"]) == {"BiLSTM, additive", "Transformer, scaled dot"}
    assert (theirs["mean"] == theirs["value"]).all()
    assert side_by_side.reported(paper.table1(), frame[frame["task"] == "planted"]) is None


def test_without_lambda_leaves_something_of_each_origin():
    rows = pd.DataFrame(
        {"origin": ["SST"] * 3 + ["Planted (live)"] * 2, "lam": [np.nan, -1.0, 0.0, 0.5, -10.0]}
    )
    assert list(side_by_side.without_lambda(rows).index) == [0, 2, 3, 4]


def test_pooled_averages_what_is_not_named():
    frame = measured("sst")
    pooled = side_by_side.pooled(frame, ["task"], ["influence_dispersion"])
    assert len(pooled) == len(frame) / 2  # one row for each seed and document
    values = frame.pivot_table("influence_dispersion", ["seed", "document"], "projection")
    np.testing.assert_allclose(
        pooled.set_index(["seed", "document"]).sort_index()["influence_dispersion"],
        values.mean(axis=1),
    )


@pytest.mark.parametrize("by", [["task"], ["task", "lam"]])
def test_chance_is_that_of_the_same_cell(by):
    frame = measured("sst").assign(other=1.0)
    frame.loc[frame["projection"] == "softmax", "chance"] += 1
    quantities = ["other", "influence_dispersion", "chance"]
    source = side_by_side.pooled(frame, by, quantities)
    summary = summarise(source, by, quantities)
    rows = side_by_side.beside_chance(
        summary, {"influence_dispersion": "chance", "other": "chance"}
    )
    assert list(rows["quantity"].unique()) == ["influence_dispersion", "other"]
    expected = summary[summary["quantity"] == "chance"]["mean"]
    np.testing.assert_allclose(rows["null"], [*expected, *expected])

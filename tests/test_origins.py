"""Published tasks and a page's own runs stay apart, and beside the paper's figures and chance."""

import numpy as np
import pandas as pd
import pytest

from sparseattn import origins, paper
from sparseattn.claims import CELLS
from sparseattn.statistics import summarise


def measured(task, projections=("softmax", "sparsemax"), seeds=2, documents=5):
    rng = np.random.default_rng(0)
    rows = [
        {
            "key": f"{task}{projection}{seed}",
            "task": task,
            "encoder": "bilstm",
            "alignment": "additive",
            "projection": projection,
            "lam": 0.0 if projection == "sparsemax" else np.nan,
            "alpha": None,
            "seed": seed,
            "classifier": "BiLSTM, additive",
            "sparsity": projection,
            "document": document,
            "length": 20.0,
            "influence_dispersion": rng.uniform(0.9, 0.95),
            "label": float(document < 3),
            "correct": float(document < 4),
            "chance": document / 10,
        }
        for projection in projections
        for seed in range(seeds)
        for document in range(documents)
    ]
    return pd.DataFrame(rows)


def test_a_task_published_and_live_is_shown_twice():
    sst = measured("sst")
    frame = origins.joined({"SST": sst, "IMDb": sst[:0]}, sst)
    assert list(frame["origin"].unique()) == ["SST", "SST (live)"]
    assert frame["origin"].value_counts().to_dict() == {"SST": len(sst), "SST (live)": len(sst)}


def test_nothing_at_all():
    empty = measured("sst")[:0]
    assert "origin" in origins.joined({"SST": empty}, empty)


def test_the_papers_figures_come_for_each_origin_of_their_task():
    frame = origins.joined({"SST": measured("sst")}, measured("planted"))
    theirs = origins.reported(paper.table1(), frame)
    assert set(theirs["origin"]) == {"SST"}
    assert len(theirs) == len(paper.table1().query("task == 'sst'"))
    assert set(theirs["classifier"]) == {"BiLSTM, additive", "Transformer, scaled dot"}
    assert (theirs["mean"] == theirs["value"]).all()
    assert origins.reported(paper.table1(), frame[frame["task"] == "planted"]) is None


def test_claims_are_judged_on_each_origin_by_itself():
    low = measured("planted").assign(influence_dispersion=0.01)
    frame = origins.joined({"SST": measured("sst")}, low)
    judged = origins.verdicts(frame, [1, 2])
    first = judged[judged["number"] == 1].set_index("origin")["verdict"]
    assert first.to_dict() == {"SST": "supported", "Planted (live)": "contradicted"}
    assert list(judged["number"]) == [1, 1, 2, 2]
    assert origins.by_outcome(judged, 1) == (
        "supported on SST (2 for, 0 against, 0 unclear of 2); contradicted on Planted (live) "
        "(0 for, 2 against, 0 unclear of 2)"
    )
    assert origins.balance(judged, 1) == "mixed"
    assert origins.counts(judged, 1, ("up", "down")) == "2 up, 2 down, 0 unclear of 4"
    assert origins.by_outcome(judged, 2) == "not measured here on SST; not measured here on " + (
        "Planted (live)"
    )
    told = origins.rules(judged)
    for number, start in (
        (1, "The paper's Table 1 has a dispersion of"),
        (2, "The paper's Figure 2 has"),
    ):
        assert f"*Claim {number} in the paper.* {start}" in told


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([(3, 0, 1, 0), (0, 0, 4, 0), (0, 0, 4, 0), (0, 0, 4, 0)], "unclear"),  # no outvoting
        ([(6, 1, 1, 0), (2, 4, 2, 0)], "mixed"),
        ([(4, 0, 0, 0), (3, 0, 1, 0)], "supported"),
        ([(0, 4, 0, 0), (0, 0, 0, 0)], "contradicted"),
        ([(0, 1, 0, 0), (0, 0, 0, 8)], "too few seeds"),
        ([(0, 0, 0, 0)], "not measured here"),
    ],
)
def test_balance(cells, expected):
    judged = pd.DataFrame(cells, columns=list(CELLS)).assign(number=5)
    assert origins.balance(judged, 5) == expected
    others = pd.DataFrame([(9, 9, 9, 9)], columns=list(CELLS)).assign(number=4)
    assert origins.balance(pd.concat([others, judged]), 5) == expected


def test_own_texts_are_judged_alone():
    low = measured("mine.csv").assign(influence_dispersion=0.01)
    frame = origins.joined({"SST": measured("sst")}, low)
    judged = origins.verdicts(frame, [1])
    assert list(judged["verdict"]) == ["contradicted"]
    assert origins.balance(judged, 1) == "contradicted"
    assert origins.own_texts(frame) == (
        "Judged on mine.csv (live) alone: its 4 classifiers are right on 80% of 5 test documents, "
        "where always naming the commoner class would be on 60%."
    )
    poor = origins.joined({}, low.assign(correct=0.0))
    assert "explains nothing" in origins.own_texts(poor)
    assert origins.own_texts(origins.joined({"SST": measured("sst")}, measured("planted"))) == ""


def test_without_lambda_leaves_something_of_each_origin():
    rows = pd.DataFrame(
        {"origin": ["SST"] * 3 + ["Planted (live)"] * 2, "lam": [np.nan, -1.0, 0.0, 0.5, -10.0]}
    )
    assert list(origins.without_lambda(rows).index) == [0, 2, 3, 4]


def test_pooled_averages_what_is_not_named():
    frame = measured("sst")
    pooled = origins.pooled(frame, ["task"], ["influence_dispersion"])
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
    source = origins.pooled(frame, by, quantities)
    summary = summarise(source, by, quantities)
    rows = origins.beside_chance(summary, {"influence_dispersion": "chance", "other": "chance"})
    assert list(rows["quantity"].unique()) == ["influence_dispersion", "other"]
    expected = summary[summary["quantity"] == "chance"]["mean"]
    np.testing.assert_allclose(rows["null"], [*expected, *expected])

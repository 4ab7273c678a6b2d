import numpy as np
import pandas as pd
import pytest
import tiny
from sklearn.metrics import roc_auc_score
from worlds import ENCODERS, world

from sparseattn.experiments.store import Store
from sparseattn.verdicts import truth


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store")).compute(tiny.spec(), tiny.task())


def test_agrees_with_scikit_learn(run):
    found = truth.evidence_auc([run])
    assert list(found["document"]) == list(range(6))
    traces = run.traces
    for name, trace in truth.RANKINGS.items():
        expected = [
            roc_auc_score(traces["evidence"][row, :n], traces[trace][row, :n])
            for row, n in enumerate(traces["lengths"])
        ]
        np.testing.assert_allclose(found[name], expected)


def test_told_names_the_worst_by_the_gradient():
    found = pd.DataFrame(
        {
            "classifier": ["BiLSTM, additive"] * 2 + ["Transformer, additive"] * 2,
            "sparsity": ["softmax"] * 4,
            "gradient": [0.5, 0.6, 0.9, 0.8],
            "loo": [0.99, 0.97, 0.7, 0.7],
            "product": [0.9, 0.9, 0.6, 0.8],
            "attention": [0.5] * 4,
        }
    )
    text = truth.of_importances(found)
    assert "0.55 to 0.85 by the length of the gradient (under softmax 0.55 to 0.85)" in text
    assert "0.70 to 0.90 by the gradient times the embedding" in text
    assert "and 0.70 to 0.98 by leave-one-out" in text
    assert text.endswith("weak evidence.")
    assert "weak" not in truth.of_importances(found.assign(gradient=0.9))
    assert "BiLSTM, additive, softmax, 0.55 (by leave-one-out 0.98)" in text


def test_nothing_is_told_where_the_truth_is_not_known():
    assert truth.of_importances(truth.evidence_auc([])) == ""


def test_a_measure_passes_only_where_it_was_tested_and_surely_above_the_bar():
    frame = world(tasks=(*truth.SINGLE, *truth.BESIDE), above=0.2)
    found = truth.passing(frame).set_index("name")
    assert found["passes"].to_dict() == {
        "inputs_loo": "passes", "attention": "fails", "random": "fails"
    }  # fmt: skip
    said = truth.passed(truth.passing(frame))
    assert said.startswith("Leave-one-out passes: AUC surely above 0.75 everywhere.")
    for part in (frame[frame["task"].isin(truth.SINGLE)], frame[frame["encoder"] == "bilstm"]):
        assert set(truth.passing(part)["passes"]) == {"passes so far", "fails"}
        assert "not every encoder learned both" in truth.passed(truth.passing(part))


def aucs(**means):
    """Examinations of two seeds and documents with these AUC, a cell for each task and encoder.

    Beside them a task where nothing decides, and an encoder without attention, both of AUC 0.
    """
    rows = [
        {"task": task, "origin": task, "encoder": encoder, "sparsity": "softmax", "seed": seed,
         "document": document,
         **{f"evidence_auc_{name}": auc + (0.01 * (-1) ** seed if auc == 0.8 else 0)
            for name, auc in (means if encoder != "none" and task != "imdb"
                              else dict.fromkeys(means, 0.0)).items()}}
        for task in (*truth.SINGLE, *truth.BESIDE, "imdb")
        for encoder in (*ENCODERS, "none") for seed in (0, 1) for document in (0, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_passing_by_hand(monkeypatch):
    found = truth.passing(aucs(attention=0.75, inputs_loo=0.875, random=0.25))
    where = "Planted, BiLSTM, softmax"
    every = found["unsure"][1]  # at the bar is not above it
    assert len(every) == 8
    assert where in every
    assert found.to_dict("records") == [
        {"name": "inputs_loo", "shown": "Leave-one-out", "lowest": 0.875, "low": 0.875,
         "where": where, "unsure": [], "cells": 8, "sure": 8, "passes": "passes"},
        {"name": "attention", "shown": "Attention", "lowest": 0.75, "low": 0.75,
         "where": where, "unsure": every, "cells": 8, "sure": 0, "passes": "fails"},
        {"name": "random", "shown": "Random", "lowest": 0.25, "low": 0.25,
         "where": where, "unsure": every, "cells": 8, "sure": 0, "passes": "fails"},
    ]  # fmt: skip
    assert list(found.index) == [0, 1, 2]
    one = truth.passing(aucs(inputs_loo=0.8))
    assert one["low"].item() < 0.8
    monkeypatch.setattr(truth, "BAR", one["low"].item())
    at_the_bar = truth.passing(aucs(inputs_loo=0.8))
    assert at_the_bar[["passes", "sure"]].to_numpy().tolist() == [["not certain", 0]]
    monkeypatch.setattr(truth, "BAR", one["low"].item() - 1e-9)
    assert truth.passing(aucs(inputs_loo=0.8))["passes"].item() == "passes"
    lower = aucs(inputs_loo=0.05).assign(evidence_auc_inputs_loo=lambda rows: 0.05 * rows["seed"])
    assert truth.passing(lower)["low"].item() == 0  # not below the scale
    for nothing in (pd.DataFrame(), aucs(inputs_loo=0.9).query("task == 'imdb'")):
        assert truth.passing(nothing).empty


def test_where_no_measure_passes_the_nearest_is_named_and_where_it_is_lowest():
    frame = world(tasks=(*truth.SINGLE, *truth.BESIDE), above=0.2)
    worst = (frame["task"] == "sst+beside") & (frame["encoder"] == "bilstm")
    worst &= frame["projection"] == "softmax"
    frame["evidence_auc_inputs_loo"] = frame["evidence_auc_inputs_loo"].mask(worst, 0.6)
    found = truth.passing(frame)
    assert set(found["passes"]) == {"fails"}
    row = found.set_index("name").loc["inputs_loo"]
    assert row["sure"] == row["cells"] - 1
    assert truth.passed(found).startswith(
        f"**No measure surely passes everywhere.** Leave-one-out comes nearest: AUC surely above "
        f"0.75 in {row['sure']} of {row['cells']} cells, but not in {row['where']}; lowest 0.60."
    )
    # Seeds far apart, each above the bar, leave it open.
    apart = frame["evidence_auc_inputs_loo"].mask(worst, 0.8 + 0.15 * (frame["seed"] % 2))
    unsure = truth.passing(frame.assign(evidence_auc_inputs_loo=apart)).set_index("name")
    assert unsure.loc["inputs_loo", "passes"] == "not certain"
    assert 0 <= unsure.loc["inputs_loo", "low"] <= truth.BAR


def test_a_classifier_that_did_not_learn_the_task_finds_no_measure():
    assert truth.passing(world(tasks=truth.SINGLE, accuracy=0.5)).empty


def test_runs_that_did_not_learn_are_counted():
    frame = world(tasks=("planted", "imdb"))
    assert truth.unlearned(frame) == ""
    poor = frame.assign(accuracy=frame["accuracy"].where(frame["seed"] > 0, 0.5))
    runs = poor[poor["task"] == "planted"].drop_duplicates("key")
    told = truth.unlearned(poor)
    assert told.startswith(f"{(runs['accuracy'] < 0.9).sum()} of {len(runs)} runs did not learn")
    assert "imdb" not in told


def test_weight_on_the_words_that_decide_by_hand():
    rows = [
        {"origin": origin, "task": origin, "encoder": "bilstm", "projection": projection,
         "key": f"{origin}{projection}{seed}", "seed": seed, "document": document,
         "evidence_mass_attention": mass, "evidence_auc_attention": auc, "evidence_share": 0.25}
        for origin, projection, mass, auc in [
            ("Planted", "softmax", 0.5, 0.8), ("Planted", "sparsemax", 1.0, 0.75),
            ("SST + token", "softmax", 0.75, 1.0), ("SST + token", "sparsemax", 0.625, 1.0),
            ("SST + order", "softmax", 0.0, 0.0),  # without its pair it is drawn, not compared
        ]
        for seed in (0, 1) for document in (0, 1)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    found, told = truth.pointed_at(frame)
    assert found["mean"].tolist() == [0.5, 1.0, 0.75, 0.625, 0.0]
    assert (found["null"] == 0.25).all()
    assert told.startswith(
        "Of attention's weight, 50% to 75% lies on the words that decide under softmax and 62% to "
        "100% under sparsemax (they are 25% of the words): more under sparsemax in 1 of 2 cases, "
        "where its AUC is higher in 0."
    )
    assert "an AUC of only 0.75, of: BiLSTM on Planted. The others" in told
    learned = frame[frame["origin"] == "SST + token"]
    assert "pointed at" not in truth.pointed_at(learned)[1]
    assert truth.pointed_at(learned[learned["projection"] == "softmax"])[1] == ""
    for nothing in (pd.DataFrame(), frame.drop(columns="evidence_share")):
        assert truth.pointed_at(nothing)[0].empty

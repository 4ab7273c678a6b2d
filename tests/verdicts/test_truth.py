import numpy as np
import pandas as pd
import pytest
import tiny
from sklearn.metrics import roc_auc_score

from sparseattn.experiments.store import Store
from sparseattn.verdicts import question


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store")).compute(tiny.spec(), tiny.task())


def test_agrees_with_scikit_learn(run):
    found = question.evidence_auc([run])
    assert list(found["document"]) == list(range(6))
    traces = run.traces
    for name, trace in question.RANKINGS.items():
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
    text = question.of_importances(found)
    assert "0.55 to 0.85 by the length of the gradient (under softmax 0.55 to 0.85)" in text
    assert "0.70 to 0.90 by the gradient times the embedding" in text
    assert "and 0.70 to 0.98 by leave-one-out" in text
    assert text.endswith("weak evidence.")
    assert "weak" not in question.of_importances(found.assign(gradient=0.9))
    assert "BiLSTM, additive, softmax, 0.55 (by leave-one-out 0.98)" in text


def test_nothing_is_told_where_the_truth_is_not_known():
    assert question.of_importances(question.evidence_auc([])) == ""

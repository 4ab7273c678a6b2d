"""What the page on agreement shows and says, on measurements whose effects are known."""

import numpy as np
import pandas as pd

from sparseattn.results import variants
from sparseattn.verdicts import agreement

N = 20


def cells(tau=0.5, support=10, ceiling=0.9, documents=8):
    row = {
        "origin": "SST",
        "classifier": "BiLSTM, additive",
        "projection": "sparsemax",
        "sparsity": "sparsemax",
        "seed": 0,
        "length": float(N),
        "support": float(support),
        "tau_ceiling": ceiling,
        "tau_inputs_gradient": tau,
        "tau_inputs_loo": -tau,
    }
    return pd.DataFrame([row | {"document": document} for document in range(documents)])


def test_documents_beyond_noise_are_counted_on_their_side():
    (row,) = agreement.beyond_noise(cells()).to_dict("records")
    assert (row["above_gradient"], row["below_gradient"]) == (1, 0)
    assert (row["above_loo"], row["below_loo"]) == (0, 1)
    assert row["out_of_reach"] == 0
    (row,) = agreement.beyond_noise(cells(tau=0.1)).to_dict("records")
    assert row["above_gradient"] == row["below_loo"] == 0


def test_documents_that_cannot_lie_beyond_noise_are_left_out():
    found = agreement.beyond_noise(pd.concat([cells(), cells(tau=0.2, support=1, ceiling=0.3)]))
    (row,) = found.to_dict("records")
    assert row["out_of_reach"] == 0.5
    assert row["above_gradient"] == 1
    (row,) = agreement.beyond_noise(cells(support=1, ceiling=0.3)).to_dict("records")
    assert row["out_of_reach"] == 1
    assert np.isnan(row["above_gradient"])


def test_documents_without_an_auc_are_told_at_both_ends_of_lambda():
    graded = pd.DataFrame(
        {
            "origin": "SST",
            "lam": [-10.0, -10.0, 0.0, 0.5, 0.5],
            "auc_inputs_gradient": [np.nan, 0.6, 0.6, 0.6, 0.6],
        }
    )
    assert agreement.without_auc(graded) == (
        "*Documents without an AUC, of all classifiers*: SST, 50% at λ = −10 and 0% at λ = 0.5."
    )
    assert "nothing to draw" in agreement.without_auc(graded[:0])


def test_the_papers_classifiers_and_the_pages_own_are_drawn():
    taus = pd.DataFrame({"origin": ["SST", "SST", "Planted (live)"], "classifier": ["A", "B", "B"]})
    theirs = pd.DataFrame({"origin": ["SST"], "classifier": ["A"]})
    assert list(agreement.of_the_papers_classifiers(taus, theirs).index) == [0, 2]
    assert agreement.of_the_papers_classifiers(taus, None) is taus


def summaries(change):
    rows = []
    for seed in range(4):
        for name in (variants.OURS, variants.PAPERS_RATES):
            moved = change if name == variants.PAPERS_RATES else 0.0
            values = {q: 0.5 + 0.01 * seed + moved for q in variants.QUANTITIES}
            row = {"variant": name, "task": "sst", "encoder": "bilstm", "seed": seed}
            rows.append(row | values)
    return pd.DataFrame(rows)


def test_what_the_papers_rates_change_is_told():
    changed = agreement.changed_by_rates(summaries(0.2))
    assert len(changed) == 3
    np.testing.assert_allclose(changed["difference"], 0.2)
    told = agreement.moved_by_rates(changed)
    assert "changes by +0.20 [0.20] τ (SST, BiLSTM), surely in 1 of 1 classifiers." in told
    none = agreement.moved_by_rates(agreement.changed_by_rates(summaries(0.0)))
    assert "surely in 0 of 1 classifiers." in none
    ours, theirs = agreement.at_both_rates(summaries(0.2))
    assert set(ours["rate"]) == {variants.OURS, variants.PAPERS_RATES}
    assert set(ours["shown"]) == {"Gradients of inputs", "Gradients of hidden states"}
    assert set(theirs["task"]) == {"sst"}


def test_nothing_is_known_of_decisive_tokens_where_there_are_none():
    assert agreement.on_the_decisive(cells()).empty

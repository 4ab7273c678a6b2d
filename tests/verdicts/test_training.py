"""What classifiers read, and what sparse attention costs, where both are known."""

import numpy as np
import pandas as pd
import pytest
import tiny

from sparseattn.experiments.store import Store
from sparseattn.verdicts import training


def measured(loss, share=0.3, projections=("softmax", "sparsemax")):
    rng = np.random.default_rng(0)
    right = rng.random(400) < 0.9
    rows = [
        pd.DataFrame(
            {
                "classifier": "BiLSTM, additive",
                "projection": projection,
                "seed": seed,
                "document": range(400),
                "correct": 1.0
                * (right & ~((projection == "sparsemax") & (rng.random(400) < loss))),
                "support_share": share if sparse else 1.0,
            }
        )
        for projection in projections
        for sparse in [projection == "sparsemax"]
        for seed in range(2)
    ]
    return pd.concat(rows, ignore_index=True)


@pytest.mark.parametrize(
    ("loss", "share", "told"),
    [
        (
            0.0,
            0.3,
            "**On this task, attention becomes sparse, with no loss of accuracy that shows.**",
        ),
        (0.3, 0.3, "**On this task, attention becomes sparse, and accuracy suffers.**"),
        (0.0, 0.7, "**On this task, attention does not always become sparse, with no loss"),
    ],
)
def test_the_cost_of_sparsemax(loss, share, told):
    cost = training.cost_of_sparsemax(measured(loss, share))
    assert training.cost_in_words(cost).startswith(told)
    assert f"attend to {share:.0%} of the tokens, under softmax to 100%" in training.cost_in_words(
        cost
    )
    assert cost["mean"].iloc[0] == pytest.approx(-90 * loss, abs=5)


def test_one_projection_alone_has_no_cost():
    cost = training.cost_of_sparsemax(measured(0.0, projections=("softmax",)))
    assert cost.empty
    assert "not both asked for" in training.cost_in_words(cost)


def test_tasks_in_words():
    assert "none of the paper's three" in training.about("planted", {})
    assert "the word before it" in training.about("planted", {"context": True})
    assert "the word before it" not in training.about("planted", {})


def test_sizes_and_scores_of_a_task(tmp_path):
    task = tiny.task()
    sizes = training.sizes(task).set_index("split")
    assert sizes["documents"].to_dict() == {"train": 48, "dev": 16, "test": 16}
    assert "paper" not in sizes  # which has no such task
    store = Store(tmp_path)
    runs = [store.compute(tiny.spec(seed=seed), task) for seed in (0, 1)]
    (row,) = training.whole_test_split(runs).to_dict("records")
    scores = [run.manifest["accuracy"] for run in runs]
    assert row["accuracy"] == pytest.approx(np.mean(scores))
    assert row["sd"] == pytest.approx(np.std(scores, ddof=1))
    assert row["epochs"] == 2

import numpy as np
import pandas as pd
import pytest

from sparseattn.headline import headline, shares

VERDICTS = pd.DataFrame({"verdict": ["supported", "undecided", "undecided"]})


def measurements(attention, gradient, loo, spread=0.01):
    """Effective tokens under softmax, and under sparsemax as the given shares of them."""
    rng = np.random.default_rng(0)
    factors = {
        "attention_effective": attention,
        "effective_inputs_gradient": gradient,
        "effective_inputs_loo": loo,
    }
    rows = []
    for seed in range(3):
        for document in range(40):
            for projection in ("softmax", "sparsemax"):
                row = {
                    "task": "sst",
                    "encoder": "bilstm",
                    "alignment": "additive",
                    "projection": projection,
                    "seed": seed,
                    "document": document,
                }
                for name, factor in factors.items():
                    noise = np.exp(rng.normal(0, spread))
                    row[name] = 10 * noise * (factor if projection == "sparsemax" else 1)
                rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("shares", "answer"),
    [
        ((0.2, 1.0, 1.0), "No."),
        ((0.2, 0.9, 1.0), "Less than it seems."),
        ((0.2, 0.1, 1.0), "Yes, in this respect."),
        ((1.0, 1.0, 1.0), "Undecided."),
    ],
)
def test_answer_follows_the_rule(shares, answer):
    text = headline(measurements(*shares), VERDICTS)
    assert text.startswith(f"**{answer}**")
    assert "Of the paper's 3 claims: 1 supported, 2 undecided." in text


def test_factors_are_those_planted():
    frame = measurements(0.2, 0.5, 0.9)
    assert "attention spreads over 20% as many tokens" in headline(frame, VERDICTS)
    assert "over 50% (gradient) and 90% (leave-one-out)" in headline(frame, VERDICTS)
    found = shares(frame).set_index("of")
    np.testing.assert_allclose(found["mean"], [0.2, 0.5, 0.9], rtol=0.02)
    assert (found["low"] <= found["mean"]).all()
    assert (found["mean"] <= found["high"]).all()


def test_a_classifier_under_one_projection_is_left_out():
    """Its level is its own, and would pass for an effect of the projection."""
    frame = measurements(0.2, 0.5, 0.9)
    alone = frame[frame["projection"] == "sparsemax"].assign(alignment="dot")
    quantities = [name for name in frame if "effective" in name]
    alone[quantities] *= 100
    pd.testing.assert_frame_equal(shares(pd.concat([frame, alone])), shares(frame))


def test_wide_intervals_do_not_say_no():
    assert headline(measurements(0.2, 1.0, 1.0, spread=8), VERDICTS).startswith("**Undecided.**")


def test_without_both_projections_there_is_no_answer():
    frame = measurements(0.2, 1.0, 1.0).query("projection == 'softmax'")
    assert "no answer to give" in headline(frame, VERDICTS)
    assert shares(frame).empty

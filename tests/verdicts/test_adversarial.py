"""What is said of adversaries whose divergence and cost are known."""

import numpy as np
import pandas as pd
import pytest

from sparseattn.measures.divergence import CEILING
from sparseattn.models.adversary import PRESSURE
from sparseattn.verdicts import adversarial

COST = {"reseeded": 0.0, "uniform": 0.0, "frozen": 0.2, "unfrozen": 0.0}
JSD = {"reseeded": 0.1, "uniform": 0.2, "frozen": 0.5, "unfrozen": 0.6}


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    rows = []
    for projection in ("sparsemax", "softmax"):
        for kind in ("unfrozen", "uniform", "frozen", "reseeded"):
            for pressure in (PRESSURE, 10 * PRESSURE) if kind == "frozen" else (PRESSURE,):
                for seed in range(2):
                    right = rng.random(400) < 0.9
                    lost = rng.random(400) < COST[kind]
                    cell = {
                        "task": "sst", "encoder": "bilstm", "alignment": "additive",
                        "origin": "SST", "classifier": "BiLSTM, additive",
                        "where": "SST: BiLSTM, additive", "projection": projection,
                        "sparsity": projection, "lam": 0.0 if projection == "sparsemax" else np.nan,
                        "alpha": np.nan, "adversary": kind, "pressure": pressure, "seed": seed,
                    }  # fmt: skip
                    values = {
                        "document": range(400),
                        "length": 12.0,
                        "jsd": JSD[kind] + 0.01 * (pressure > PRESSURE),
                        "jsd_ceiling": 0.6,
                        "jsd_disjoint": 0.25 * JSD[kind] * (projection == "sparsemax"),
                        "correct": right & ~lost,
                        "base_correct": right,
                        "accuracy_change": (right & ~lost).astype(float) - right,
                        "tau_attention": 0.1,
                        "tau_gradient": 0.9,
                    }
                    rows.append(pd.DataFrame(cell | values))
    return pd.concat(rows, ignore_index=True)


@pytest.fixture
def found(frame):
    return adversarial.levels(frame[frame["pressure"] == PRESSURE])


def test_comparisons_come_before_adversaries_and_reseeded_has_no_cost(found):
    assert list(dict.fromkeys(found["adversary"])) == list(adversarial.KINDS)
    reseeded = found[found["adversary"] == "reseeded"]
    assert set(reseeded["quantity"]) == {"jsd"}


def test_each_kind_is_told_with_its_divergence_and_cost(found):
    told = adversarial.in_words(found).splitlines()
    assert "- **Another seed**: divergence 0.10 nats" in told
    assert "- **Retrained**: divergence 0.60 nats, change of accuracy +0.000" in told
    assert any(line.startswith("- **Frozen**: divergence 0.50 nats, change of") for line in told)
    assert told[-1] == f"The most that a divergence can be is {CEILING:.2f} nats."
    assert adversarial.of_another_seed(found) == (
        "Another seed alone gives 17% of the retrained adversary's divergence, by classifier and "
        "projection."
    )
    alone = found[found["adversary"] == "frozen"]
    assert adversarial.of_another_seed(alone) == "Not measured here."


def test_wide_has_each_quantity_with_its_ends(found):
    wide = adversarial.wide(found)
    assert len(wide) == 8
    assert {"jsd", "jsd_low", "accuracy_change_high"} <= set(wide)
    assert wide["accuracy_change"].isna().sum() == 2


def test_price_is_that_of_several_pressures(frame):
    curve = adversarial.price(frame)
    assert sorted(curve["pressure"].unique()) == [PRESSURE, 10 * PRESSURE]
    assert curve.groupby("pressure")["jsd"].first().tolist() == pytest.approx([0.5, 0.51])
    assert adversarial.price(frame[frame["pressure"] == PRESSURE]).empty


def test_shares_of_the_ceiling_and_from_zeros(frame):
    parts = adversarial.shares(frame[frame["pressure"] == PRESSURE])
    by = parts.set_index(["sparsity", "adversary"])
    assert by.loc[("sparsemax", "unfrozen"), "share_ceiling"] == pytest.approx(1)
    assert by.loc[("sparsemax", "unfrozen"), "share_disjoint"] == pytest.approx(0.25)
    assert adversarial.of_their_ceilings(parts) == (
        "The adversaries reach 83% to 100% of what their base allows. Under sparse projections 25% "
        "of that are from zeros."
    )
    softmax = parts[parts["sparsity"] == "softmax"]
    assert adversarial.of_their_ceilings(softmax).endswith("allows.")


def test_uniform_attention_beside_frozen_adversaries(found):
    assert adversarial.uniform_and_frozen(found) == (
        "Of 2 with both, each a classifier under a projection, uniform attention costs less than "
        "2.5 points of accuracy in 2, by the whole interval. Of these, the frozen adversary does "
        "so too in 0 and costs more "
        "in 2; in 0 its interval leaves it open."
    )
    assert adversarial.uniform_and_frozen(found[:0]) == "Not measured here."


def test_the_farthest_from_uniform_is_by_length(frame):
    told = adversarial.from_uniform(frame)
    assert told.startswith("- SST: 0.")
    assert "The paper's Transformer has" in told
    assert "paper" not in adversarial.from_uniform(frame.assign(task="planted"))


def test_agreement_with_the_base_leaves_uniform_attention_out(frame):
    rows = adversarial.with_the_base(frame[frame["pressure"] == PRESSURE], "softmax")
    assert "uniform" not in set(rows["adversary"])
    assert rows.groupby("shown")["mean"].first().to_dict() == {
        "attention": pytest.approx(0.1),
        "gradient importance": pytest.approx(0.9),
    }

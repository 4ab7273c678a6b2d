import itertools
import re

import numpy as np
import pandas as pd
import pytest

from sparseattn.models.adversary import PRESSURE
from sparseattn.verdicts.claims import CLAIMS, verdicts

DOCUMENTS = 40


def measured(lams=(-50.0, -10.0, 0.0, 0.3, 0.6), seeds=(0, 1, 2), **quantities):
    """Measurements whose means are given as functions of (encoder, λ; softmax counts as −99)."""
    rng = np.random.default_rng(0)
    projections = [("softmax", np.nan), *(("sparsegen", lam) for lam in lams)]
    frames = []
    for encoder, (projection, lam), seed in itertools.product(
        ["bilstm", "transformer"], projections, seeds
    ):
        at = -99 if projection == "softmax" else lam
        columns = {
            name: mean(encoder, at) + 0.01 * rng.normal(size=DOCUMENTS)
            for name, mean in quantities.items()
        }
        cell = {"task": "planted", "encoder": encoder, "alignment": "dot"}
        run = {"projection": projection, "lam": lam, "seed": seed, "document": range(DOCUMENTS)}
        frames.append(pd.DataFrame({**cell, **run, "length": 50.0, **columns}))
    return pd.concat(frames, ignore_index=True)


def outcome(number, frame):
    return CLAIMS[number - 1].judge(frame).outcome


def flat(value):
    return lambda encoder, lam: value


def test_seven_in_order_each_with_its_rule():
    assert [claim.number for claim in CLAIMS] == list(range(1, 8))
    assert all(claim.rule.endswith(".") and claim.statement.endswith(".") for claim in CLAIMS)


class TestEveryModel:
    def test_influence(self):
        # Noise over 50 tokens has a dispersion of .93: half of it is .46.
        assert outcome(1, measured(influence_dispersion=flat(0.6))) == "supported"
        assert outcome(1, measured(influence_dispersion=flat(0.3))) == "contradicted"
        half = 0.9285 / 2
        assert outcome(1, measured(influence_dispersion=flat(half))) == "undecided"

    def test_one_model_against_it_is_enough(self):
        def mixed(encoder, lam):
            return 0.2 if encoder == "bilstm" and lam == 0.6 else 0.8

        frame = measured(influence_dispersion=mixed)
        verdict = CLAIMS[0].judge(frame)
        assert verdict.outcome == "contradicted"
        assert (verdict.cells["verdict"] == "contradicted").sum() == 1

    def test_importance_is_judged_under_sparse_projections_only(self):
        def low_under_softmax(encoder, lam):
            return 0.2 if lam == -99 else 0.8

        both = {f"dispersion_inputs_{kind}": low_under_softmax for kind in ("gradient", "loo")}
        assert outcome(2, measured(**both)) == "supported"
        assert outcome(2, measured(lams=(), **both)) == "not measured here"

    def test_hidden_above_inputs(self):
        means = {"inputs_gradient": 0.3, "inputs_loo": 0.3, "hidden_gradient": 0.8}
        means = {f"tau_{name}": flat(value) for name, value in means.items()}
        assert outcome(4, measured(**means, tau_hidden_loo=flat(0.7))) == "supported"
        assert outcome(4, measured(**means, tau_hidden_loo=flat(0.1))) == "contradicted"
        assert outcome(4, measured(**means)) == "not measured here"


class TestTrends:
    def test_dispersion(self):
        for sign, expected in ((1, "supported"), (-1, "contradicted")):
            frame = measured(dispersion_inputs_gradient=lambda e, lam, s=sign: 0.5 + s * lam / 100)
            assert outcome(3, frame) == expected
        ups_and_downs = measured(
            dispersion_inputs_gradient=lambda e, lam: 0.6 if lam in (-10, 0.3) else 0.5
        )
        assert outcome(3, ups_and_downs) == "undecided"

    def test_agreement(self):
        def falling(encoder, lam):
            return 0.5 - lam / 100

        def disagreeing(encoder, lam):
            return 0.5 + (lam if encoder == "bilstm" else -lam) / 100

        taus = ("tau_inputs_gradient", "tau_inputs_loo")
        assert outcome(5, measured(**dict.fromkeys(taus, falling))) == "supported"
        assert outcome(5, measured(**dict.fromkeys(taus, disagreeing))) == "undecided"

    def test_needs_more_than_one_lam(self):
        frame = measured(lams=(0.0,), dispersion_inputs_gradient=flat(0.5))
        assert outcome(3, frame) == "not measured here"
        few = measured(lams=(0.0, 0.5), seeds=(0,), dispersion_inputs_gradient=flat(0.5))
        assert outcome(3, few) == "undecided"


def adversaries(frozen, unfrozen, seeds=(0, 1, 2), **more):
    """Adversaries with given (JSD, change of accuracy), for each encoder."""
    rng = np.random.default_rng(0)
    frames = []
    for encoder, seed in itertools.product(["bilstm", "transformer"], seeds):
        for variant, (jsd, change) in {"frozen": frozen, "unfrozen": unfrozen, **more}.items():
            cell = {"task": "planted", "encoder": encoder, "alignment": "dot", "lam": np.nan}
            run = {"projection": "softmax", "alpha": None, "adversary": variant, "seed": seed}
            numbers = {"jsd": jsd, "accuracy_change": change}
            numbers = {k: v + 0.01 * rng.normal(size=DOCUMENTS) for k, v in numbers.items()}
            where = {**cell, **run, "pressure": PRESSURE, "document": range(DOCUMENTS)}
            frames.append(pd.DataFrame({**where, **numbers}))
    return pd.concat(frames, ignore_index=True)


class TestAdversaries:
    @pytest.mark.parametrize(
        ("frozen", "unfrozen", "expected"),
        [
            ((0.6, -0.1), (0.6, 0.0), "supported"),
            ((0.6, -0.1), (0.6, -0.1), "contradicted"),  # retraining has a cost
            ((0.6, 0.0), (0.6, 0.0), "contradicted"),  # freezing has none
            ((0.6, -0.015), (0.6, 0.0), "contradicted"),  # or one too small to matter
            ((0.6, -0.1), (0.2, 0.0), "contradicted"),  # it does not diverge
            ((0.2, 0.0), (0.6, 0.0), "undecided"),  # frozen, it was not tried hard enough
            ((0.6, -0.025), (0.6, -0.025), "undecided"),
        ],
    )
    def test_rule(self, frozen, unfrozen, expected):
        assert outcome(6, adversaries(frozen, unfrozen)) == expected

    def test_at_the_stated_pressure_and_without_controls(self):
        frame = adversaries((0.6, -0.1), (0.6, 0.0), uniform=(0.1, -0.5))
        weak = adversaries((0.0, 0.0), (0.0, 0.0)).assign(pressure=0.01)
        assert outcome(6, pd.concat([frame, weak])) == "supported"
        assert outcome(6, weak) == "contradicted"  # where there is no other

    def test_needs_both(self):
        frame = adversaries((0.6, -0.1), (0.6, 0.0))
        for variant in ("frozen", "unfrozen"):
            assert outcome(6, frame[frame["adversary"] == variant]) == "not measured here"

    def test_among_the_others(self, everything):
        frame = adversaries((0.6, -0.1), (0.6, 0.0))
        table = verdicts(everything, frame).set_index("number")
        assert table.loc[6, "verdict"] == "supported"
        sentence = table.loc[6, "sentence"]
        assert "Retrained, attention diverges by 0.60 nats (of at most 0.69)" in sentence
        assert "2 cells (up to 3 seeds)" in sentence
        alone = table.drop(index=6).reset_index()
        without = verdicts(everything).query("number != 6").reset_index(drop=True)
        pd.testing.assert_frame_equal(alone[list(without)], without)


@pytest.fixture
def everything():
    fall = {f"tau_inputs_{kind}": lambda e, lam: 0.3 - lam / 200 for kind in ("gradient", "loo")}
    hidden = {f"tau_hidden_{kind}": flat(0.9) for kind in ("gradient", "loo")}
    spread = {f"dispersion_inputs_{kind}": flat(0.8) for kind in ("gradient", "loo")}
    return measured(influence_dispersion=flat(0.7), **fall, **hidden, **spread)


class TestAll:
    def test_table(self, everything):
        table = verdicts(everything)
        expected = ["supported", "supported", "undecided", "supported", "supported"]
        assert list(table["verdict"]) == [*expected, "not measured here", "supported"]

    def test_the_whole_is_derived(self, everything):
        rising = everything["tau_inputs_gradient"] + everything["lam"].fillna(0) / 100
        against = everything.assign(tau_inputs_gradient=rising, tau_inputs_loo=rising)
        assert outcome(5, against) == "contradicted"
        assert outcome(7, against) == "contradicted"
        assert outcome(7, everything.drop(columns="tau_inputs_loo")) == "not measured here"

    def test_sentences_hold_the_numbers_judged(self, everything):
        verdict = CLAIMS[0].judge(everything)
        assert "Mean dispersion 0.70 in 12 cells (up to 3 seeds)" in verdict.sentence
        assert verdict.paper == "The paper's Table 1 has 0.46 to 0.93."
        lower = everything.assign(influence_dispersion=everything["influence_dispersion"] - 0.1)
        assert "Mean dispersion 0.60" in CLAIMS[0].judge(lower).sentence
        assert "above zero in 19 of 24 cells" in CLAIMS[3].judge(everything).paper
        for told in ("sentence", "paper"):
            for sentence in verdicts(everything)[told]:
                assert not re.search("nan|None", sentence)

    def test_one_seed_is_said(self, everything):
        one = everything[everything["seed"] == 0]
        assert "one seed, so not over trainings" in CLAIMS[0].judge(one).sentence

    def test_nothing_measured(self):
        for frame in (pd.DataFrame(), measured()):
            assert set(verdicts(frame)["verdict"]) == {"not measured here"}

    def test_the_same_model_under_two_names_counts_once(self, everything):
        again = everything[everything["lam"] == 0].assign(projection="sparsemax", lam=np.nan)
        twice = pd.concat([everything, again], ignore_index=True)
        pd.testing.assert_frame_equal(verdicts(twice), verdicts(everything))

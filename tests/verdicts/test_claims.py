import itertools
import re

import numpy as np
import pandas as pd
import pytest

from sparseattn.measures.nulls import GRADIENTS, null_dispersion
from sparseattn.models.adversary import PRESSURE
from sparseattn.verdicts.claims import CLAIMS, verdicts
from sparseattn.verdicts.outcomes import CELLS, counted
from sparseattn.verdicts.outcomes import outcome as whole

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


WORLDS = {
    "all for": ([1, 1, 1, 1], "supported"),
    "all against": ([-1, -1, -1, -1], "contradicted"),
    "half and half": ([1, 1, -1, -1], "mixed"),
    "most for, one against": ([1, 1, 1, -1], "mixed"),
    "most for, one nothing": ([1, 1, 1, 0], "supported"),
    "one for, three nothing": ([1, 0, 0, 0], "unclear"),
    "one against, three nothing": ([-1, 0, 0, 0], "unclear"),
}


def world(effects, seeds, rng, noise=0.1, lams=(-50.0, -10.0, 0.0, 0.6)):
    """Four classifiers, each with an effect of λ on a quantity, and of hidden over inputs."""
    frames = []
    for place, effect in enumerate(effects):
        for seed, (step, lam) in itertools.product(range(seeds), enumerate(lams)):
            level = 0.5 + effect * (step - 1.5) / 5 + noise * rng.normal() / 5
            gap = 0.2 * effect + noise * (rng.normal() / 5 + rng.normal(size=DOCUMENTS))
            run = {"task": "planted", "encoder": "bilstm", "alignment": f"number {place}"}
            run |= {"projection": "sparsegen", "lam": lam, "seed": seed, "length": 50.0}
            numbers = {"dispersion_inputs_gradient": level, "tau_inputs_gradient": 0.3}
            numbers |= {"tau_inputs_loo": 0.3, "tau_hidden_loo": 0.3 + gap}
            numbers |= {"tau_hidden_gradient": 0.3 + gap}
            frames.append(pd.DataFrame({**run, **numbers, "document": range(DOCUMENTS)}))
    return pd.concat(frames, ignore_index=True)


class TestOutcome:
    @pytest.mark.parametrize("number", [3, 4])
    @pytest.mark.parametrize("name", WORLDS)
    def test_the_word_is_right(self, name, number):
        effects, expected = WORLDS[name]
        rng = np.random.default_rng(0)
        found = [outcome(number, world(effects, 3, rng)) for _ in range(20)]
        assert found.count(expected) >= 16

    @pytest.mark.parametrize("number", [3, 4])
    def test_where_there_is_nothing_it_is_unclear(self, number):
        rng = np.random.default_rng(1)
        found = [outcome(number, world([0, 0, 0, 0], 3, rng)) for _ in range(60)]
        assert found.count("unclear") >= 57

    @pytest.mark.parametrize("number", [3, 4])
    @pytest.mark.parametrize("effects", [[1, 1, 1, 1], [-1, -1, -1, -1]])
    def test_one_seed_is_too_few(self, number, effects):
        frame = world(effects, 1, np.random.default_rng(2))
        verdict = CLAIMS[number - 1].judge(frame)
        assert verdict.outcome == "too few seeds"
        assert "with one seed" in verdict.sentence
        assert f"{len(verdict.cells)} with one seed of" in counted(verdict.counts)

    def test_it_treats_both_sides_alike(self):
        other = {"supported": "contradicted", "contradicted": "supported"}
        for counts in itertools.product(range(4), repeat=4):
            given = dict(zip(CELLS, counts, strict=True))
            turned = {other.get(word, word): count for word, count in given.items()}
            found = whole(given)
            assert whole(turned) == other.get(found, found)

    @pytest.mark.parametrize(
        ("counts", "expected"),
        [
            ((67, 0, 1, 0), "supported"),
            ((67, 1, 0, 0), "mixed"),
            ((4, 4, 0, 0), "mixed"),
            ((2, 0, 2, 0), "unclear"),
            ((0, 1, 0, 7), "too few seeds"),
            ((6, 8, 6, 8), "mixed"),
            ((0, 0, 0, 0), "not measured here"),
        ],
    )
    def test_by_counts(self, counts, expected):
        given = dict(zip(CELLS, counts, strict=True))
        assert whole(given) == expected
        said = counted(given)
        assert said.endswith(f" of {sum(counts)}") or not sum(counts)


class TestEveryModel:
    def test_influence(self):
        # Half of 50 tokens have a dispersion of log 25 / log 50 = .823.
        assert outcome(1, measured(influence_dispersion=flat(0.9))) == "supported"
        assert outcome(1, measured(influence_dispersion=flat(0.7))) == "contradicted"
        noise = null_dispersion(np.array([50.0]), GRADIENTS)[0]
        half = noise - np.log(2) / np.log(50)
        assert outcome(1, measured(influence_dispersion=flat(half))) == "unclear"

    def test_one_model_against_it_is_said(self):
        def mixed(encoder, lam):
            return 0.2 if encoder == "bilstm" and lam == 0.6 else 0.9

        verdict = CLAIMS[0].judge(measured(influence_dispersion=mixed))
        assert verdict.outcome == "mixed"
        assert counted(verdict.counts) == "11 for, 1 against, 0 unclear of 12"

    def test_leave_one_out_is_held_against_noise_of_its_own(self):
        # Half of noise of single numbers: .929 − log 2 / log 50 = .751; of gradients: .822.
        both = {f"dispersion_inputs_{kind}": flat(0.79) for kind in ("gradient", "loo")}
        verdict = CLAIMS[1].judge(measured(**both))
        by = verdict.cells.groupby("quantity")["verdict"].unique().map(list).to_dict()
        assert by == {
            "dispersion_inputs_gradient": ["contradicted"],
            "dispersion_inputs_loo": ["supported"],
        }
        assert verdict.outcome == "mixed"

    def test_importance_is_judged_under_sparse_projections_only(self):
        def low_under_softmax(encoder, lam):
            return 0.2 if lam == -99 else 0.9

        both = {f"dispersion_inputs_{kind}": low_under_softmax for kind in ("gradient", "loo")}
        assert outcome(2, measured(**both)) == "supported"
        assert outcome(2, measured(lams=(), **both)) == "not measured here"

    def test_hidden_above_inputs(self):
        means = {"inputs_gradient": 0.3, "inputs_loo": 0.3, "hidden_gradient": 0.8}
        means = {f"tau_{name}": flat(value) for name, value in means.items()}
        assert outcome(4, measured(**means, tau_hidden_loo=flat(0.7))) == "supported"
        assert outcome(4, measured(**means, tau_hidden_loo=flat(0.1))) == "mixed"
        assert outcome(4, measured(**means)) == "not measured here"


class TestTrends:
    def test_dispersion(self):
        for sign, expected in ((1, "supported"), (-1, "contradicted")):
            frame = measured(dispersion_inputs_gradient=lambda e, lam, s=sign: 0.5 + s * lam / 100)
            assert outcome(3, frame) == expected

    def test_agreement(self):
        def falling(encoder, lam):
            return 0.5 - lam / 100

        def disagreeing(encoder, lam):
            return 0.5 + (lam if encoder == "bilstm" else -lam) / 100

        taus = ("tau_inputs_gradient", "tau_inputs_loo")
        assert outcome(5, measured(**dict.fromkeys(taus, falling))) == "supported"
        assert outcome(5, measured(**dict.fromkeys(taus, disagreeing))) == "mixed"

    def test_needs_more_than_one_lam(self):
        frame = measured(lams=(0.0,), dispersion_inputs_gradient=flat(0.5))
        assert outcome(3, frame) == "not measured here"
        few = measured(lams=(0.0, 0.5), seeds=(0,), dispersion_inputs_gradient=flat(0.5))
        assert outcome(3, few) == "too few seeds"


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
            ((0.6, -0.1), (0.6, -0.1), "mixed"),  # retraining has a cost
            ((0.6, 0.0), (0.6, 0.0), "mixed"),  # freezing has none
            ((0.6, -0.015), (0.6, 0.0), "mixed"),  # or one too small to matter
            ((0.6, -0.1), (0.2, 0.0), "mixed"),  # it does not diverge
            ((0.6, 0.0), (0.6, -0.1), "contradicted"),  # both the other way round
            ((0.2, 0.0), (0.6, 0.0), "unclear"),  # frozen, it was not tried hard enough
            ((0.6, -0.025), (0.6, -0.025), "unclear"),
        ],
    )
    def test_rule(self, frozen, unfrozen, expected):
        assert outcome(6, adversaries(frozen, unfrozen)) == expected

    def test_at_the_stated_pressure_and_without_controls(self):
        frame = adversaries((0.6, -0.1), (0.6, 0.0), uniform=(0.1, -0.5))
        weak = adversaries((0.0, 0.0), (0.0, 0.0)).assign(pressure=0.01)
        assert outcome(6, pd.concat([frame, weak])) == "supported"
        assert outcome(6, weak) == "unclear"  # where there is no other

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
    spread = {f"dispersion_inputs_{kind}": flat(0.9) for kind in ("gradient", "loo")}
    return measured(influence_dispersion=flat(0.9), **fall, **hidden, **spread)


class TestAll:
    def test_table(self, everything):
        table = verdicts(everything)
        expected = ["supported", "supported", "unclear", "supported", "supported"]
        assert list(table["verdict"]) == [*expected, "not measured here", "supported"]

    def test_the_whole_is_derived(self, everything):
        rising = everything["tau_inputs_gradient"] + everything["lam"].fillna(0) / 100
        against = everything.assign(tau_inputs_gradient=rising, tau_inputs_loo=rising)
        assert outcome(5, against) == "contradicted"
        assert CLAIMS[6].judge(against).sentence == "Claim 2: supported; claim 5: contradicted."
        assert outcome(7, against) == "mixed"
        assert outcome(7, everything.drop(columns="tau_inputs_loo")) == "not measured here"

    def test_sentences_hold_the_numbers_judged(self, everything):
        verdict = CLAIMS[0].judge(everything)
        assert (
            "Effective tokens 34, 67% to 68% of what noise gives, in 12 cells (up to 3 seeds)"
            in verdict.sentence
        )
        assert verdict.paper == "The paper's Table 1 has a dispersion of 0.46 to 0.93."
        lower = everything.assign(influence_dispersion=everything["influence_dispersion"] - 0.1)
        assert "Effective tokens 23, 45% to 46% of" in CLAIMS[0].judge(lower).sentence
        assert "above zero in 19 of 24 cells" in CLAIMS[3].judge(everything).paper
        for told in ("sentence", "paper"):
            for sentence in verdicts(everything)[told]:
                assert not re.search("nan|None", sentence)

    def test_one_seed_is_said(self, everything):
        one = everything[everything["seed"] == 0]
        sentence = CLAIMS[0].judge(one).sentence
        assert "not judged, 12 with one seed (over documents alone, 12 for" in sentence

    def test_nothing_measured(self):
        for frame in (pd.DataFrame(), measured()):
            assert set(verdicts(frame)["verdict"]) == {"not measured here"}

    def test_the_same_model_under_two_names_counts_once(self, everything):
        again = everything[everything["lam"] == 0].assign(projection="sparsemax", lam=np.nan)
        twice = pd.concat([everything, again], ignore_index=True)
        pd.testing.assert_frame_equal(verdicts(twice), verdicts(everything))

    @pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
    def test_what_is_undefined_everywhere_is_not_measured(self, everything, seeds):
        measures = everything.filter(regex="tau|dispersion").columns
        undefined = everything[everything["seed"].isin(seeds)].copy()
        undefined[measures] = np.nan
        for claim in CLAIMS[:5]:
            verdict = claim.judge(undefined)
            assert verdict.outcome == "not measured here"
            assert verdict.sentence == "Undefined on every document."

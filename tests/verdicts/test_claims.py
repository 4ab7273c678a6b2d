"""Each claim's effect is what was planted, and its word follows, wherever it is asked for."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest

from sparseattn import paths
from sparseattn.measures.statistics import estimate
from sparseattn.models.adversary import PRESSURE
from sparseattn.results import paper
from sparseattn.verdicts import answers, claims, headline
from sparseattn.verdicts.claims import CLAIMS
from sparseattn.verdicts.judging import judge

DOCUMENTS = 40
CLASSIFIERS = list(itertools.product(["bilstm", "transformer"], ["additive", "dot"]))


def measured(lams=(-50.0, -10.0, 0.0, 0.6), seeds=(0, 1, 2), noise=0.01, **quantities):
    """Measurements whose means are given as functions of (encoder, λ; softmax counts as −99)."""
    rng = np.random.default_rng(0)
    projections = [("softmax", np.nan), *(("sparsegen", lam) for lam in lams)]
    frames = []
    for (encoder, alignment), (projection, lam), seed in itertools.product(
        CLASSIFIERS, projections, seeds
    ):
        at = -99 if projection == "softmax" else lam
        columns = {
            name: mean(encoder, at) * (1 + noise * rng.normal(size=DOCUMENTS))
            for name, mean in quantities.items()
        }
        cell = {"task": "planted", "encoder": encoder, "alignment": alignment}
        run = {"projection": projection, "lam": lam, "seed": seed, "document": range(DOCUMENTS)}
        frames.append(pd.DataFrame({**cell, **run, "alpha": None, "length": 50.0, **columns}))
    return pd.concat(frames, ignore_index=True)


def flat(value):
    return lambda encoder, lam: value


def at_sparsemax(value, other=1.0):
    return lambda encoder, lam: value if lam == 0 else other


def verdict(number, frame, adversaries=None):
    found = claims.verdicts(claims.cells(frame, adversaries))
    return found.set_index("number").loc[number]


def rising(by):
    """Grow by `by` from the least of four λ to the largest, along its rank."""
    ranks = {-50.0: 0, -10.0: 1, 0.0: 2, 0.6: 3}
    return lambda encoder, lam: 20 + by * ranks.get(lam, 0) / 3


def test_seven_in_order_each_stated_beforehand():
    assert [claim.number for claim in CLAIMS] == list(range(1, 8))
    stated = claims.stated()
    assert (stated["smallest"] > 0).all()
    assert (stated["compared"].str.endswith(".")).all()
    needing = [claim for claim in CLAIMS if any("loo" in c for c in claim.yardsticks.values())]
    assert [claim.number for claim in needing] == [2, 3, 4, 5, 7]
    assert all(next(iter(claim.yardsticks)) == claims.LOO for claim in needing)


@pytest.mark.parametrize(
    ("number", "effect", "quantities"),
    [
        (1, 30.0, {"influence_self_share": flat(0.2)}),
        (1, -40.0, {"influence_self_share": flat(0.9)}),
        (1, 0.0, {"influence_self_share": flat(0.5)}),
        # Attention narrows to a quarter; halfway is a half: of 40 tokens 20, of 50 in all.
        (2, 40.0, {"attention_effective": at_sparsemax(5.0, 20.0),
                   "effective_inputs_loo": flat(40.0)}),
        (2, -20.0, {"attention_effective": at_sparsemax(5.0, 20.0),
                    "effective_inputs_loo": at_sparsemax(10.0, 40.0)}),
        (2, 0.0, {"attention_effective": flat(20.0), "effective_inputs_loo": flat(40.0)}),
        (3, 20.0, {"effective_inputs_loo": rising(10.0)}),
        (3, -20.0, {"effective_inputs_loo": rising(-10.0)}),
        (3, 0.0, {"effective_inputs_loo": rising(0.0)}),
        (4, 0.4, {"tau_hidden_loo": flat(0.6), "tau_inputs_loo": flat(0.2)}),
        (4, -0.4, {"tau_hidden_loo": flat(0.2), "tau_inputs_loo": flat(0.6)}),
        (4, 0.0, {"tau_hidden_loo": flat(0.3), "tau_inputs_loo": flat(0.3)}),
        (5, 3.0, {"tau_inputs_loo": rising(-3.0)}),
        (5, -3.0, {"tau_inputs_loo": rising(3.0)}),
        (7, 0.2, {"tau_inputs_loo": at_sparsemax(0.3, 0.5)}),
        (7, -0.2, {"tau_inputs_loo": at_sparsemax(0.7, 0.5)}),
        (7, 0.0, {"tau_inputs_loo": flat(0.5)}),
    ],
)  # fmt: skip
def test_effects_are_those_planted(number, effect, quantities):
    found = verdict(number, measured(**quantities))
    smallest = CLAIMS[number - 1].smallest
    assert found["value"] == pytest.approx(effect, abs=smallest / 2)
    assert found["verdict"] == ("negligible", "holds", "reversed")[int(np.sign(effect))]
    assert found["low"] < found["value"] < found["high"]


def test_the_papers_own_effects_are_those_of_its_tables():
    """By hand, from book/paper: Table 5's changes, and Table 6's by leave-one-out."""
    found = {claim.number: claim.reported() for claim in CLAIMS}
    costs = paper.table5().query("quantity == 'accuracy_change'")
    wide = costs.pivot_table("value", ["task", "encoder"], "adversary")
    assert found[6] == pytest.approx(100 * (wide["unfrozen"] - wide["frozen"]).mean())
    taus = paper.table6().query("quantity == 'tau_inputs_loo'")
    wide = taus.pivot_table("value", ["task", "encoder"], "projection")
    assert found[7] == pytest.approx((wide["softmax"] - wide["sparsemax"]).mean())
    curves = paper.figure3().query("quantity == 'tau_inputs_loo'")
    falls = [
        -np.polyfit(np.linspace(0, 1, len(one)), one.sort_values("lam")["value"], 1)[0]
        for _, one in curves.groupby(["encoder", "alignment"])
    ]
    assert found[5] == pytest.approx(np.mean(falls))
    assert all(np.isnan(found[number]) for number in (1, 2, 3))


def effects(**values):
    """Effects of one classifier, indexed as claims have them; seeds 0 and 1 of each document."""
    keys = {"origin": "SST", "task": "sst", "encoder": "bilstm", "alignment": "dot"}
    rows = [
        {**keys, "seed": seed, "document": document, **{name: one[seed][document]
                                                        for name, one in values.items()}}
        for seed in (0, 1) for document in (0, 1, 2)
    ]  # fmt: skip
    return pd.DataFrame(rows).set_index(claims.KEYS)["effect"]


def test_a_cell_is_its_mean_its_interval_and_what_that_says():
    given = [[2.0, 3.0, 4.0], [3.0, 3.0, 3.0]]
    found = claims.by_cell(effects(effect=given), 0.5, "points")
    expected = estimate(np.array(given))
    assert list(found.columns) == claims.EFFECT
    (row,) = found.to_dict("records")
    for name in ("low", "high", "se", "documents", "seeds"):
        assert row[name] == pytest.approx(expected[name].item())
    assert row["value"] == 3.0
    assert (row["unit"], row["smallest"], row["stance"]) == ("points", 0.5, "for")
    assert row["classifier"] == "BiLSTM, scaled dot"
    assert [row[name] for name in claims.CELL] == ["SST", "sst", "bilstm", "dot"]
    assert claims.by_cell(effects(effect=given), 5.0, "points")["stance"].item() == "negligible"
    once = effects(effect=given).loc[:, :, :, :, 0:0]
    assert claims.by_cell(once, 0.5, "points")["stance"].item() == "one seed"


def test_what_is_undefined_on_every_document_is_no_cell():
    nowhere = effects(effect=[[np.nan] * 3] * 2)
    nothing = claims.by_cell(nowhere, 0.5, "points")
    assert nothing.empty
    assert list(nothing.columns) == claims.EFFECT
    somewhere = effects(effect=[[1.0, 2.0, np.nan]] * 2)
    other = nowhere.rename({"dot": "additive"}, level="alignment")
    found = claims.by_cell(pd.concat([other, somewhere]), 0.5, "points")
    assert list(found["alignment"]) == ["dot"]
    assert list(found.index) == [0]
    assert found["documents"].item() == 2


def test_a_verdict_is_its_claim_the_judgement_and_the_papers_own():
    """Each claim on its own effects, and nothing of the others'."""
    cells = pd.concat(
        claims.by_cell(effects(effect=[[number, number, number + 0.5]] * 2), claim.smallest,
                       claim.unit).assign(number=claim.number)
        for number, claim in enumerate(CLAIMS[:6], 1)
    )  # fmt: skip
    rows = claims.verdicts(cells).to_dict("records")
    for claim, row in zip(CLAIMS, rows, strict=True):
        stated = [claim.number, claim.statement, claim.short, claim.page, claim.unit]
        assert [row[name] for name in ("number", "claim", "short", "page", "unit")] == stated
        alone = judge(cells[cells["number"] == claim.number], claim.smallest)
        assert {name: row[name] for name in alone} == pytest.approx(alone, nan_ok=True)
        assert (row["smallest"], row["paper"]) == (claim.smallest, claim.theirs())
        assert row["reported"] == pytest.approx(claim.reported(), nan_ok=True)
        assert row["sentence"].startswith(
            f"Cells: {alone['counts']}." if alone["counts"] else "Not"
        )


class TestDeciding:
    rows = pd.DataFrame(
        {"task": ["sst", "imdb", "mine.csv"], "origin": ["SST", "IMDb (live)", "mine.csv (live)"]}
    )

    def test_own_texts_before_published_ones_before_all(self):
        assert list(claims.deciding(self.rows)["task"]) == ["mine.csv"]
        assert list(claims.deciding(self.rows[:2])["task"]) == ["sst"]
        assert list(claims.deciding(self.rows[1:2])["task"]) == ["imdb"]
        assert list(claims.deciding(self.rows[:2][["task"]])["task"]) == ["sst", "imdb"]
        assert claims.deciding(self.rows[:0]).empty


def test_classifiers_that_differ_are_mixed():
    def disagreeing(encoder, lam):
        return (0.3 if encoder == "bilstm" else 0.7) if lam == 0 else 0.5

    found = verdict(7, measured(tau_inputs_loo=disagreeing))
    assert found["verdict"] == "mixed"
    assert found["counts"] == "2 for, 2 against of 4"


def test_the_difference_is_paired_by_document():
    frame = measured(tau_inputs_loo=at_sparsemax(0.3, 0.5))
    frame["tau_inputs_loo"] += frame["document"] / 10  # much between documents, nothing within
    cells = claims.cells(frame)
    assert (cells.query("number == 7")["se"] < 0.01).all()


def test_the_slope_is_that_of_least_squares_along_the_rank():
    rng = np.random.default_rng(1)
    frame = measured(tau_inputs_loo=lambda e, lam: rng.uniform(), seeds=(0, 1))
    one = frame.query("encoder == 'bilstm' and alignment == 'dot' and lam == lam")
    slopes = [
        np.polyfit(np.linspace(0, 1, 4), part.sort_values("lam")["tau_inputs_loo"], 1)[0]
        for _, part in one.groupby(["seed", "document"])
    ]
    cells = claims.cells(frame).query("number == 5 and encoder == 'bilstm' and alignment == 'dot'")
    assert cells["value"].item() == pytest.approx(-np.mean(slopes))


def test_a_seed_with_fewer_lambdas_measures_another_slope_and_is_left_out():
    frame = measured(tau_inputs_loo=rising(3.0))
    fewer = frame[(frame["seed"] == 0) | frame["lam"].isin([0.0, 0.6]) | frame["lam"].isna()]
    cells = claims.cells(fewer)
    assert set(cells.query("number == 5")["seeds"]) == {1}
    assert set(cells.query("number == 7")["seeds"]) == {3}


def test_another_sparse_projection_stands_in_for_sparsemax_only_where_there_is_none():
    frame = measured(lams=(-10.0, 0.0), tau_inputs_loo=at_sparsemax(0.3, 0.5))
    assert verdict(7, frame)["verdict"] == "holds"
    assert verdict(7, frame[frame["lam"] != 0])["verdict"] == "negligible"
    assert verdict(7, frame[frame["lam"].notna()])["verdict"] == "not measured here"


def adversaries(frozen, unfrozen, seeds=(0, 1, 2), **more):
    """Adversaries with given changes of accuracy, for each encoder."""
    rng = np.random.default_rng(0)
    frames = []
    for encoder, seed in itertools.product(["bilstm", "transformer"], seeds):
        for variant, change in {"frozen": frozen, "unfrozen": unfrozen, **more}.items():
            cell = {"task": "planted", "encoder": encoder, "alignment": "dot", "lam": np.nan}
            run = {"projection": "softmax", "alpha": None, "adversary": variant, "seed": seed}
            where = {**cell, **run, "pressure": PRESSURE, "document": range(DOCUMENTS)}
            change = change + 0.01 * rng.normal(size=DOCUMENTS)
            frames.append(pd.DataFrame({**where, "accuracy_change": change}))
    return pd.concat(frames, ignore_index=True)


class TestAdversaries:
    @pytest.mark.parametrize(
        ("frozen", "unfrozen", "expected"),
        [
            (-0.1, 0.0, "holds"),
            (-0.1, -0.1, "negligible"),
            (0.0, 0.0, "negligible"),
            (0.0, -0.1, "reversed"),
        ],
    )
    def test_what_freezing_costs(self, frozen, unfrozen, expected):
        found = verdict(6, pd.DataFrame(), adversaries(frozen, unfrozen))
        assert found["verdict"] == expected
        assert found["value"] == pytest.approx(100 * (unfrozen - frozen), abs=1)

    def test_at_the_stated_pressure_and_without_controls(self):
        frame = adversaries(-0.1, 0.0, uniform=-0.5)
        weak = adversaries(0.0, 0.0).assign(pressure=0.01)
        assert verdict(6, pd.DataFrame(), pd.concat([frame, weak]))["verdict"] == "holds"
        assert verdict(6, pd.DataFrame(), weak)["verdict"] == "negligible"  # where no other is

    @pytest.mark.parametrize("variant", ["frozen", "unfrozen"])
    def test_needs_both(self, variant):
        frame = adversaries(-0.1, 0.0).query("adversary == @variant")
        assert verdict(6, pd.DataFrame(), frame)["verdict"] == "not measured here"


@pytest.fixture(scope="module")
def everything():
    quantities = {"influence_self_share": flat(0.2), "attention_effective": at_sparsemax(5.0, 20.0)}
    for kind in ("loo", "gradient"):
        quantities |= {f"effective_inputs_{kind}": rising(10.0), f"tau_hidden_{kind}": flat(0.9)}
        quantities |= {f"tau_inputs_{kind}": at_sparsemax(0.2, 0.4)}
    return measured(**quantities)


class TestAll:
    def test_one_seed_is_said_and_not_judged(self, everything):
        found = claims.verdicts(claims.cells(everything[everything["seed"] == 0]))
        known = found[found["number"] != 6]
        assert set(known["verdict"]) == {"too few data"}
        assert set(known["counts"]) == {"0 for, 0 against, 4 with one seed of 4"}
        assert known["value"].isna().all()

    def test_nothing_measured(self):
        for frame in (pd.DataFrame(), measured()):
            found = claims.verdicts(claims.cells(frame))
            assert set(found["verdict"]) == {"not measured here"}
            assert set(found["sentence"]) == {"Not measured here."}

    def test_the_same_model_under_two_names_counts_once(self, everything):
        again = everything[everything["lam"] == 0].assign(projection="sparsemax", lam=np.nan)
        twice = pd.concat([everything, again], ignore_index=True)
        pd.testing.assert_frame_equal(claims.cells(twice), claims.cells(everything))

    def test_what_is_undefined_everywhere_is_not_measured(self, everything):
        measures = everything.filter(regex="tau|effective|influence").columns
        undefined = everything.assign(**dict.fromkeys(measures, np.nan))
        found = claims.verdicts(claims.cells(undefined))
        assert set(found["verdict"]) == {"not measured here"}

    def test_a_seed_without_a_value_is_left_out(self, everything):
        some = everything.copy()
        some.loc[some["seed"] == 2, "tau_inputs_loo"] = np.nan
        assert set(claims.cells(some).query("number in (4, 5, 7)")["seeds"]) == {2}

    def test_claim_four_is_judged_under_softmax_with_sparsemax_beside_it(self, everything):
        even = everything["projection"] == "softmax"
        frame = everything.assign(
            tau_hidden_loo=everything["tau_hidden_loo"].where(~even, everything["tau_inputs_loo"])
        )
        row = claims.verdicts(claims.cells(frame)).set_index("number").loc[4]
        assert row["verdict"] == "negligible"
        told = answers.under_sparsemax(frame, 4)
        assert told.startswith("Under sparsemax claim 4: *holds*. Cells: 4 for, 0 against of 4.")
        assert answers.under_sparsemax(frame[even], 4) == ""
        sparse = claims.cells(frame[~even & (frame["lam"] == 0)], numbers=[4])
        assert set(sparse["stance"]) == {"for"}  # without softmax, the sparse one is asked

    def test_sentences_hold_the_numbers_judged(self, everything):
        found = claims.verdicts(claims.cells(everything)).set_index("number")
        assert found.loc[1, "sentence"].startswith(
            "Cells: 4 for, 0 against of 4. On average 30.0 points of influence, 95 % interval from"
        )
        assert found.loc[1, "paper"] == "The paper's Table 1 has a dispersion of 0.46 to 0.93."
        assert "−0.17 to 0.55 under softmax" in found.loc[4, "paper"]
        for told in [*found["sentence"], *found["paper"]]:
            assert not re.search("nan|None", told)

    def test_each_yardstick_judges_the_claims_it_measures(self, everything):
        # By the gradient agreement rises, by leave-one-out it falls.
        frame = everything.assign(tau_inputs_gradient=1 - everything["tau_inputs_gradient"])
        found = answers.by_yardstick(frame, [4, 7]).set_index(["number", "by"])["verdict"]
        assert found[7, claims.LOO] == "holds"
        assert found[7, claims.PAPERS] == "reversed"
        assert found[7, claims.PRODUCT] == "not measured here"
        assert (4, claims.PRODUCT) not in found


@pytest.fixture(scope="module")
def frame(everything):
    """Two published tasks of which one goes the other way, and a live one that does so too."""
    flipped = everything.assign(
        influence_self_share=1 - everything["influence_self_share"],
        tau_inputs_loo=1 - everything["tau_inputs_loo"],
    )
    parts = {"SST": ("sst", everything), "IMDb": ("imdb", flipped)}
    parts["Planted (live)"] = ("planted", flipped)
    return pd.concat(
        [part.assign(task=task, origin=name) for name, (task, part) in parts.items()],
        ignore_index=True,
    )


class TestOneWord:
    """No two places of the book say different things of one claim."""

    @pytest.mark.slow
    def test_pages_and_front_agree(self, frame):
        against = adversaries(-0.1, 0.0).assign(task="sst", origin="SST")
        front = claims.verdicts(claims.deciding(claims.cells(frame, against)))
        words = front.set_index("number")["verdict"]
        whole = frame[frame["origin"] != "Planted (live)"]
        alone = claims.cells(whole, against)  # the page on the paper has no live runs
        for number, word in words.items():
            page = claims.cells(frame if number != 6 else frame[:0], against, numbers=[number])
            for told in (answers.in_full(page, number), answers.in_full(alone, number)):
                assert re.search(r'class="verdict[^>]*>([^<]*)<', told)[1] == word
        assert words[1] == words[7] == "mixed"
        assert words[6] == "holds"
        assert "2 are mixed" not in headline.tally(front[front["number"] == 6])
        row = headline.rows(claims.deciding(claims.cells(frame, against)), ["05-agreement"])[1]
        assert list(row["verdict"]) == list(words)
        there = row["page"].dropna().tolist()
        assert there == ["05-agreement.html#claim-4", "05-agreement.html#claim-5"]

    def test_live_runs_decide_where_nothing_is_published(self, frame):
        live = frame[frame["origin"] == "Planted (live)"]
        assert "reversed" in answers.in_full(claims.cells(live, numbers=[1]), 1)

    def test_own_texts_are_judged_alone(self, frame):
        own = frame[frame["origin"] == "SST"].assign(task="mine.csv", origin="mine.csv (live)")
        told = answers.in_full(claims.cells(pd.concat([frame, own]), numbers=[1]), 1)
        assert re.search(r'class="verdict[^>]*>([^<]*)<', told)[1] == "holds"
        assert "4 for, 0 against of 4. On average" in told

    @pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"claim {claim.number}")
    def test_its_page_states_it_by_the_one_function(self, claim):
        (page,) = [name for name in paths.notebook_names() if claim.page in name]
        source = (paths.notebooks() / f"{page}.py").read_text(encoding="utf-8")
        one_by_one = re.search(rf"answers\.in_full\(\w+, {claim.number}\)", source)
        several = re.search(r"answers\.opening\(judged, \[([\d, ]+)\], frame", source)
        assert one_by_one or str(claim.number) in several[1]

    def test_no_page_has_a_word_of_its_own(self):
        for name in paths.notebook_names():
            source = (paths.notebooks() / f"{name}.py").read_text(encoding="utf-8")
            assert not re.search(r"supported|contradicted|judging\.|\bword\(", source), name

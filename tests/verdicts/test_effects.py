"""Effects are those planted in measurements, and sentences say them."""

from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest

from sparseattn.experiments.runs import Run
from sparseattn.measures.nulls import null_dispersion
from sparseattn.measures.statistics import correlate
from sparseattn.results import paper, side_by_side
from sparseattn.verdicts import answers, effects

LAMS = (-10.0, 0.0, 0.5)


@pytest.fixture(scope="module")
def frame():
    """Two origins whose dispersion falls by .1 a step of λ, and by .05 more in one of them."""
    rows = []
    sparse = [("sparsegen" if lam else "sparsemax", lam) for lam in LAMS]
    for origin, task, extra in (("SST", "sst", 0.0), ("Planted (live)", "planted", 0.05)):
        for projection, lam in [("softmax", np.nan), *sparse]:
            for seed in range(2):
                for document in range(4):
                    step = 0 if np.isnan(lam) else 1 + LAMS.index(lam)
                    row = {
                        "key": f"{task}{projection}{lam}{seed}",
                        "origin": origin,
                        "task": task,
                        "encoder": "bilstm",
                        "alignment": "additive",
                        "classifier": "BiLSTM, additive",
                        "projection": projection,
                        "sparsity": projection if lam in (None, 0) else f"{projection} {lam}",
                        "lam": lam,
                        "alpha": np.nan,
                        "seed": seed,
                        "document": document,
                        "length": 16.0,
                        "logit": -2.0 + 4 * (document % 2),
                        "attention_effective": 16 * 0.5**step,
                        "influence_self_rank": 4.0,
                        "influence_self_share": 0.25,
                        "influence_top1": 0.5,
                        "influence_window_share": 0.5,
                        "influence_dispersion": 0.5 + 0.001 * document - 0.1 * step,
                    }
                    for kind in effects.KINDS:
                        row[f"effective_inputs_{kind}"] = 8.0
                        row[f"dispersion_inputs_{kind}"] = 0.9 - (0.1 + extra) * step
                        row[f"tau_inputs_{kind}"] = 0.2
                        row[f"tau_hidden_{kind}"] = 0.7
                    rows.append(row)
    return effects.derived(pd.DataFrame(rows))


def test_derived_are_shares_of_the_length_and_chance(frame):
    softmax = frame[frame["projection"] == "softmax"].iloc[0]
    assert softmax["share_attention"] == 1
    assert softmax["share_gradient"] == 0.5
    assert softmax["effective_influence"] == pytest.approx(4)
    assert softmax["relative_rank"] == pytest.approx(0.2)
    assert softmax["tenth"] == 2 / 16
    assert softmax["chance_influence_self_share"] == 1 / 16
    assert softmax["realised"] == 0
    assert (frame["size"] == 2).all()
    np.testing.assert_allclose(frame[["gap_gradient", "gap_loo"]], 0.5)


def test_derived_by_hand(frame):
    """Of one token, of two, and of eleven; rows under any names."""
    lengths = np.array([1.0, 2.0, 11.0, 21.0])
    few = frame.drop(columns=frame.columns[frame.columns.get_loc("noise") :])[:4].assign(
        attention_effective=lengths * 2 / 3,
        length=lengths,
        influence_self_rank=[1.0, 2.0, 6.0, 21.0],
    )
    few.index = pd.Index(["a", "b", "c", "d"])
    found = effects.derived(few)
    assert list(found.index) == list("abcd")
    assert found["relative_rank"].tolist() == [0, 1, 0.5, 1]
    assert found["tenth"].tolist() == [1, 1 / 2, 2 / 11, 3 / 21]
    assert set(found["half"]) == {0.5}
    noise = null_dispersion(lengths)
    np.testing.assert_array_equal(found["noise"], noise)
    shares = np.exp(noise * np.log(lengths)) / lengths
    np.testing.assert_allclose(found["share_noise"], [1.0, *shares[1:]])  # one token is all
    assert set(found["realised"]) == {0.333333333}  # a third, alike in every run
    again = effects.derived(few.assign(length=lengths.astype(int)))
    pd.testing.assert_frame_equal(again.drop(columns="length"), found.drop(columns="length"))


def test_the_papers_figures_stand_beside_origins_that_have_some(frame):
    figures = paper.table6()
    found = effects.reported(figures, frame, shape="theirs")
    known = effects.spelled(side_by_side.reported(figures, frame))
    pd.testing.assert_frame_equal(found.drop(columns="shape"), known)
    assert set(found["shape"]) == {"theirs"}
    assert set(found["origin"]) == {"SST"}
    assert effects.reported(figures, frame[frame["task"] == "planted"]) is None


def test_whole_jacobians_are_of_published_tasks_and_of_runs_without_lambda(monkeypatch):
    asked = []

    def rows(task):
        return pd.DataFrame({"task": [task], "encoder": "bilstm", "alignment": "dot",
                             "projection": "softmax", "lam": np.nan, "alpha": None, "seed": 0,
                             "document": 0, "seen_share": 0.25, "state_size": 8.0})  # fmt: skip

    monkeypatch.setattr(effects.published, "comparisons", lambda tasks: tuple(tasks))
    monkeypatch.setattr(effects.jacobians, "in_one", lambda tasks: rows(*tasks))

    def sample(runs, documents):
        asked.append(([run.spec.lam for run in runs], documents))
        return rows("planted")

    monkeypatch.setattr(effects.jacobians, "sample", sample)
    runs = [Mock(Run) for _ in range(4)]
    for run, lam in zip(runs, (None, 0.0, 0.5, 1), strict=True):
        run.spec = SimpleNamespace(lam=lam)
    found = effects.whole_jacobians(runs, ["sst", "imdb"], 3)
    assert found["origin"].tolist() == ["SST", "IMDb", "Planted (live)"]
    assert found["times_chance"].tolist() == [2.0] * 3
    effects.whole_jacobians(runs[2:], [], 5)
    assert asked == [([None, 0.0], 3), ([0.5, 1], 5)]


def test_means_are_plain_and_in_the_frames_order():
    given = pd.DataFrame({"of": ["b", "a", "b"], "x": [1.0, 5.0, 2.0], "y": [0.0, 1.0, 4.0]})
    found = effects.means(given, ["of"], ["x", "y"])
    assert found.to_dict("list") == {"of": ["b", "a"], "x": [1.5, 5.0], "y": [2.0, 1.0]}


def test_levels_average_over_what_is_not_named_and_stand_beside_chance(frame):
    rows = effects.levels(frame, effects.WHERE, effects.DISPERSION)
    means = rows.set_index(["origin", "measure"])["mean"]
    assert means["SST", "gradient"] == pytest.approx(0.9 - 0.1 * 1.5)
    assert means["Planted (live)", "leave-one-out"] == pytest.approx(0.9 - 0.15 * 1.5)
    np.testing.assert_allclose(rows["null"], frame["noise"].iloc[0])
    assert list(rows["kind"].unique()) == ["Gradient", "Leave-one-out"]
    assert list(rows["importance"].unique()) == ["inputs, gradient", "inputs, leave-one-out"]
    assert "null" not in effects.levels(frame, effects.WHERE, ["length"])


def test_without_a_row_there_is_a_frame_to_draw(frame):
    nothing = effects.levels(frame[:0], effects.OVER, effects.DISPERSION)
    assert nothing.empty
    assert {"null", "measure", "mean", "low"} <= set(nothing)
    assert answers.narrowed(nothing) == ""


def test_quantities_are_spelled_where_they_name_an_importance():
    names = ["tau_hidden_loo", "dispersion_inputs_gradient_fixed", "share_gradient", "length"]
    rows = effects.spelled(pd.DataFrame({"quantity": names}))
    assert rows["measure"].fillna("").tolist() == [
        "leave-one-out",
        "gradient, attention fixed",
        "gradient",
        "",
    ]
    assert rows["of"].fillna("").tolist() == ["hidden states", "inputs", "", ""]


def test_the_papers_gaps_are_those_of_its_table():
    table = paper.table6().set_index([*paper.CELL[:4], "quantity"])["value"]
    gaps = effects.papers_gaps()
    assert len(gaps) == len(table) / 2
    for row in gaps.to_dict("records"):
        cell = tuple(row[name] for name in paper.CELL[:4])
        kind = row["quantity"].removeprefix("gap_")
        there = table[(*cell, f"tau_hidden_{kind}")] - table[(*cell, f"tau_inputs_{kind}")]
        assert row["value"] == pytest.approx(there)


def test_the_papers_change_is_sparsemax_less_softmax_in_its_table():
    table = paper.table1().set_index([*paper.CELL[:3], "projection"])["value"]
    change = effects.papers_change()
    assert len(change) == len(table) / 2
    assert set(change["quantity"]) == {"influence_dispersion"}
    for row in change.to_dict("records"):
        cell = tuple(row[name] for name in paper.CELL[:3])
        assert row["value"] == table[(*cell, "sparsemax")] - table[(*cell, "softmax")]


def test_co_indexed_input(frame):
    own = effects.co_indexed(frame, effects.WHERE)
    place = effects.place_of_the_word(own, pd.DataFrame()).set_index("origin")
    assert place.loc["SST", "share"] == 0.25
    assert place.loc["SST", "share by chance"] == 1 / 16
    assert "first, whole Jacobian" not in place
    assert set(own["shown"]) == {words for words, _ in effects.CO_INDEXED.values()}


def test_whole_jacobians_stand_beside_lengths():
    rows = [
        {"origin": "Planted (live)", "classifier": "BiLSTM, additive", "encoder": "bilstm",
         "seed": seed, "document": document, "norm_variation": 0.1, "times_chance": 2.0,
         "norms_tau": 0.5, "norms_same_top": 1.0}
        | {f"{norm}_{name}": value for norm, value in (("influence", 0.4), ("jacobian", 0.8))
           for name in ("dispersion", "self_share", "top1", "window_share")}
        for seed in range(2) for document in range(3)
    ]  # fmt: skip
    sampled = pd.DataFrame(rows)
    agree = effects.norms_agree(sampled)
    found = agree[["norm_variation", "norms_tau", "documents"]]
    np.testing.assert_allclose(found.to_numpy(), [[0.1, 0.5, 3]])
    assert effects.norms_agree(sampled[:0]).empty
    two = pd.concat([sampled.assign(origin="SST", norms_tau=0.25, times_chance=0.00043), sampled])
    agree = effects.norms_agree(two)
    assert effects.seen(agree) == (
        "Of a BiLSTM, the length shows 0.00043 to 2 times what a random direction would, and ranks "
        "inputs as the whole Jacobian does with a τ-b of 0.25 to 0.50."
    )
    assert effects.seen(agree[:0]) == ""
    assert agree["origin"].tolist() == ["SST", "Planted (live)"]
    np.testing.assert_allclose(agree["norms_tau"], [0.25, 0.5])
    both = effects.by_norm(sampled)
    assert both.groupby("norm")["mean"].mean().to_dict() == pytest.approx(
        {"length of the state": 0.4, "whole Jacobian": 0.8}
    )
    assert [*both["shown"].unique()] == [
        "Dispersion", "Share of the co-indexed input", "How often it comes first",
        "Share within two places",
    ]  # fmt: skip
    assert set(both["who"]) == {"Planted\N{NO-BREAK SPACE}(live), BiLSTM"}
    own = pd.DataFrame({"origin": "Planted (live)", "classifier": "BiLSTM, additive",
                        "quantity": ["influence_top1"], "mean": 0.5, "null": 0.1})  # fmt: skip
    place = effects.place_of_the_word(own, sampled)
    assert place["first, whole Jacobian"].tolist() == pytest.approx([0.8])
    both = pd.concat([own.assign(origin="SST", mean=0.25), own])  # of SST no Jacobian was taken
    place = effects.place_of_the_word(both, sampled)
    assert place["origin"].tolist() == ["SST", "Planted (live)"]
    assert place["first"].tolist() == [0.25, 0.5]
    assert place["first, whole Jacobian"].tolist() == pytest.approx([np.nan, 0.8], nan_ok=True)


def test_change_under_sparsemax_is_paired_and_told(frame):
    change = effects.under_sparsemax(frame, effects.WHERE, ["influence_dispersion"])
    np.testing.assert_allclose(change["mean"], -0.2)
    assert effects.sides(change) == ("Of 2 changes, below zero by the whole interval: 2; above: 0.")
    assert effects.sides(change[:0]) == ""
    ends = {"low": [-2.0, -1, 0, 0.5, -0.5], "high": [-0.5, 0, 2.0, 0.75, 0.5]}
    assert effects.sides(pd.DataFrame(ends), "pairs") == (
        "Of 5 pairs, below zero by the whole interval: 1; above: 1."
    )
    told = answers.contextualised(change)
    theirs = effects.papers_change()["value"]
    assert f"in {(theirs < 0).sum()} of {len(theirs)} pairs." in told
    assert "in the chart it is so in 2 of 2." in told
    assert "2 exclude zero: 2 on the side of less dispersion, 0 on the side of more." in told
    pair = frame[frame["projection"].isin(effects.PAIR)]
    alone = effects.under_sparsemax(pair, effects.WHERE, ["influence_dispersion"])
    pd.testing.assert_frame_equal(alone, change)
    softmax = frame[frame["projection"] == "softmax"]
    assert effects.under_sparsemax(softmax, effects.WHERE, ["length"]).empty
    assert answers.contextualised(pd.DataFrame()) == ""


def test_captions_say_how_far_means_reach_and_how_many_lines_rise(frame):
    rows = pd.DataFrame({"shown": ["b", "a", "b"], "mean": [0.3, -0.126, 0.5]})
    assert effects.reach(rows, "shown") == "B 0.30 to 0.50; a −0.13."
    assert (
        effects.reach(rows[:0], "shown") == effects.rises(rows[:0].assign(lam=0), ["shown"]) == ""
    )
    assert effects.reach(pd.DataFrame(), "shown") == effects.rises(pd.DataFrame(), ["of"]) == ""
    lines = pd.DataFrame(
        {"of": [1, 1, 2, 2, 3], "lam": [0, -1, 0, -1, 0], "mean": [2, 1, 1, 2, 5.0]}
    )
    level = pd.DataFrame({"of": [4, 4], "lam": [0, 1], "mean": 3.0})
    for some in (lines, lines[::-1]):
        told = effects.rises(pd.concat([some, level]), ["of"])
        assert told == "From the lowest λ to the highest, 1 of 3 lines rise."
    coded = rows.assign(shown=["unfrozen", "reseeded", "unfrozen"])
    told = effects.reach(coded, "shown", of="JSD, nats")  # codes are said as people read them
    assert told == "JSD, nats, over classifiers: retrained 0.30 to 0.50; another seed −0.13."
    assert effects.reach(rows, "shown", ".1f") == "B 0.3 to 0.5; a −0.1."
    assert effects.reach(rows.rename(columns={"mean": "x"}), "shown", value="x")[:3] == "B 0"
    assert effects.rises(lines, ["of"]) == "From the lowest λ to the highest, 1 of 2 lines rise."


def test_lines_over_lambda_fall_by_what_was_planted(frame):
    graded = frame[frame["lam"].notna()]
    realised = effects.levels(graded, effects.OVER, ["share_attention"])
    assert "spread over 50% of the tokens; at the highest, over 12%" in answers.narrowed(realised)
    assert answers.narrowed(realised[realised["lam"] == 0]) == ""


def test_documents_and_realised_sparsity_keep_every_cell(frame):
    found = effects.documents(frame)
    assert list(found.index) == list(range(2 * len(frame)))
    for column, part in found.groupby("quantity"):
        assert part["dispersion"].tolist() == frame[column].tolist()
        assert part["origin"].tolist() == frame["origin"].tolist()
    points = effects.against_realised(frame, ["share_gradient", "share_loo"], "share")
    assert len(points) == 2 * 2 * 4
    assert points["origin"].tolist() == ["SST"] * 8 + ["Planted (live)"] * 8
    assert set(points["share"]) == {0.5}
    many = effects.against_realised(frame, ["share_loo", "share_gradient", "tenth"], "share")
    assert many["quantity"].tolist() == [
        name for name in ("share_loo", "share_gradient", "tenth") for _ in range(4)
    ] * 2  # fmt: skip
    assert many["sparsity"].tolist() == [*frame["sparsity"].unique()] * 6


def test_dispersion_falls_with_realised_sparsity(frame):
    found = effects.correlations(frame)
    assert set(found["axis"]) == {"with λ", "with realised sparsity"}
    assert (found["mean"] < -0.7).all()
    for axis, x in (("with λ", "lam"), ("with realised sparsity", "realised")):
        for method in ("pearson", "rank"):
            part = found[found["axis"].eq(axis) & found["method"].eq(method)]
            known = frame[frame[x].notna()]
            expected = correlate(known, effects.WHERE, x, ["dispersion_inputs_gradient"], method)
            assert part["mean"].tolist() == expected["correlation"].tolist()
    assert len(effects.correlations(frame[frame["seed"] == 0])) == len(found)  # without intervals


def test_medians_are_of_each_classifier_and_measure():
    spread = pd.DataFrame(
        [
            ("SST", "B", "loo", 0.1), ("SST", "B", "loo", 0.9), ("SST", "B", "loo", 0.3),
            ("SST", "B", "gradient", 0.8), ("IMDb", "B", "loo", 0.5), ("IMDb", "A", "loo", 0.6),
        ],
        columns=["origin", "classifier", "measure", "dispersion"],
    )  # fmt: skip
    found = effects.medians(spread)
    assert list(found.itertuples(index=False, name=None)) == [
        ("SST", "B", "loo", 0.3),
        ("SST", "B", "gradient", 0.8),
        ("IMDb", "B", "loo", 0.5),
        ("IMDb", "A", "loo", 0.6),
    ]

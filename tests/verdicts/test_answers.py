import numpy as np
import pandas as pd
import pytest
from tiny import measured

from sparseattn.results import side_by_side
from sparseattn.verdicts import answers
from sparseattn.verdicts.headline import front, headline, shares, spread_over_lambda
from sparseattn.verdicts.outcomes import CELLS

VERDICTS = pd.DataFrame({"verdict": ["supported", "unclear", "unclear"]})


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


def of_one(frame):
    return headline({"SST": frame}, {"SST": VERDICTS})


@pytest.mark.parametrize(
    ("shares", "answer"),
    [
        ((0.2, 1.0, 1.0), "No."),
        ((0.2, 0.9, 1.0), "Less than it seems."),
        ((0.2, 0.1, 1.0), "Yes, in this respect."),
        ((1.0, 1.0, 1.0), "Unclear."),
    ],
)
def test_answer_follows_the_rule(shares, answer):
    assert of_one(measurements(*shares)).startswith(f"**{answer}**")


def test_tasks_that_answer_alike_are_named_together():
    narrowing, not_so = measurements(0.2, 0.9, 1.0), measurements(0.3, 1.0, 1.0)
    frames = {"A": narrowing, "B": not_so, "C": narrowing}
    text = headline(frames, dict.fromkeys(frames, VERDICTS))
    assert text.startswith("**Less than it seems on A and C; no on B.** On A, B and C, attention")
    assert "over 20% to 30% as many tokens" in text


def test_a_claim_counts_where_all_tasks_agree():
    other = pd.DataFrame({"verdict": ["supported", "unclear", "contradicted"]})
    frames = dict.fromkeys("AB", measurements(0.2, 1.0, 1.0))
    text = headline(frames, {"A": VERDICTS, "B": other})
    assert "Of the paper's 3 claims, 1 is supported throughout, 0 are contradicted" in text
    assert "the other 2 depend on the task" in text
    assert "Of 3 claims on 2 tasks: 3 unclear, 2 supported, 1 contradicted." in text


def test_factors_are_those_planted():
    frame = measurements(0.2, 0.5, 0.9)
    assert "attention under sparsemax spreads over 20% as many tokens" in of_one(frame)
    assert "over 50% (gradient) and 90% (leave-one-out)" in of_one(frame)
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


def test_what_is_not_certain_is_said():
    assert "not certain on SST" in of_one(measurements(0.2, 0.5, 1.0))
    assert "not certain" not in of_one(measurements(0.2, 0.5, 0.9))


def test_wide_intervals_do_not_say_no():
    assert of_one(measurements(0.2, 1.0, 1.0, spread=8)).startswith("**Unclear.**")


def test_without_both_projections_there_is_no_answer():
    frame = measurements(0.2, 1.0, 1.0).query("projection == 'softmax'")
    assert "no answer to give" in of_one(frame)
    assert shares(frame).empty


def test_claims_are_judged_on_each_origin_by_itself():
    low = measured("planted").assign(influence_dispersion=0.01)
    frame = side_by_side.joined({"SST": measured("sst")}, low)
    judged = answers.judge(frame, [1, 2])
    first = judged[judged["number"] == 1].set_index("origin")["verdict"]
    assert first.to_dict() == {"SST": "supported", "Planted (live)": "contradicted"}
    assert list(judged["number"]) == [1, 1, 2, 2]
    assert answers.by_outcome(judged, 1) == (
        "supported on SST (2 for, 0 against, 0 unclear of 2); contradicted on Planted (live) "
        "(0 for, 2 against, 0 unclear of 2)"
    )
    assert answers.balance(judged, 1) == "mixed"
    assert answers.counts(judged, 1, ("up", "down")) == "2 up, 2 down, 0 unclear of 4"
    assert answers.by_outcome(judged, 2) == "not measured here on SST; not measured here on " + (
        "Planted (live)"
    )
    told = answers.rules(judged)
    for number, start in (
        (1, "The paper's Table 1 has a dispersion of"),
        (2, "The paper's Figure 2 has"),
    ):
        assert f"*Claim {number} in the paper.* {start}" in told


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([(3, 0, 1, 0), (0, 0, 4, 0), (0, 0, 4, 0), (0, 0, 4, 0)], "unclear"),  # no outvoting
        ([(6, 1, 1, 0), (2, 4, 2, 0)], "mixed"),
        ([(4, 0, 0, 0), (3, 0, 1, 0)], "supported"),
        ([(0, 4, 0, 0), (0, 0, 0, 0)], "contradicted"),
        ([(0, 1, 0, 0), (0, 0, 0, 8)], "too few seeds"),
        ([(0, 0, 0, 0)], "not measured here"),
    ],
)
def test_balance(cells, expected):
    judged = pd.DataFrame(cells, columns=list(CELLS)).assign(number=5)
    assert answers.balance(judged, 5) == expected
    others = pd.DataFrame([(9, 9, 9, 9)], columns=list(CELLS)).assign(number=4)
    assert answers.balance(pd.concat([others, judged]), 5) == expected


def test_own_texts_are_judged_alone():
    low = measured("mine.csv").assign(influence_dispersion=0.01)
    frame = side_by_side.joined({"SST": measured("sst")}, low)
    judged = answers.judge(frame, [1])
    assert list(judged["verdict"]) == ["contradicted"]
    assert answers.balance(judged, 1) == "contradicted"
    assert answers.own_texts(frame) == (
        "Judged on mine.csv (live) alone: its 4 classifiers are right on 80% of 5 test documents, "
        "where always naming the commoner class would be on 60%."
    )
    poor = side_by_side.joined({}, low.assign(correct=0.0))
    assert "explains nothing" in answers.own_texts(poor)
    assert (
        answers.own_texts(side_by_side.joined({"SST": measured("sst")}, measured("planted"))) == ""
    )


def test_the_name_of_a_file_is_no_markup():
    frame = side_by_side.joined({}, measured("<b>*mine.csv"))
    for told in (
        answers.own_texts(frame),
        answers.by_outcome(answers.judge(frame, [1]), 1),
        front({"<b>*": measurements(0.2, 0.9, 1.0)}, {"<b>*": VERDICTS}),
    ):
        assert "<" not in told
        assert "&#60;b&#62;&#42;" in told


def test_the_front_answers_from_what_is_published():
    narrowing, not_so = measurements(0.2, 0.9, 1.0), measurements(0.3, 1.0, 1.0)
    frames = {"SST": narrowing, "Planted (live)": not_so}
    told = front(frames, dict.fromkeys(frames, VERDICTS))
    assert told == headline({"SST": narrowing}, {"SST": VERDICTS})
    alone = front({"Planted (live)": not_so}, {"Planted (live)": VERDICTS})
    assert alone == headline({"Planted (live)": not_so}, {"Planted (live)": VERDICTS})


def test_the_first_source_with_several_lambdas_is_drawn_over_them():
    frame = measurements(0.2, 0.9, 1.0).assign(length=20.0, classifier="BiLSTM, dot")
    frame = frame.assign(lam=np.where(frame["projection"] == "softmax", -10.0, 0.0))
    source, rows = spread_over_lambda({"A": frame.assign(lam=0.0, seed=frame.index), "B": frame})
    assert source == "B"
    found = rows[rows["shown"] == "attention"].set_index("lam")["mean"]
    np.testing.assert_allclose(found, [0.5, 0.1], rtol=0.02)

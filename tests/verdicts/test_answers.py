from typing import get_args

import numpy as np
import pandas as pd
import pytest
from tiny import measured

from sparseattn.results import side_by_side
from sparseattn.verdicts import answers, claims, headline
from sparseattn.verdicts.judging import Word


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


def test_factors_are_those_planted():
    found = headline.narrowing(measurements(0.2, 0.5, 0.9)).set_index("of")
    np.testing.assert_allclose(found["mean"], [0.2, 0.9], rtol=0.02)
    assert (found["low"] <= found["mean"]).all()
    assert (found["mean"] <= found["high"]).all()


def test_each_classifier_counts_alike_however_many_seeds_it_has():
    """Of a task with fewer seeds none of the others is left out."""
    frame = measurements(0.2, 0.5, 0.9)
    fewer = frame[frame["seed"] < 2].assign(task="imdb")
    even = fewer["projection"] == "softmax"
    fewer["attention_effective"] = fewer["attention_effective"].where(
        even, 2 * fewer["attention_effective"]
    )
    found = headline.narrowing(pd.concat([frame, fewer])).set_index("of")["mean"]
    np.testing.assert_allclose(found["attention"], np.sqrt(0.2 * 0.4), rtol=0.02)
    single = headline.narrowing(fewer[fewer["seed"] == 0]).set_index("of")
    np.testing.assert_allclose(single["mean"], [0.4, 0.9], rtol=0.02)
    assert single[["low", "high"]].isna().all(axis=None)


def test_a_classifier_under_one_projection_is_left_out():
    """Its level is its own, and would pass for an effect of the projection."""
    frame = measurements(0.2, 0.5, 0.9)
    alone = frame[frame["projection"] == "sparsemax"].assign(alignment="dot")
    quantities = [name for name in frame if "effective" in name]
    alone[quantities] *= 100
    both = pd.concat([frame, alone])
    pd.testing.assert_frame_equal(headline.narrowing(both), headline.narrowing(frame))


READINGS = pd.DataFrame(
    {"by": ["one", "two", "three"], "verdict": ["holds", "not measured here", "reversed"]}
)


def verdicts(**more):
    """Verdicts on the seven claims, all holding; `more` of the seventh."""
    row = {"verdict": "holds", "short": "s", "value": 0.2, "low": 0.1, "high": 0.3}
    row |= {"predicted_low": -0.1, "predicted_high": 0.5, "smallest": 0.05}
    row |= {"for": 8, "against": 1, "negligible": 2, "unclear": 1, "one seed": 0}
    rows = [row | {"number": number} for number in range(1, 8)]
    rows[-1] |= more
    return pd.DataFrame(rows)


@pytest.mark.parametrize("word", get_args(Word))
def test_every_word_has_an_answer(word):
    told = headline.answer(measurements(0.2, 0.5, 0.9), verdicts(verdict=word), READINGS)
    assert told.startswith(
        f"**{headline._ANSWERS[word]}.** Under sparsemax, attention spreads over"
    )
    assert "6 hold (1, 2, 3, 4, 5 and 6)" in told or word == "holds"


def test_the_answer_has_its_size_and_how_sure_it_is():
    told = headline.answer(measurements(0.2, 0.5, 0.9), verdicts(), READINGS)
    assert "attention spreads over 20% [20%] as many tokens as under softmax" in told
    assert "(by leave-one-out) over 90% [" in told
    # Claim 7 says that agreement falls: its effect of .2 is a change of −.2.
    assert "changes by −0.20 τ on average (95 % interval −0.30 to −0.10; for one more cell" in told
    assert "anything from −0.50 to +0.10; 0.05 would matter)" in told
    assert "By other measures, the claim that it falls is reversed (three). Of" in told
    assert "of 12 cells, each a classifier on a task, it rises in 1 and falls in 8." in told
    assert told.endswith("Of the paper's 7 claims, 7 hold (1, 2, 3, 4, 5, 6 and 7).")


def test_without_both_projections_there_is_no_answer():
    frame = measurements(0.2, 1.0, 1.0).query("projection == 'softmax'")
    assert headline.narrowing(frame).empty
    nothing = verdicts(verdict="not measured here", value=np.nan)
    told = headline.answer(frame, nothing, READINGS[:0])
    assert told.startswith("**No answer here: this needs softmax and a sparse projection.** Of the")
    assert told.endswith("and 1 is not measured here (7).")


def test_the_summary_counts_what_came_out_again():
    replicated = pd.DataFrame(
        {
            "item": ["Table 1", "Table 1", "Table 2", "Table 2"],
            "here": [0.5, 0.5, 0.5, np.nan],
            "verdict": ["same", "undecided", "different", "not measured here"],
            "runs": 3,
        }
    )
    ledger = pd.DataFrame({"task": ["sst", "imdb"], "seconds": [10.0, 30.0]})
    told = headline.reproduced(replicated, ledger, verdicts(verdict="mixed"), "Yardsticks.")
    assert "3 of the paper's 4 numbers, from 2 runs on SST and IMDb" in told
    assert "1 come out the same, 1 different, 1 undecided: " in told
    assert "Table 1 comes closest (1 of 2 numbers the same)" in told
    assert "Most often different: Table 2 (1 of 1); most often undecided: Table 1 (1 of 2)." in told
    assert "Claims: 7 “s”: mixed." in told
    assert "less than 20 seconds" in told
    assert told.endswith("Yardsticks.")
    nothing = headline.reproduced(replicated[3:], ledger, verdicts(), "")
    assert nothing == "Nothing here is about the paper's own tasks."


def both():
    """SST, whose states owe to other words, and a live task whose states are their words."""
    own = measured("sst").assign(influence_self_share=0.2)
    live = measured("planted").assign(influence_self_share=0.9)
    return own, live


def test_claims_are_judged_on_each_origin_by_itself():
    own, live = both()
    frame = side_by_side.joined({"SST": own}, live)
    judged = claims.cells(frame, numbers=[1, 2])
    assert set(judged["number"]) == {1}
    found = answers.by_origin(judged).set_index("origin")
    assert found["verdict"].to_dict() == {"SST": "holds", "Planted (live)": "reversed"}
    points, means = answers.rows(judged)
    assert list(means["row"]) == ["Claim 1, SST", "Claim 1, Planted (live)"]
    assert set(points["row"]) == set(means["row"])
    assert answers.in_short(judged) == "Claim 1: holds on SST, reversed on Planted (live)."
    assert answers.in_short(judged[:0]) == "Nothing was measured."
    told = answers.in_full(judged, 1)
    assert 'id="claim-1"' in told  # where the front page leads
    assert "Planted" not in told  # it decides nothing beside a published task
    frame = side_by_side.joined({"SST": own, "IMDb": live.assign(task="imdb")}, live)
    both_tasks = answers.in_full(claims.cells(frame, numbers=[1]), 1)
    assert "By task: holds on SST (1 for, 0 against of 1); reversed on IMDb (0" in both_tasks
    assert "The paper's Table 1 has a dispersion of" in told
    assert 'href="../measures.html#measures-verdicts"' in told
    assert answers.by_origin(judged[:0]).empty
    assert "Not measured here." in answers.in_full(judged, 2)


def test_own_texts_are_judged_alone():
    own, live = both()
    low = live.assign(task="mine.csv")
    frame = side_by_side.joined({"SST": own}, low)
    assert ">reversed</span>" in answers.in_full(claims.cells(frame, numbers=[1]), 1)
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
    own, _ = both()
    frame = side_by_side.joined({"SST": own}, own.assign(task="<b>*mine.csv"))
    tasks = side_by_side.joined({"SST": own, "<b>*": own.assign(task="imdb")}, own[:0])
    for told in (answers.own_texts(frame), answers.in_full(claims.cells(tasks, numbers=[1]), 1)):
        assert "<b>" not in told
        assert "&#60;b&#62;&#42;" in told

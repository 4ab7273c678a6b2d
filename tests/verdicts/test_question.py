"""The question on simulated worlds: the word must be what was put in."""

import numpy as np
import pandas as pd
import pytest
from worlds import world

from sparseattn.charts import forest
from sparseattn.verdicts import question
from sparseattn.verdicts.judging import judge


def words(frame, chance=False):
    return question.verdicts(question.cells(frame, chance)).set_index("test")["verdict"]


@pytest.mark.parametrize(
    ("gain", "word"), [(0.2, "holds"), (-0.2, "reversed"), (0.0, "negligible")]
)
def test_the_word_is_what_was_put_in(gain, word):
    found = words(world(gain))
    assert found["Without its words the decision falls"] == word
    assert found["The decision can be told from its words"] == word
    assert found["A weight on a state is one on its word"] == "negligible"


def test_a_text_that_no_order_moves_cannot_move_a_test():
    frame = world(0.2)
    room = frame["comprehensiveness_most"].where(frame["document"] > 0, 0.1 + 1e-5)
    value = frame["comprehensiveness_attention"].where(frame["document"] > 0, -1e4)
    odd = frame.assign(comprehensiveness_most=room, comprehensiveness_attention=value)
    assert words(question.derived(odd))["Without its words the decision falls"] == "holds"


def test_half_and_half_is_mixed():
    both = [world(0.2, tasks=("sst",)), world(-0.2, tasks=("imdb",))]
    assert words(pd.concat(both))["Without its words the decision falls"] == "mixed"


def test_one_seed_is_too_few():
    assert set(words(world(0.2, seeds=1))) == {"too few data"}


@pytest.mark.parametrize(("above", "word"), [(0.2, "holds"), (0.0, "negligible")])
def test_against_chance(above, word):
    found = words(world(above=above), chance=True)
    assert found["Without its words the decision falls"] == word
    assert "A weight on a state is one on its word" not in found  # there is no chance level


@pytest.mark.parametrize(
    ("gain", "told"),
    [
        (0.2, "In 3 of 5 tests; no different in 2"),
        (-0.2, "No; no different in 2; worse in 3"),
        (0.0, "No"),
    ],
)
def test_the_answer_counts_what_most_tests_say_and_names_the_others_once(gain, told):
    """Two tests do not depend on the projection, so sparsity never helps in all."""
    effects = question.cells(world(gain))
    above = question.cells(world(gain), chance=True)
    said = question.in_words(question.verdicts(effects), question.verdicts(above))
    assert said.startswith(f"**Is sparse attention the better explanation? {told}.**")
    first = said.partition("\n")[0]
    found = question.verdicts(effects)
    most = found.groupby("verdict")["test"].transform("size") > len(found) / 2
    assert most.any()
    for test, counted in zip(found["test"], most, strict=True):
        assert first.count(test[1:]) == (0 if counted else 1)


ANSWERS = {
    "Yes": [["holds"], ["holds on average", "holds"]],
    "No": [["reversed"], ["reversed on average"], ["negligible"], ["does not hold"]],
    "No; worse in 1; mixed in 1": [["mixed", "reversed"]],
    "No; no better in 1; not certain in 1": [["does not hold", "too few data"]],
    "No; no different in 1; not certain in 1": [["negligible", "too few data"]],
    "Not certain": [["too few data"]],
    "Not certain; worse in 1; not certain in 2": [["reversed", "too few data", "too few data"]],
    "In none of 2 tests; mixed in 2": [["mixed", "mixed"]],
    "In none of 2 tests; no worse in 2": [["not reversed", "not reversed"]],
    "In none of 2 tests; mixed in 1; not certain in 1": [["mixed", "too few data"]],
    "In none of 3 tests; no worse in 2; worse in 1": [["not reversed", "reversed", "not reversed"]],
    "In 1 of 2 tests; no different in 1": [["holds", "negligible"]],
    "In 1 of 2 tests; not certain in 1": [["holds on average", "too few data"]],
    "In 1 of 3 tests; worse in 1; mixed in 1": [["mixed", "holds", "reversed on average"]],
    "In 1 of 3 tests; no worse in 1; not certain in 1": [
        ["too few data", "holds", "not reversed"]
    ],
}  # fmt: skip


def judged(words, value=7.4):
    return pd.DataFrame(
        {"test": [f"Test {place}" for place, _ in enumerate(words)], "verdict": words,
         "value": value, "low": value - 2, "high": value + 2, "unit": "points of AUC"}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("verdicts", "told"), [(each, told) for told, every in ANSWERS.items() for each in every]
)
def test_the_answer_is_what_the_words_say_in_any_order(verdicts, told):
    said = (
        "**Is sparse attention the better explanation? {}.** Sparsemax against softmax, over {}: "
    )
    for words in (verdicts, verdicts[::-1]):
        answer = question.in_words(judged(words), judged(["holds"]))
        assert answer.startswith(said.format(told, f"{len(words)} tests"))


def test_the_answer_as_it_reads():
    better = judged(["holds", "too few data"]).assign(value=[7.4, np.nan])
    assert question.in_words(better, judged(["reversed"], -0.4), " By luck.") == (
        "**Is sparse attention the better explanation? In 1 of 2 tests; not certain in 1.** "
        "Sparsemax against softmax, over 2 tests: *better* in 1 (test 0: +7.4 [5.4 to 9.4] points)"
        "; *not certain* in 1 (test 1). By luck.\n\n**Is it one at all?** Sparsemax attention "
        "against chance, over the 1 tests that have one: *worse than chance* in 1 (test 0: −0.4 "
        "points)."
    )
    most = judged(["holds", "too few data", "holds"]).assign(value=[7.44, np.nan, 12.0])
    assert question.said(most) == "*better* in 2 (by +7.4 to +12.0 points); *not certain* in 1 " + (
        "(test 1)"
    )
    most = judged(["too few data", "negligible", "too few data"])
    assert question.said(most, chance=True) == (
        "*as good as chance* in 1 (test 1: +7.4 points); *not certain* in 2"
    )
    bounded = judged(["holds", "not reversed", "not reversed"]).assign(value=[7.4, 1.0, 2.5])
    assert question.said(bounded.assign(verdict=["too few data", *bounded["verdict"][1:]])) == (
        "*no worse* in 2 (by +1.0 to +2.5 points); *not certain* in 1 (test 0)"
    )
    bounded = pd.concat([bounded, judged(["mixed"])], ignore_index=True)
    assert "*no worse* in 2 (test 1; test 2: +1.0 to +2.5 points); " in question.said(bounded)
    bounded = judged(["does not hold", "holds"])
    assert (
        question.in_words(bounded, bounded).count(
            " No better: if at all, on average by less than the 5 points that would matter."
        )
        == 1
    )
    assert question.in_words(better[:0], better) == (
        "**No answer here**: this needs softmax and a sparse projection."
    )


def test_each_test_is_judged_by_itself_with_what_the_page_shows_of_it():
    effects = question.cells(world(0.2))
    found = question.verdicts(effects)
    assert list(found["test"]) == [one.name for one in question.TESTS if one.name in
                                   set(effects["test"])]  # fmt: skip
    for row in found.to_dict("records"):
        test = next(one for one in question.TESTS if one.name == row["test"])
        assert [row[name] for name in ("unit", "anchor", "statement")] == [
            test.unit, test.anchor, test.statement
        ]  # fmt: skip
        alone = judge(effects[effects["test"] == row["test"]], question.SMALLEST)
        assert {name: row[name] for name in alone} == pytest.approx(alone, nan_ok=True)
        assert row["smallest"] == question.SMALLEST


def test_without_a_projection_to_compare_there_is_no_answer():
    frame = world()
    effects = question.cells(frame[frame["projection"] == "softmax"])
    assert effects.empty
    none = question.verdicts(effects)
    assert "No answer here" in question.in_words(none, none)
    assert question.rows(effects, "page")[1].empty


def test_what_attention_leaves_out_is_said_in_numbers():
    said = question.left_out(world())
    assert "75% of the words" in said
    assert "50% of all effect" in said
    assert "(4 classifiers, sst and imdb)" in said


def test_the_forest_draws_what_was_judged():
    cells, means = question.rows(question.cells(world(0.2)), "05-truth")
    assert set(means["page"]) <= {f"05-truth.html#{test.anchor}" for test in question.TESTS}
    assert forest(cells, means).to_dict()


def test_parts_of_what_nobody_measured_are_none():
    assert question.parts(world(), {"nobody": "Nobody"}).empty
    assert set(question.parts(world(), {"simulated_random": "Random"})["part"]) == {"Random"}


def test_levels_leave_out_what_nobody_measured():
    found = question.levels(world(), "evidence_auc_{}", ["task", "encoder", "projection"])
    assert set(found["shown"]) == {"Attention", "Leave-one-out", "Random"}
    assert question.levels(world(), "sentiment_auprc_{}", ["task"]).empty


def test_what_hangs_on_one_classifier_is_said():
    name = "Without its words the decision falls"

    def told(frame):
        return question.with_one_less(question.cells(frame)).set_index("test").loc[name, "one_less"]

    both = [world(0.2, tasks=("sst",)), world(-0.2, tasks=("imdb",))]
    assert told(both[0]) == "better in 2"
    assert told(pd.concat(both)) == "better for some and worse for others in 4"
    one = both[0].query("encoder == 'bilstm'")
    other = both[1].query("encoder == 'bilstm'")
    assert told(pd.concat([one, other])) == "worse in 1; better in 1"
    assert told(one) is None
    assert told(world(0.2, seeds=1)) is None


def test_which_texts_decide_is_said():
    planted, real = world(tasks=("planted",)), world(tasks=("sst", "imdb"))
    real = real[(real["task"] == "sst") | (real["seed"] == 0)]
    effects = question.cells(pd.concat([planted, real.drop(columns="evidence_auc_attention")]))
    assert question.judged_on(effects) == (
        "Judged on the texts of: *finds the words that decide* on planted alone; the others on sst "
        "alone; imdb, of one seed, does not count."
    )
    assert question.judged_on(effects[effects["seeds"] == 1]) == ""
    # Whatever comes first, what most tests are judged on comes last.
    assert question.judged_on(effects[::-1]).startswith("Judged on the texts of: *finds the words")


def test_planted_tasks_decide_on_the_truth_alone():
    """Beside real texts; by themselves they are all there is."""
    planted, real = world(-0.2, tasks=("planted",)), world(0.2)
    found = words(pd.concat([planted, real]))
    assert found["Without its words the decision falls"] == "holds"
    assert found["Finds the words that decide"] == "mixed"
    assert words(planted)["Without its words the decision falls"] == "reversed"


def test_a_classifier_that_did_not_learn_the_task_tests_nothing():
    assert "Finds the words that decide" not in words(world(accuracy=0.5))
    assert "Few words carry the effect" in words(world(accuracy=0.5))


def test_what_attention_attains_is_of_the_same_documents_and_classifiers_of_several_seeds():
    frame = world(gain=0.1).assign(without_inputs_loo=0.9)
    single = world(gain=-0.3, tasks=("other",), seeds=1)
    half = world(tasks=("half",)).query("projection == 'softmax'")
    found = question.attained(pd.concat([frame, single, half])).set_index("test").round(2)
    assert list(found.loc["Without its words the decision falls"]) == [0.6, 0.7, 0.4, 0.9]
    assert list(found.loc["Few words carry the effect"])[:3] == [0.2, 0.2, 0.1]
    alone = question.attained(single).set_index("test").round(1)
    assert alone["sparsemax"]["Without its words the decision falls"] == 0.3
    assert alone["loo"].isna()["Without its words the decision falls"]
    assert question.attained(half).empty


def test_how_good_it_is_is_the_way_from_chance_to_leave_one_out():
    names = ["test", "sparsemax", "chance", "loo"]
    rows = [
        ("A", 0.5, 0.4, 0.9),
        ("B", 0.3, 0.4, 0.6),
        ("C", 0.9, 0.5, 0.5),
        ("D", 1.0, 0.0, np.nan),
    ]
    found = pd.DataFrame(rows, columns=names)
    assert question.reached(found) == (
        "**How good is it?** Of the way from chance to leave-one-out, sparsemax's attention comes "
        "−50% (b) to 20% (a), over the 2 tests that leave-one-out can take too."
    )
    assert "comes 20% (a), over one test" in question.reached(found[:1])
    assert question.reached(found[2:]) == ""


def test_attended_words_beside_all_words():
    found = pd.DataFrame(
        [
            {"origin": "SST", "classifier": who, "quantity": f"{what}_inputs_{kind}", "mean": mean}
            for who, all_words, attended in (("a", 0.2, 0.3), ("b", 0.4, 0.1))
            for kind in ("loo", "gradient")
            for what, mean in (("tau", all_words), ("tau_attended", attended))
        ]
    ).assign(part="Part")
    told = question.within_support(found)
    assert told.startswith(
        "By leave-one-out τ-b is higher among the attended words in 1 of 2 classifiers, and lower "
        "in 1; by gradient"
    )
    assert question.within_support(found[:0]) == ""

"""The question on simulated worlds: the word must be what was put in."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from sparseattn.charts import forest
from sparseattn.verdicts import question
from sparseattn.verdicts.judging import judge

TASKS, ENCODERS = ("sst", "imdb"), ("bilstm", "transformer")


def world(gain=0.0, above=0.2, tasks=TASKS, seeds=3, accuracy=1.0):
    """Return examinations in which attention is `above` chance, and sparsemax `gain` better."""
    return _world(gain, above, tasks, seeds, accuracy).copy()


@cache
def _world(gain, above, tasks, seeds, accuracy, documents=40, noise=0.02):
    rng = np.random.default_rng(0)
    rows = []
    for task in tasks:
        for encoder in ENCODERS:
            for seed in range(seeds):
                common = rng.normal(0, noise, documents)
                for projection in ("softmax", "sparsemax"):
                    more = gain if projection == "sparsemax" else 0.0
                    for document in range(documents):
                        level = 0.4 + above + more + common[document] + rng.normal(0, noise)
                        rows.append(
                            {
                                "key": f"{task}{encoder}{projection}{seed}",
                                "task": task,
                                "origin": task,
                                "encoder": encoder,
                                "alignment": "additive",
                                "projection": projection,
                                "sparsity": projection,
                                "lam": 0.0 if projection == "sparsemax" else np.nan,
                                "alpha": None,
                                "seed": seed,
                                "document": document,
                                "comprehensiveness_attention": level,
                                "comprehensiveness_random": 0.4,
                                "simulated_attention": level,
                                "simulated_random": 0.4,
                                "effect_beyond_tenth": 0.8,
                                "beyond_tenth_share": 0.9,
                                "effect_unattended": 0.5,
                                "unattended_share": 0.75,
                                "accuracy": accuracy,
                                "flow_itself": 0.25,
                                "flow_context": 0.5,
                                "flow_attention": 0.25,
                                "evidence_auc_attention": level,
                                "evidence_auc_inputs_loo": 0.95 + rng.normal(0, 0.01),
                                "evidence_auc_random": 0.5 + rng.normal(0, 0.05),
                            }
                        )
    return question.derived(pd.DataFrame(rows))


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


@pytest.mark.parametrize(("gain", "told"), [(0.2, "In 3 of 5 tests"), (-0.2, "No"), (0.0, "No")])
def test_the_answer_names_each_test_once_and_sizes(gain, told):
    """Two tests do not depend on the projection, so sparsity never helps in all."""
    effects = question.cells(world(gain))
    above = question.cells(world(gain), chance=True)
    said = question.answer(question.verdicts(effects), question.verdicts(above))
    assert said.startswith(f"**Is sparse attention the better explanation? {told}.**")
    first = said.partition("\n")[0]
    for test in effects["test"].unique():
        assert first.count(test[1:]) == 1


ANSWERS = {
    "Yes": [["holds"], ["holds on average", "holds"]],
    "No": [["reversed"], ["reversed on average"], ["negligible"], ["mixed", "reversed"]],
    "No; in 1 it is not certain": [["negligible", "too few data"]],
    "Not certain": [["too few data"], ["mixed"], ["mixed", "too few data"]],
    "In 1 of 2 tests": [["holds", "negligible"], ["mixed", "holds"]],
    "In 1 of 2 tests; in 1 it is not certain": [["holds on average", "too few data"]],
    "In 1 of 2 tests, and the worse in 1": [["holds", "reversed"]],
    "In 1 of 3 tests, and the worse in 1": [["mixed", "holds", "reversed on average"]],
    "In 1 of 3 tests, and the worse in 1; in 1 it is not certain": [
        ["too few data", "holds", "reversed on average"]
    ],
}  # fmt: skip


def judged(words, value=7.4):
    return pd.DataFrame(
        {"test": [f"Test {place}" for place, _ in enumerate(words)], "verdict": words,
         "value": value, "unit": "points of AUC"}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("verdicts", "told"), [(each, told) for told, every in ANSWERS.items() for each in every]
)
def test_the_answer_is_what_the_words_say_in_any_order(verdicts, told):
    said = (
        "**Is sparse attention the better explanation? {}.** Sparsemax against softmax, over {}: "
    )
    for words in (verdicts, verdicts[::-1]):
        answer = question.answer(judged(words), judged(["holds"]))
        assert answer.startswith(said.format(told, f"{len(words)} tests"))


def test_the_answer_as_it_reads():
    better = judged(["holds", "too few data"]).assign(value=[7.4, np.nan])
    assert question.answer(better, judged(["reversed"], -0.4)) == (
        "**Is sparse attention the better explanation? In 1 of 2 tests; in 1 it is not certain.** "
        "Sparsemax against softmax, over 2 tests: *better* in 1 (test 0: +7 points); *not certain* "
        "in 1 (test 1).\n\n**Is it one at all?** Sparsemax attention against chance: *worse "
        "than chance* in 1 (test 0: +0 points)."
    )
    assert question.answer(better[:0], better) == (
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
    assert "No answer here" in question.answer(none, none)
    assert question.rows(effects, "page")[1].empty


def test_a_measure_passes_only_where_it_was_tested_and_surely_above_the_bar():
    frame = world(tasks=(*question.SINGLE, *question.BESIDE), above=0.2)
    found = question.passing(frame).set_index("name")
    assert found["passes"].to_dict() == {
        "inputs_loo": "passes", "attention": "fails", "random": "fails"
    }  # fmt: skip
    said = question.passed(question.passing(frame))
    assert said.startswith("Leave-one-out passes: AUC surely above 0.75 everywhere.")
    for part in (frame[frame["task"].isin(question.SINGLE)], frame[frame["encoder"] == "bilstm"]):
        assert set(question.passing(part)["passes"]) == {"passes so far", "fails"}
        assert "not every encoder learned both" in question.passed(question.passing(part))


def aucs(**means):
    """Examinations of two seeds and documents with these AUC, a cell for each task and encoder.

    Beside them a task where nothing decides, and an encoder without attention, both of AUC 0.
    """
    rows = [
        {"task": task, "origin": task, "encoder": encoder, "sparsity": "softmax", "seed": seed,
         "document": document,
         **{f"evidence_auc_{name}": auc + (0.01 * (-1) ** seed if auc == 0.8 else 0)
            for name, auc in (means if encoder != "none" and task != "imdb"
                              else dict.fromkeys(means, 0.0)).items()}}
        for task in (*question.SINGLE, *question.BESIDE, "imdb")
        for encoder in (*ENCODERS, "none") for seed in (0, 1) for document in (0, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_passing_by_hand(monkeypatch):
    found = question.passing(aucs(attention=0.75, inputs_loo=0.875, random=0.25))
    where = "Planted, BiLSTM, softmax"
    assert found.to_dict("records") == [
        {"name": "inputs_loo", "shown": "Leave-one-out", "lowest": 0.875, "low": 0.875,
         "where": where, "cells": 8, "sure": 8, "passes": "passes"},
        {"name": "attention", "shown": "Attention", "lowest": 0.75, "low": 0.75,
         "where": where, "cells": 8, "sure": 0, "passes": "fails"},  # at the bar is not above it
        {"name": "random", "shown": "Random", "lowest": 0.25, "low": 0.25,
         "where": where, "cells": 8, "sure": 0, "passes": "fails"},
    ]  # fmt: skip
    assert list(found.index) == [0, 1, 2]
    one = question.passing(aucs(inputs_loo=0.8))
    assert one["low"].item() < 0.8
    monkeypatch.setattr(question, "BAR", one["low"].item())
    at_the_bar = question.passing(aucs(inputs_loo=0.8))
    assert at_the_bar[["passes", "sure"]].to_numpy().tolist() == [["not certain", 0]]
    monkeypatch.setattr(question, "BAR", one["low"].item() - 1e-9)
    assert question.passing(aucs(inputs_loo=0.8))["passes"].item() == "passes"
    lower = aucs(inputs_loo=0.05).assign(evidence_auc_inputs_loo=lambda rows: 0.05 * rows["seed"])
    assert question.passing(lower)["low"].item() == 0  # not below the scale
    for nothing in (pd.DataFrame(), aucs(inputs_loo=0.9).query("task == 'imdb'")):
        assert question.passing(nothing).empty


def test_where_no_measure_passes_the_nearest_is_named_and_where_it_is_lowest():
    frame = world(tasks=(*question.SINGLE, *question.BESIDE), above=0.2)
    worst = (frame["task"] == "sst+beside") & (frame["encoder"] == "bilstm")
    worst &= frame["projection"] == "softmax"
    frame["evidence_auc_inputs_loo"] = frame["evidence_auc_inputs_loo"].mask(worst, 0.6)
    found = question.passing(frame)
    assert set(found["passes"]) == {"fails"}
    row = found.set_index("name").loc["inputs_loo"]
    assert row["sure"] == row["cells"] - 1
    assert question.passed(found).startswith(
        f"**No measure surely passes everywhere.** Leave-one-out comes nearest: AUC surely above "
        f"0.75 in {row['sure']} of {row['cells']} cells, and lowest (0.60) in {row['where']}. In "
    )
    # Seeds far apart, each above the bar, leave it open.
    apart = frame["evidence_auc_inputs_loo"].mask(worst, 0.8 + 0.15 * (frame["seed"] % 2))
    unsure = question.passing(frame.assign(evidence_auc_inputs_loo=apart)).set_index("name")
    assert unsure.loc["inputs_loo", "passes"] == "not certain"
    assert 0 <= unsure.loc["inputs_loo", "low"] <= question.BAR


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


def test_planted_tasks_decide_on_the_truth_alone():
    """Beside real texts; by themselves they are all there is."""
    planted, real = world(-0.2, tasks=("planted",)), world(0.2)
    found = words(pd.concat([planted, real]))
    assert found["Without its words the decision falls"] == "holds"
    assert found["Finds the words that decide"] == "mixed"
    assert words(planted)["Without its words the decision falls"] == "reversed"


def test_a_classifier_that_did_not_learn_the_task_tests_nothing():
    assert question.passing(world(tasks=question.SINGLE, accuracy=0.5)).empty
    assert "Finds the words that decide" not in words(world(accuracy=0.5))
    assert "Few words carry the effect" in words(world(accuracy=0.5))


def test_how_good_it_is_is_told_beside_chance_and_the_best():
    frame = world().assign(comprehensiveness_inputs_loo=0.9)
    said = question.reached(frame)
    assert "without its words the decision falls: 0.60 (chance 0.40, 0.90)" in said
    assert question.reached(frame[frame["projection"] == "softmax"]) == ""

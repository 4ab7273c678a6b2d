import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.optimize import minimize

from sparseattn.measures.simulability import most_important, simulated

LENGTHS = np.array([4, 2, 3])
IMPORTANCE = np.array([[0.1, 0.4, 0.4, 0.0], [0.2, 0.1, 9.0, 9.0], [np.nan, 1.0, 2.0, 0.0]])
TIES = np.array([[0.0, 0.1, 0.9, 0.0], [0.0, 0.0, 5.0, 5.0], [0.1, 0.2, 0.3, 0.0]])


def test_the_most_important_of_a_case_by_hand():
    chosen = most_important(IMPORTANCE, LENGTHS, np.array([1, 1, 1]), TIES)
    assert_array_equal(chosen, [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("k", [0, 1, 3, 10])
def test_as_many_are_chosen_as_asked_or_there(k):
    chosen = most_important(IMPORTANCE[:2], LENGTHS[:2], np.array([k, k]), TIES[:2])
    assert_array_equal(chosen.sum(axis=1), np.minimum(k, LENGTHS[:2]))


def documents(count, seed):
    """Word 1 or 2 decides; it stands anywhere among words that say nothing."""
    rng = np.random.default_rng(seed)
    decisions = rng.random(count) < 0.5
    words = [rng.integers(3, 40, 10) for _ in range(count)]
    places = rng.integers(0, 10, count)
    for one, place, decision in zip(words, places, decisions, strict=True):
        one[place] = 1 + decision
    told = np.zeros((count, 10), dtype=bool)
    told[np.arange(count), places] = True
    return words, told, decisions


def test_a_student_learns_from_what_decides_and_from_nothing_else():
    """The positive control, and the null: the other words."""
    words, told, decisions = documents(300, 0)
    asked, told_there, right = documents(300, 1)
    assert_array_equal(simulated(words, told, decisions, asked, told_there), right)
    blind = simulated(words, ~told, decisions, asked, ~told_there)
    assert 0.4 < (blind == right).mean() < 0.6


def test_a_student_taught_one_decision_knows_no_other():
    words, told, _ = documents(20, 0)
    assert simulated(words, told, np.ones(20, dtype=bool), words, told).all()
    assert not simulated(words, told, np.zeros(20, dtype=bool), words, told).any()


def test_the_order_of_words_says_nothing():
    words, told, decisions = documents(100, 0)
    back = [one[::-1] for one in words], told[:, ::-1]
    assert_array_equal(
        simulated(words, told, decisions, words, told), simulated(*back, decisions, *back)
    )


def taught(seen, decisions, asked, strength):
    """Decide by the logistic regression of least strength · loss + |w|² / 2, found by scipy."""
    sides = np.where(decisions, 1.0, -1.0)

    def objective(weights):
        loss = np.logaddexp(0, -sides * (seen @ weights[1:] + weights[0])).sum()
        return strength * loss + (weights[1:] ** 2).sum() / 2

    found = minimize(objective, np.zeros(seen.shape[1] + 1)).x
    return asked @ found[1:] + found[0] > 0


def test_the_student_is_the_one_that_is_stated():
    """Where words err, how much it heeds them matters."""
    rng = np.random.default_rng(0)
    words = [rng.integers(0, 12, 4) for _ in range(60)]
    told = rng.random((60, 4)) < 0.6
    seen = np.array(
        [np.isin(np.arange(12), one[row]) for one, row in zip(words, told, strict=True)]
    )
    decisions = seen @ rng.normal(size=12) + rng.normal(size=60) > 0
    found = simulated(words[:40], told[:40], decisions[:40], words, told)
    assert_array_equal(found, taught(seen[:40], decisions[:40], seen, 10.0))
    assert (found != taught(seen[:40], decisions[:40], seen, 1.0)).any()


def test_without_a_word_the_commoner_decision_is_named():
    empty, none = [np.zeros(0, dtype=np.int64)] * 3, np.zeros((3, 0), dtype=bool)
    assert simulated(empty, none, np.array([True, False, True]), empty, none).all()

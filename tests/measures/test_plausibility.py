from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from sparseattn.errors import UserError
from sparseattn.measures.per_document import mass_on, precision_at_k
from sparseattn.measures.plausibility import (
    MEASURES,
    against_people,
    auprc,
    ceiling,
    mass,
    plausibility,
    token_f1,
)


def row(*values):
    return np.array([values], dtype=float)


def one(measure, marks, importance):
    """A measure of a single document without padding."""
    return float(measure(row(*marks), row(*importance), np.array([len(marks)]))[0])


@st.composite
def documents(draw, marks=(0.0, 1.0), importance=(0.0, 0.25, 0.5, 1.0, 3.0)):
    count, n = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    m = draw(arrays(np.float64, (count, n), elements=st.sampled_from(marks)))
    a = draw(arrays(np.float64, (count, n), elements=st.sampled_from(importance)))
    return m, a, draw(arrays(np.int64, count, elements=st.integers(0, n)))


def slow(measure, marks, importance):
    """Average over all orders of the words that leave the important ones first."""
    found = []
    for order in permutations(range(len(marks))):
        if all(np.diff([importance[i] for i in order]) <= 0):
            ranked = np.array([marks[i] for i in order])
            found.append(measure(ranked))
    return np.mean(found)


def slow_auprc(ranked):
    return sum(ranked[: k + 1].mean() * ranked[k] for k in range(len(ranked))) / ranked.sum()


def slow_f1(ranked):
    k = max(1, int(ranked.sum() + 0.5))
    return 2 * ranked[:k].sum() / (k + ranked.sum())


def test_by_hand():
    marks, importance = (1, 0, 1, 0), (0.4, 0.3, 0.2, 0.1)
    assert one(auprc, marks, importance) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert one(token_f1, marks, importance) == pytest.approx(1 / 2)  # the first of two
    assert one(mass, marks, importance) == pytest.approx(0.6)
    # Two people: both marked the first word, one the second; k = 2, of a mark of 3/2.
    graded = (1, 0.5, 0)
    assert one(auprc, graded, (3, 2, 1)) == pytest.approx((1 * 1 + 0.75 * 0.5) / 1.5)
    assert one(token_f1, graded, (3, 2, 1)) == pytest.approx(2 * 1.5 / 3.5)
    assert one(mass, graded, (3, 2, 1)) == pytest.approx((3 + 1) / 6)


@pytest.mark.parametrize("measure", [auprc, token_f1])
def test_right_order_is_best_and_wrong_order_worst(measure):
    marks = (0, 1, 1, 0, 0)
    orders = [one(measure, marks, order) for order in permutations(range(5))]
    assert max(orders) == one(measure, marks, marks) == 1
    assert min(orders) == one(measure, marks, (4, 1, 0, 3, 2))


@given(documents())
def test_without_ties_it_is_sklearns(drawn):
    marks, _, lengths = drawn
    importance = np.random.default_rng(0).permuted(np.ones(marks.shape).cumsum(1), axis=1)
    found = auprc(marks, importance, lengths)
    for m, a, n, value in zip(marks, importance, lengths, found, strict=True):
        if 0 < m[:n].sum() < n:
            assert value == pytest.approx(average_precision_score(m[:n], a[:n]))
        else:
            assert np.isnan(value)


@given(documents(marks=(0.0, 0.25, 0.5, 1.0)))
def test_under_ties_it_is_the_mean_over_orders(drawn):
    marks, importance, lengths = drawn
    for measure, other in ((auprc, slow_auprc), (token_f1, slow_f1)):
        found = measure(marks, importance, lengths)
        for m, a, n, value in zip(marks, importance, lengths, found, strict=True):
            if n and np.ptp(m[:n]):
                assert value == pytest.approx(slow(other, m[:n], a[:n]))
            else:
                assert np.isnan(value)


@given(documents())
def test_what_exists_already_agrees(drawn):
    marks, importance, lengths = drawn
    known = ~np.isnan(token_f1(marks, importance, lengths))
    np.testing.assert_allclose(
        token_f1(marks, importance, lengths)[known],
        precision_at_k(marks, importance, lengths)[known],
    )
    np.testing.assert_allclose(
        mass(marks, importance, lengths)[known],
        mass_on(marks > 0, importance, lengths)[known],
    )


@given(documents(marks=(0.0, 0.5, 1.0)), st.sampled_from([np.nan, 0.5, 7.0]))
def test_padding_is_ignored(drawn, filling):
    marks, importance, lengths = drawn
    beyond = np.arange(marks.shape[1]) >= lengths[:, None]
    for measure in MEASURES.values():
        np.testing.assert_array_equal(
            measure(marks, importance, lengths),
            measure(
                np.where(beyond, filling, marks), np.where(beyond, filling, importance), lengths
            ),
        )


def test_a_random_importance_is_at_chance():
    rng = np.random.default_rng(0)
    marks = np.tile((rng.random(12) < 0.3).astype(float), (20_000, 1))
    found = plausibility(marks, rng.random(marks.shape), np.full(len(marks), 12))
    share = marks[0].mean()
    for name in MEASURES:
        error = found[name].std() / len(marks) ** 0.5
        assert abs(found[name].mean() - found[f"{name}_chance"].mean()) < 4 * error
        assert found[name].std() > 0.01
    assert found["mass_chance"][0] == found["token_f1_chance"][0] == pytest.approx(share)
    # In short documents average precision is by chance above the share of marked words.
    n, s = 12, marks[0].sum()
    h = (1 / np.arange(1, n + 1)).sum()
    expected = (h + (s - 1) / (n - 1) * (n - h)) / n
    assert found["auprc_chance"][0] == pytest.approx(expected)
    assert expected > share


def test_undefined_is_nan():
    lengths = np.array([3, 3, 3, 0, 2])
    marks = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 0, 0], [1, 0, 1]], dtype=float)
    importance = np.array([[1, 2, 3], [1, 2, 3], [1, np.nan, 0], [0, 0, 0], [0, 0, 5]], dtype=float)
    found = plausibility(marks, importance, lengths)
    assert found.iloc[:4].isna().all().all()
    assert found.loc[4, ["auprc", "token_f1"]].notna().all()
    assert np.isnan(found.loc[4, "mass"])  # no importance on its two words
    assert np.isnan(found.loc[4, "mass_chance"])


def test_wrong_input_is_refused():
    three = np.array([3])
    with pytest.raises(UserError, match=r"outside \[0, 1\]"):
        auprc(row(0, 2, 1), row(1, 2, 3), three)
    with pytest.raises(UserError, match="a row holds 2"):
        auprc(row(0, 1), row(1, 2), three)
    with pytest.raises(UserError, match="negative"):
        mass(row(0, 1, 1), row(1, -2, 3), three)
    with pytest.raises(UserError, match="one column"):
        against_people([np.ones((2, 4), bool)], row(1, 2, 3), three)


def test_identical_persons_reach_one_and_random_ones_chance():
    rng = np.random.default_rng(0)
    lengths = rng.integers(4, 15, 300)
    alike, apart = [], []
    for n in lengths:
        marked = np.arange(n) < rng.integers(1, n)
        alike.append(np.tile(marked, (4, 1)))
        apart.append(np.array([rng.permutation(marked) for _ in range(4)]))
    top = ceiling(alike, lengths)
    np.testing.assert_allclose(top[["auprc", "token_f1", "mass"]], 1)
    by_chance = ceiling(apart, lengths)
    for name in MEASURES:
        gain = by_chance[name] - by_chance[f"{name}_chance"]
        assert abs(gain.mean()) < 4 * gain.std() / len(gain) ** 0.5


def test_ceiling_by_hand():
    # Three people, four words. Of the last one the others' mean marks are 1, ½, 0, ½.
    people = np.array([[1, 1, 0, 0], [1, 0, 0, 1], [0, 1, 0, 0]], dtype=bool)
    lengths = np.array([4])
    each = [
        one(token_f1, people[i], people[[j for j in range(3) if j != i]].mean(0)) for i in range(3)
    ]
    found = ceiling([people], lengths)
    assert found["token_f1"][0] == pytest.approx(np.mean(each))
    assert each[2] == 0  # the first word is marked by both others, the second by one
    assert found["mass"][0] == pytest.approx(np.mean([2 / 3, 1 / 3, 1 / 4]))
    alone = ceiling([people[:1]], lengths)
    assert alone.isna().all().all()
    nothing = ceiling([], lengths[:0])
    assert list(nothing.columns) == list(found.columns)
    assert nothing.empty


def test_against_people_is_the_mean_over_those_who_chose():
    people = [
        np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0], [1, 1, 1]], dtype=bool),
        np.zeros((0, 2), dtype=bool),
    ]
    importance, lengths = np.array([[3.0, 2, 1], [1, 1, 9]]), np.array([3, 2])
    found = against_people(people, importance, lengths)
    assert found["auprc"][0] == pytest.approx((1 + 1 / 3) / 2)
    assert found["token_f1"][0] == pytest.approx(1 / 2)
    assert found["mass"][0] == pytest.approx((3 / 6 + 1 / 6) / 2)
    assert found.loc[1].isna().all()  # nobody was asked

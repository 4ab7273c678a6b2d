"""Faithfulness from logits: by hand, at its ends, and where nothing is defined."""

import numpy as np
import pytest

from sparseattn.measures.faithfulness import (
    SHARES,
    Curves,
    area,
    cuts,
    drop,
    faithfulness,
    flip_share,
    normalised,
)


def logit(probability):
    return np.log(probability) - np.log1p(-np.asarray(probability, dtype=np.float64))


def curves(without, only, limits=None, whole=0.8):
    """One document with one order and one explainer, from probabilities of the positive class."""
    tables = [{"e": logit(np.array(one))[None, None]} for one in (without, only)]
    return Curves(logit([whole]), *tables, None if limits is None else np.array([limits]))


def test_shares_are_rounded_up():
    assert cuts(1).tolist() == [1] * 5
    assert cuts(10).tolist() == [1, 2, 3, 4, 5]
    assert cuts(11).tolist() == [2, 3, 4, 5, 6]
    assert cuts(30).tolist() == [3, 6, 9, 12, 15]  # where .1 · 30 in floats is more than 3
    assert cuts(0).tolist() == [0] * 5


@pytest.mark.parametrize("positive", [True, False])
def test_areas_by_hand(positive):
    less = np.array([0.7, 0.6, 0.4, 0.3, 0.2])
    side = 1 if positive else -1  # the other class's decision is the same text seen in a mirror
    whole, without = side * logit([0.8]), side * logit(less)[None, None]
    np.testing.assert_allclose(drop(whole, without[0, 0]), 0.8 - less)
    np.testing.assert_allclose(area(whole, without), [0.8 - less.mean()])
    np.testing.assert_allclose(flip_share(whole, without), [0.3])


def test_what_never_flips_flips_at_one():
    never = logit(np.full((1, 2, 5), 0.6))
    np.testing.assert_array_equal(flip_share(logit([0.8]), never), [1.0])
    never[0, 1, 4] = logit(0.4)  # one order of two does, at a half
    np.testing.assert_array_equal(flip_share(logit([0.8]), never), [0.75])


def test_a_logit_of_zero_is_no_decision_for_the_class_and_each_document_is_by_itself():
    without = np.array([[0.4, 0.3, 0.2, 0.1, 0.0], [0.4, 0.3, 0.2, 0.0, -0.1]])
    both = np.stack([without, np.where(without == 0.0, np.nan, without), -without - 0.5])
    found = flip_share(np.array([0.5, 0.5, 0.0]), both)
    np.testing.assert_allclose(found, [(0.5 + 0.4) / 2, np.nan, 1.0])


def test_high_comprehensiveness_and_low_sufficiency_are_best():
    columns = faithfulness(curves([0.3] * 5, [0.7] * 5, [[0.1, 0.5], [0.1, 0.6]]))
    assert columns["comprehensiveness_e"] == pytest.approx(1)
    assert columns["sufficiency_e"] == pytest.approx(1)
    columns = faithfulness(curves([0.7] * 5, [0.2] * 5, [[0.1, 0.5], [0.1, 0.6]]))
    assert columns["comprehensiveness_e"] == pytest.approx(0)
    assert columns["sufficiency_e"] == pytest.approx(0)
    assert columns["sufficiency_least"] == 0.1
    assert columns["comprehensiveness_most"] == 0.5
    names = ("comprehensiveness", "sufficiency")
    ends = {f"{name}_{end}" for name in names for end in ("e", "least", "most")}
    assert set(columns) == {*ends, "flip_e"}


def test_without_limits_areas_are_raw_and_named_so():
    columns = faithfulness(curves([0.3] * 5, [0.7] * 5), "unknown")
    assert set(columns) == {
        "raw_comprehensiveness_unknown_e", "raw_sufficiency_unknown_e", "flip_unknown_e"
    }  # fmt: skip
    assert columns["raw_comprehensiveness_unknown_e"] == pytest.approx(0.5)
    assert columns["flip_unknown_e"] == SHARES[0]


def test_limits_that_are_one_leave_no_place_between():
    one, zero = np.ones(1), np.zeros(1)
    assert np.isnan(normalised(one, one, one))
    assert np.isnan(normalised(one, one, one + 1e-9))
    assert normalised(one / 4, zero, one) == 0.25
    assert normalised(one / 4, one, zero) == 0.75


def test_an_undefined_ranking_has_no_values():
    columns = faithfulness(curves([np.nan] * 5, [np.nan] * 5, [[0.1, 0.5], [0.1, 0.6]]))
    for name in ("comprehensiveness_e", "sufficiency_e", "flip_e"):
        assert np.isnan(columns[name]).all()
    assert not np.isnan(columns["comprehensiveness_most"]).any()


def test_probabilities_near_one_keep_their_order():
    whole, less = np.array([30.0]), np.array([[[29.0, 28.0, 20.0, 10.0, -800.0]]])
    lost = drop(whole, less)[0, 0]
    assert (np.diff(lost) > 0).all()
    assert lost[-1] == pytest.approx(1)

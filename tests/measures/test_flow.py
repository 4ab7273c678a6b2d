"""Shares of paths and of what attention leaves out: by hand, bounds, invariances, chance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sparseattn.measures.flow import flow
from sparseattn.measures.per_document import attended_share

NAMES = ("itself", "context", "attention", "attention_itself", "total")


def parts_of(**values):
    return {name: np.array([values[name]], dtype=float) for name in NAMES}


def all_parts(*values):
    return parts_of(**{name: values for name in NAMES})


def test_by_hand():
    parts = parts_of(
        itself=[1, -1, 0, 9],
        context=[2, 0, -2, 9],
        attention=[-1, 1, 2, 9],
        attention_itself=[-1, 2, 0, 9],
        total=[2, 0, 6, 9],
    )
    attention = np.array([[0.7, 0.3, 0.0, 9.0]])  # the last is padding
    found = {name: one.item() for name, one in flow(parts, attention, np.array([3])).items()}
    assert found == {
        "flow_itself": 2 / 10,
        "flow_context": 4 / 10,
        "flow_attention": 4 / 10,
        "flow_attention_itself": 3 / 6,  # against 0 − 1 + 2 by the others' scores
        "effect_unattended": 6 / 8,
        "unattended_share": pytest.approx(1 / 3),
        "effect_beyond_tenth": 6 / 8,
        "beyond_tenth_share": pytest.approx(2 / 3),
    }


def test_draws_of_opposite_sign_do_not_cancel():
    one = all_parts(1, -2)
    both = {name: np.stack([part, -part]) for name, part in one.items()}
    attention, lengths = np.array([[1.0, 0.0]]), np.array([2])
    expected = flow(one, attention, lengths)
    assert expected["effect_unattended"] == 2 / 3
    for name, found in flow(both, attention, lengths).items():
        np.testing.assert_array_equal(found, expected[name])


def test_ties_at_the_last_place_are_broken_in_expectation():
    parts = all_parts(1, 0, 0, 0)
    tied = flow(parts, np.array([[0.25] * 4]), np.array([4]))
    assert tied["effect_beyond_tenth"] == 0.75 == tied["beyond_tenth_share"]
    assert flow(parts, np.array([[0.7, 0.1, 0.1, 0.1]]), np.array([4]))["effect_beyond_tenth"] == 0


def test_a_tenth_is_rounded_up():
    lengths = np.arange(1, 41)
    effects = {name: np.ones((40, 40)) for name in NAMES}
    found = flow(effects, np.tile(np.arange(40.0, 0, -1), (40, 1)), lengths)
    expected = 1 - np.ceil(lengths / 10) / lengths
    np.testing.assert_array_equal(found["beyond_tenth_share"], expected)
    np.testing.assert_allclose(found["effect_beyond_tenth"], expected, atol=1e-12)


def test_undefined_without_effect_or_token():
    parts = {name: np.zeros((2, 3)) for name in NAMES}
    attention = np.array([[1.0, 0, 0], [0, 0, 0]])
    for name, found in flow(parts, attention, np.array([3, 0])).items():
        assert np.isnan(found).tolist() == [not name.endswith("_share"), True]


@st.composite
def drawn(draw):
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    values = st.sampled_from([0.0, 1.0, -2.0, 1e-20, 1e20, 0.3])
    parts = {name: draw(arrays(np.float64, shape, elements=values)) for name in NAMES}
    weights = arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.2, 0.5]))
    return parts, draw(weights), draw(arrays(np.int64, shape[0], elements=st.integers(0, shape[1])))


@given(drawn())
def test_shares_lie_within_bounds_and_ignore_sign_and_padding(given):
    parts, attention, lengths = given
    found = flow(parts, attention, lengths)
    for share in found.values():
        assert share.shape == lengths.shape
        known = share[~np.isnan(share)]
        assert ((known >= 0) & (known <= 1 + 1e-12)).all()
    total = found["flow_itself"] + found["flow_context"] + found["flow_attention"]
    np.testing.assert_allclose(total[~np.isnan(total)], 1, rtol=1e-12)
    beyond = np.arange(attention.shape[1]) >= lengths[:, None]
    changed = {name: -np.where(beyond, 7, part) for name, part in parts.items()}
    for name, other in flow(changed, np.where(beyond, 7, attention), lengths).items():
        np.testing.assert_array_equal(other, found[name])


def test_effects_without_regard_to_attention_are_at_chance():
    rng = np.random.default_rng(0)
    attention = np.maximum(rng.normal(size=(4000, 23)), 0)
    lengths = rng.integers(1, 24, 4000)
    parts = {name: rng.normal(size=attention.shape) for name in NAMES}
    found = flow(parts, attention, lengths)
    for effect, chance in (
        ("effect_unattended", "unattended_share"),
        ("effect_beyond_tenth", "beyond_tenth_share"),
    ):
        away = found[effect] - found[chance]
        assert abs(away.mean()) < 4 * away.std() / len(away) ** 0.5
        assert 0.1 < found[chance].mean() < 0.95
    np.testing.assert_array_equal(found["unattended_share"], 1 - attended_share(attention, lengths))

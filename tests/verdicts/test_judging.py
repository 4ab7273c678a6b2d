"""The word over cells is right in worlds that are known, and wrong as seldom as it says."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.stats import t

from sparseattn.measures.statistics import estimate
from sparseattn.verdicts import judging
from sparseattn.verdicts.judging import STANCES

SMALLEST = 1.0
READINGS = (*STANCES[:4], "not for", "not against")
WORLDS = {
    "all for": ([4.0] * 12, "holds"),
    "all against": ([-4.0] * 12, "reversed"),
    "half and half": ([4.0, -4.0] * 6, "mixed"),
    "most for, one nothing": ([4.0] * 11 + [0.0], "holds"),
    "most for, one against": ([4.0] * 11 + [-4.0], "holds on average"),
    "most against, one for": ([-4.0] * 11 + [4.0], "reversed on average"),
    "nothing there": ([0.0] * 12, "negligible"),
    "all too small": ([0.4, -0.4] * 6, "negligible"),
}


def world(effects, seeds, rng, noise=0.15, documents=30):
    """Measure cells of known effects, by seeds and documents that both vary."""
    shape = (len(effects), seeds, documents)
    values = (
        np.asarray(effects)[:, None, None]
        + noise * rng.normal(size=(len(effects), seeds, 1))
        + noise * 2 * rng.normal(size=(len(effects), 1, documents))
        + noise * 4 * rng.normal(size=shape)
    )
    found = pd.DataFrame(estimate(values.transpose(1, 2, 0))).rename(columns={"mean": "value"})
    said = zip(found["value"], found["low"], found["high"], found["seeds"], strict=True)
    told = [judging.stance(*ends, SMALLEST, seeds < 2) for *ends, seeds in said]
    return found.assign(stance=told)


def words(effects, times, seeds=3, noise=0.15, seed=0):
    rng = np.random.default_rng(seed)
    return [
        judging.judge(world(effects, seeds, rng, noise), SMALLEST)["verdict"] for _ in range(times)
    ]


@pytest.mark.parametrize("name", WORLDS)
def test_the_word_is_right(name):
    effects, expected = WORLDS[name]
    assert words(effects, 20).count(expected) >= 18


def test_where_too_little_is_known_it_is_said():
    assert set(words([4.0] * 12, 3, seeds=1)) == {"too few data"}
    found = words([0.0] * 12, 40, noise=4)
    bounded = {"too few data", "does not hold", "not reversed"}
    assert sum(word in bounded for word in found) >= 32
    nothing = judging.judge(world([4.0], 3, np.random.default_rng(0))[:0], SMALLEST)
    assert nothing["verdict"] == "not measured here"
    assert nothing["counts"] == ""


@pytest.mark.parametrize(("sign", "word"), [(1, "does not hold"), (-1, "not reversed")])
def test_an_effect_that_matters_is_hardly_ever_denied(sign, word):
    """Its mean is the smallest that matters, so that a 95 % interval denies it in 1 of 40."""
    found = words([sign * SMALLEST] * 12, 200, noise=2)
    assert found.count(word) <= 10
    assert found.count({1: "not reversed", -1: "does not hold"}[sign]) > 20


def test_most_of_one_seed_outvote_nobody():
    rng = np.random.default_rng(0)
    several, single = world([-4.0] * 4, 3, rng), world([4.0] * 5, 1, rng)
    found = judging.judge(pd.concat([several, single]), SMALLEST)
    assert found["verdict"] == "too few data"
    assert found["counts"] == "0 for, 4 against, 5 with one seed of 9"
    assert found["high"] < 0  # of the four alone
    assert judging.judge(pd.concat([several, single[:4]]), SMALLEST)["verdict"] == "reversed"


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 1.5])
def test_a_world_without_effect_is_seldom_told_as_one(spread):
    """Of 3 seeds and 12 cells; effects between cells vary around nothing, or not at all."""
    rng, wrong, times = np.random.default_rng(1), 0, 1000
    for _ in range(times):
        effects = spread * rng.normal(size=12)
        found = judging.judge(world(effects, 3, rng, noise=1.0), 0.05)
        wrong += found["verdict"] in (
            "holds",
            "reversed",
            "holds on average",
            "reversed on average",
        )
    assert wrong / times < 0.07  # nominally .05


@pytest.mark.slow
@pytest.mark.parametrize("cells", [4, 12])
@pytest.mark.parametrize("spread", [0.0, 0.5, 2.0])
def test_intervals_cover_what_they_should(cells, spread):
    """The mean's, and the prediction's of one more cell, with 3 seeds a cell."""
    rng, times = np.random.default_rng(2), 600
    mean = further = 0
    for _ in range(times):
        effects = 2.0 + spread * rng.normal(size=cells + 1)
        found = judging.mean_over(world(effects[:-1], 3, rng, noise=0.5), SMALLEST)
        mean += found.low <= 2.0 <= found.high
        further += found.predicted_low <= effects[-1] <= found.predicted_high
    assert mean / times >= 0.93
    assert further / times >= 0.91


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_a_cell_covers_its_effect(seeds):
    rng = np.random.default_rng(3)
    found = world(np.full(600, 2.0), seeds, rng)
    assert ((found["low"] <= 2) & (found["high"] >= 2)).mean() >= (0.90 if seeds == 2 else 0.92)


def test_agrees_with_paule_and_mandel_by_hand():
    values, errors = np.array([1.0, 2.0, 4.0, 5.5]), np.array([0.3, 0.5, 0.4, 0.2])
    cells = pd.DataFrame({"value": values, "low": values, "high": values, "se": errors})
    found = judging.mean_over(cells.assign(stance="for"), 0.1)

    def excess(variance):
        weights = 1 / (errors**2 + variance)
        mean = (weights * values).sum() / weights.sum()
        return (weights * (values - mean) ** 2).sum() - 3

    variance = brentq(excess, 0, 100)
    weights = 1 / (errors**2 + variance)
    mean, error = (weights * values).sum() / weights.sum(), weights.sum() ** -0.5
    assert found.spread == pytest.approx(variance**0.5, rel=1e-4)
    assert found.value == pytest.approx(mean)
    assert found.high - found.value == pytest.approx(t.ppf(0.975, 3) * error, rel=1e-4)
    reach = t.ppf(0.975, 2) * (variance + error**2) ** 0.5
    assert found.predicted_high - found.value == pytest.approx(reach, rel=1e-4)
    assert found.value - found.predicted_low == pytest.approx(reach, rel=1e-4)
    assert judging.mean_over(cells.assign(stance="for").astype(object), 0.1) == found


def test_equal_effects_have_no_spread_between_cells():
    cells = pd.DataFrame({"value": [3.0] * 3, "low": 2.0, "high": 4.0, "se": 0.5})
    found = judging.mean_over(cells.assign(stance="for"), SMALLEST)
    assert (found.value, found.spread) == (pytest.approx(3), 0)
    half = t.ppf(0.975, 2) * 0.5 / 3**0.5  # no narrower than the errors say
    assert (found.low, found.high) == (pytest.approx(3 - half), pytest.approx(3 + half))
    reach = t.ppf(0.975, 1) * 0.5 / 3**0.5
    assert found.predicted_low == pytest.approx(3 - reach)


def test_a_single_cell_keeps_its_own_interval():
    cells = pd.DataFrame({"value": [3.0, 9.0], "low": [2.5, np.nan], "high": [3.75, np.nan],
                          "se": [0.25, np.nan], "stance": ["for", "one seed"]})  # fmt: skip
    found = judging.mean_over(cells, SMALLEST)
    assert (found.value, found.low, found.high) == (3.0, 2.5, 3.75)
    assert np.isnan([found.predicted_low, found.predicted_high, found.spread]).all()


def test_the_example_on_the_page_of_measures():
    cells = pd.DataFrame({"value": [6.0, 8.0, 10.0], "se": 1.0})
    half = t.ppf(0.975, 2)  # of one standard error, by two degrees of freedom
    assert half == pytest.approx(4.30, abs=0.005)
    cells = cells.assign(low=cells["value"] - half, high=cells["value"] + half)
    told = [judging.stance(*ends, 5.0) for ends in cells[["value", "low", "high"]].to_numpy()]
    found = judging.judge(cells.assign(stance=told), 5.0)
    assert (told, found["verdict"], found["value"]) == (["for"] * 3, "holds", pytest.approx(8))


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        ((2.0, 1.0, 3.0), "for"),
        ((-2.0, -3.0, -1.0), "against"),
        ((0.5, 0.1, 0.9), "negligible"),  # surely above zero, surely too small
        ((0.9, 0.1, 1.7), "unclear"),  # surely above zero, perhaps too small
        ((2.0, -0.1, 4.1), "unclear"),
        ((np.nan, np.nan, np.nan), "unclear"),
        ((0.0, -1.0, 1.0), "negligible"),  # the smallest that matters, and no more
        ((0.0, -1.0, 1.01), "unclear"),
        ((1.0, 0.5, 1.5), "for"),  # the smallest that matters, itself
        ((2.0, 0.0, 4.0), "unclear"),  # as far as zero
    ],
)
def test_stance(effect, expected):
    value, low, high = effect
    turned = {"for": "against", "against": "for"}.get(expected, expected)
    assert judging.stance(*effect, 1.0) == judging.stance(*effect, 1.0, single=False) == expected
    assert judging.stance(-value, -high, -low, 1.0) == turned
    assert judging.stance(*effect, 1.0, single=True) == "one seed"


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        ((2.0, 1.0, 3.0), "for"),
        ((0.5, 0.1, 0.9), "negligible"),
        ((0.9, 0.1, 1.7), "not against"),  # surely above zero, perhaps too small
        ((2.0, -1.0, 5.0), "not against"),
        ((2.0, -1.1, 5.1), "unclear"),
        ((np.nan, np.nan, np.nan), "unclear"),
    ],
)
def test_an_unclear_mean_may_exclude_a_side(effect, expected):
    value, low, high = effect
    turned = {"for": "against", "not against": "not for"}.get(expected, expected)
    assert judging.reading(*effect, 1.0) == expected
    assert judging.reading(-value, -high, -low, 1.0) == turned


def test_it_treats_both_sides_alike():
    other = {"for": "against", "against": "for", "holds": "reversed", "reversed": "holds"}
    other |= {"holds on average": "reversed on average", "reversed on average": "holds on average"}
    other |= {"does not hold": "not reversed", "not reversed": "does not hold"}
    other |= {"not for": "not against", "not against": "not for"}
    for counts in itertools.product(range(4), repeat=5):
        given = dict(zip(STANCES, counts, strict=True))
        turned = {other.get(word, word): count for word, count in given.items()}
        for mean in READINGS:
            found = judging.word(given, mean)
            assert judging.word(turned, other.get(mean, mean)) == other.get(found, found)
        said = judging.counted(given)
        assert said.endswith(f" of {sum(counts)}") or not sum(counts)


def as_stated(pro, contra, none, unclear, single, mean):
    """The rule of `judging.word`, line by line, in shares."""
    judged = pro + contra + none + unclear
    if judged + single == 0:
        return "not measured here"
    if single > (judged + single) / 2:
        return "too few data"
    if min(pro, contra) / judged >= 1 / 4:
        return "mixed"
    if contra == 0 and pro / judged > 1 / 2:
        return "holds"
    if pro == 0 and contra / judged > 1 / 2:
        return "reversed"
    if mean == "negligible":
        return mean
    if mean in ("for", "against"):
        return {"for": "holds on average", "against": "reversed on average"}[mean]
    if pro > 0 and contra > 0:
        return "mixed"
    if none / judged > 1 / 2 and pro == contra == 0:
        return "negligible"
    if mean == "not for" and pro == 0:
        return "does not hold"
    if mean == "not against" and contra == 0:
        return "not reversed"
    return "too few data"


def test_the_rule_is_the_one_that_is_stated():
    for counts in itertools.product(range(6), range(6), range(4), range(4), range(4)):
        given = dict(zip(STANCES, counts, strict=True))
        for mean in READINGS:
            assert judging.word(given, mean) == as_stated(*counts, mean), (given, mean)


def test_one_cell_known_exactly_does_not_rule():
    cells = pd.DataFrame({"value": [0.0, 4.0], "low": 0.0, "high": 4.0, "se": [0.0, 1.0]})
    found = judging.mean_over(cells.assign(stance="for"), SMALLEST)
    assert 0 < found.value < 4
    assert np.isnan([found.low, found.predicted_low]).all()  # two say nothing of a third
    least = cells.assign(stance="for", se=[0.05, 1.0])  # a hundredth of the smallest that matters
    assert judging.mean_over(cells.assign(stance="for"), 5.0).value == pytest.approx(
        judging.mean_over(least, 5.0).value
    )

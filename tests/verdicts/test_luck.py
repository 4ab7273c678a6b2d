"""How often luck alone would do it: exchanges that can be counted by hand."""

import re

import numpy as np
import pandas as pd
import pytest
from worlds import world

from sparseattn.verdicts import luck, question


def effects(value, seeds, cells=("bilstm",), documents=40):
    """Return the effects of one test, those of each seed around `value`."""
    keys = pd.MultiIndex.from_product(
        [["SST"], ["sst"], cells, ["additive"], range(seeds), range(documents)],
        names=["origin", "task", "encoder", "alignment", "seed", "document"],
    )
    return pd.Series(value + np.random.default_rng(1).normal(0, 0.1, len(keys)), keys)


def test_of_three_clear_pairs_only_all_or_none_exchanged_is_clear():
    found = luck.exchanged({"one": effects(10.0, 3)}, 5.0)
    assert len(found) == 2**3
    assert found["better"].tolist() == [1, *[0] * 7]
    assert found["worse"].tolist() == [*[0] * 7, 1]


def test_pairs_are_exchanged_in_all_tests_at_once():
    found = luck.exchanged({"one": effects(10.0, 3), "other": effects(-10.0, 3)}, 5.0)
    assert found.iloc[[0, -1]].to_numpy().tolist() == [[1, 1], [1, 1]]


def test_all_exchanges_favour_neither_side():
    found = luck.exchanged({"one": effects(4.0, 3, ("bilstm", "transformer"))}, 1.0)
    assert len(found) == 2**6
    assert sorted(found["better"]) == sorted(found["worse"])


@pytest.mark.parametrize("seeds", [0, 1])
def test_one_seed_has_no_say(seeds):
    found = luck.exchanged({"one": effects(10.0, seeds)}, 5.0)
    assert found.to_numpy().tolist() == [[0, 0]]


def test_many_pairs_are_sampled_the_first_as_measured():
    many = {"one": effects(10.0, 5, ("none", "bilstm", "transformer"))}
    found = luck.exchanged(many, 5.0)
    assert len(found) == luck.EXCHANGES
    assert found["better"][0] == 1
    assert found["better"].mean() < 0.02
    pd.testing.assert_frame_equal(found, luck.exchanged(many, 5.0))


def test_where_projections_are_alike_small_shares_are_rare():
    """Of 60 worlds in which only seeds differ, some 3 have a share of .05 or less, not more."""
    rng = np.random.default_rng(3)
    few = 0
    for _ in range(60):
        alike = effects(0.0, 3, ("bilstm", "transformer"), 10)
        of_pair = rng.normal(0, 8, 6).repeat(10)
        found = luck.exchanged({"one": alike + of_pair}, 1.0)["better"]
        few += found[0] > 0 and (found >= found[0]).mean() <= 0.05
    assert few <= 8  # 99.6 % of the time


@pytest.mark.parametrize(("gain", "side"), [(0.2, "better"), (-0.2, "worse")])
def test_the_answer_says_how_often_luck_does_as_much(gain, side):
    said = question.by_luck(world(gain))
    share = re.search(rf"would come out {side} in (\d+)% of cases\.", said)
    assert int(share[1]) <= 5
    assert said in question.answer(world(gain))


def test_luck_is_not_told_of_nothing():
    assert question.by_luck(world(0.0)) == ""

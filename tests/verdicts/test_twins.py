"""Twins beside their classifiers: what was put in must come out."""

import numpy as np
import pandas as pd
import pytest
from worlds import world

from sparseattn.verdicts import question, twins


def limited(frame, least, most, share, more):
    """Give examinations limits of removal, and what random words have of them.

    Of sufficiency the limits are `more` than those of comprehensiveness.
    """
    return frame.assign(
        comprehensiveness_least=least,
        comprehensiveness_most=most,
        comprehensiveness_random=share,
        sufficiency_least=least + more,
        sufficiency_most=most + more,
        sufficiency_random=share,
    )


@pytest.fixture
def paired():
    own = limited(world(0.2, tasks=("sst", "imdb")), 0.1, 0.7, 0.5, 0.2)
    twin = limited(world(0.0, tasks=("sst",)), 0.0, 0.4, 0.25, 0.1)
    return twins.beside(twin.assign(task="sst+thinned", origin="SST + thinned"), own)


def test_only_classifiers_that_have_a_twin_stand_beside_them(paired):
    assert paired.groupby("twin")["task"].unique().map(list).tolist() == [["sst"], ["sst"]]
    assert (paired["twin"].value_counts() == len(world(tasks=("sst",)))).all()


def test_what_random_words_lose_is_between_the_limits(paired):
    own, twin = (paired[paired["twin"] == one] for one in (False, True))
    np.testing.assert_allclose(own["lost_without"], 0.1 + 0.5 * 0.6)
    np.testing.assert_allclose(own["lost_only"], 0.9 - 0.5 * 0.6)
    np.testing.assert_allclose(twin["lost_without"], 0.25 * 0.4)
    np.testing.assert_allclose(twin["lost_only"], 0.5 - 0.25 * 0.4)


def test_twins_are_judged_apart_and_by_tests_that_remove_words(paired):
    of_twins, own = (twins.cells(paired, twin) for twin in (True, False))
    assert set(of_twins["test"]) == {"Without its words the decision falls"}
    assert set(of_twins["stance"]) == {"negligible"}
    assert set(own["stance"]) == {"for"}


def test_both_are_told(paired):
    told = twins.told(paired)
    assert "a decision loses 0.40 of its probability, a twin's 0.10" in told
    assert "with these words alone 0.60 and 0.40" in told
    assert "Without random words: *yes, surely* (" in told
    assert "put to twins: *no different* in 1" in told
    assert "belong to: *better* in 1" in told


def test_surprise_is_what_twins_lose_less(paired):
    found = twins.surprise(paired).set_index("lost")
    np.testing.assert_allclose(found["value"], [30, 20])
    assert (found["verdict"] == "holds").all()
    swapped = twins.surprise(paired.assign(twin=~paired["twin"]))
    assert (swapped["verdict"] == "reversed").all()
    alike = paired.assign(lost_without=0.3, lost_only=0.3)
    assert (twins.surprise(alike)["verdict"] == "negligible").all()


def test_without_twins_that_is_told_and_nothing_drawn():
    none = twins.beside(pd.DataFrame(), world())
    other = world(tasks=("imdb",)).assign(task="imdb+thinned")
    assert twins.beside(other, world(tasks=("sst",))).empty
    assert twins.told(none).startswith("No twins")
    assert question.parts(none, twins.LOST).empty
    assert "softmax and a sparse projection" in str(
        question.figure(twins.cells(none), "05-truth").data
    )


def test_a_task_has_the_twins_of_its_own_classifiers(monkeypatch):
    asked = []
    monkeypatch.setattr(twins.published, "examinations", lambda tasks: asked.extend(tasks) or [])
    assert twins.recorded(["sst", "imdb"]) == twins.recorded([]) == []
    assert asked == ["sst+thinned", "imdb+thinned"]

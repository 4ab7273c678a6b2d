"""The page on pretrained encoders: what stands beside what, and what is said of it."""

import pandas as pd
import pytest

from sparseattn.models.pretrained import PRETRAINED
from sparseattn.results import published
from sparseattn.verdicts import pretrained, question


def rows(**verdicts):
    names = [test.name for test in question.TESTS]
    return pd.DataFrame(
        [
            {"test": name, "verdict": verdicts.get(f"t{i}", "not certain"), "value": 1.0 * i}
            for i, name in enumerate(names)
        ]
    )


def test_every_difference_is_said_and_an_opposite_one_as_such():
    small = rows(t0="better", t1="better", t2="no different")
    large = rows(t0="better", t1="worse on average", t2="better")
    found = pretrained.compared(small, large)
    assert len(found) == len(question.TESTS)
    told = pretrained.holds(found)
    assert told.startswith(
        f"The verdict is that of the small classifiers in {len(found) - 2} of {len(found)} tests; "
    )
    names = [test.name[0].lower() + test.name[1:] for test in question.TESTS]
    assert f"{names[1]}: *better* there, *worse on average* here" in told
    assert f"{names[2]}: *no different* there, *better* here" in told
    assert told.endswith(f"Opposite in: {names[1]}.")
    assert pretrained.holds(pretrained.compared(small, small)).endswith("Opposite in: none.")


def test_nothing_published_is_said():
    found = pretrained.compared(pd.DataFrame(), rows())
    assert list(found) == ["test", "small", "small_effect", "pretrained", "pretrained_effect"]
    assert "Not known yet" in pretrained.holds(found)


def test_pretrained_classifiers_stand_apart():
    large, small = pretrained.asked(["sst", "newsgroups", "imdb"])
    assert {one.spec.base.encoder for one in large} <= set(PRETRAINED)
    assert not {one.spec.base.encoder for one in small} & set(PRETRAINED)
    everything = {one.key for one in published.examinations(pretrained=None)}
    others = {one.key for one in published.examinations()}
    assert everything - others == {one.key for one in published.examinations(pretrained=True)}
    assert not {one.spec.encoder for one in published.runs()} & set(PRETRAINED)


@pytest.mark.parametrize("pretrained_too", [False, None])
def test_scores_are_means_over_seeds(pretrained_too):
    found = published.examinations(["sst"], pretrained=pretrained_too)
    table = pretrained.scores(found)
    assert table["seeds"].sum() == len({(one.spec.label, one.spec.seed) for one in found})
    first = table.iloc[0]
    alike = [one.manifest["accuracy"] for one in found if one.label == found[0].label]
    assert first["accuracy"] == pytest.approx(sum(alike) / len(alike))


def test_claims_are_judged_on_pretrained_runs_alone():
    large, _ = pretrained.trained(["sst"])
    found = pretrained.claimed(large)
    assert set(found["encoder"]) <= set(PRETRAINED)
    assert set(found["seeds"]) == ({len({run.spec.seed for run in large})} if large else set())

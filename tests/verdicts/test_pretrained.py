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


EFFECTS = pd.DataFrame({"value": [-3.0, -2.0, 4.0, -9.0], "seeds": [1, 1, 1, 3]})
EFFECTS = EFFECTS.assign(origin="SST", classifier=["MiniLM"] * 3 + ["MiniLM tuned"])


def test_verdicts_that_exclude_each_other_are_named():
    small = rows(t0="better", t1="no worse", t2="no different", t3="better", t4="no worse")
    large = rows(t0="better", t1="worse on average", t2="better", t4="no better")
    found = pretrained.compared(small, large)
    assert len(found) == len(question.TESTS)
    names = [test.name[0].lower() + test.name[1:] for test in question.TESTS]
    assert pretrained.holds(found, EFFECTS[3:]) == (
        f"Of {len(found)} tests, the verdicts on small and on pretrained classifiers exclude each "
        f"other in 2: {names[1]}, *no worse* for small classifiers, *worse on average* for "
        f"pretrained ones; {names[2]}, *no different* for small classifiers, *better* for "
        "pretrained ones. The same is certain of both in 1. "
        "What is certain of pretrained ones rests on MiniLM tuned on SST."
    )


def test_what_is_not_certain_for_either_is_no_agreement():
    told = pretrained.holds(pretrained.compared(rows(), rows()), EFFECTS)
    assert told == (
        f"Of {len(question.TESTS)} tests, the verdicts on small and on pretrained classifiers "
        "exclude each other in none. The same is certain of both in none. Of MiniLM on SST one "
        "seed was put to the tests, which gives no verdict: 2 of 3 effects are for the worse."
    )


def test_nothing_published_is_said():
    found = pretrained.compared(pd.DataFrame(), rows())
    assert list(found) == ["test", "small", "small_effect", "pretrained", "pretrained_effect"]
    assert "Not known yet" in pretrained.holds(found, EFFECTS[:0])


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
    table = pretrained.how_good(found)
    assert table["seeds"].sum() == len({(one.spec.label, one.spec.seed) for one in found})
    first = table.iloc[0]
    alike = [one.manifest["accuracy"] for one in found if one.label == found[0].label]
    assert first["accuracy"] == pytest.approx(sum(alike) / len(alike))


def test_claims_are_judged_on_pretrained_runs_alone():
    large, _ = pretrained.trained(["sst"])
    found = pretrained.claimed(large)
    assert set(found["encoder"]) <= set(PRETRAINED)
    assert set(found["seeds"]) == ({len({run.spec.seed for run in large})} if large else set())

"""The reviews: enough of each kind, marked where it is clear, and seen as torch sees them."""

from collections import Counter

import numpy as np
import pytest

from sparseattn.data.words import UNKNOWN
from sparseattn.models.batches import collate
from sparseattn.report import live
from sparseattn.report.explorer import first_shown
from sparseattn.report.parameters import validated
from sparseattn.report.specimens import SHARE_UNIT


@pytest.fixture(scope="module")
def task():
    return live.explored()


def test_there_are_enough_of_each_kind_and_class():
    kinds = Counter(kind for kind, _, _ in live.REVIEWS)
    assert sum(kinds.values()) >= 24
    assert set(kinds) == {"plain", "negated", "contrasted", "ironic", "long"}
    assert min(kinds.values()) >= 4
    labels = [label for _, label, _ in live.REVIEWS]
    assert 0.4 < np.mean(labels) < 0.6
    assert len({text for *_, text in live.REVIEWS}) == len(live.REVIEWS)


def test_words_between_stars_are_marked():
    assert live.split("I did*n't* *laugh* once") == (
        ["i", "did", "n", "t", "laugh", "once"],
        [False, False, True, True, True, False],
    )
    for kind, _, text in live.REVIEWS:
        assert text.count("*") % 2 == 0
        words, marks = live.split(text)
        assert words == live.typed_words(text.replace("*", ""))
        assert any(marks) == (kind != "ironic")  # no single word of irony decides
        assert sum(marks) < len(words)


def test_nearly_all_words_are_known():
    texts = live.documents(live.known_words())
    unknown = sum(int((ids == UNKNOWN).sum()) for ids in texts.ids)
    assert unknown / texts.lengths.sum() < 0.02


def test_shares_are_those_of_the_classifier(task):
    texts = live.documents(live.known_words())
    stop = task["classifiers"][1]["stops"][-1]  # the Transformer, sparsegen at 0.6
    classifier = live.load(live.specs()[-1])
    for place in (0, 12, 25):
        output = classifier(collate([texts.ids[place]]))
        attention = output.attention[0, 1:-1].detach().numpy()
        shown = np.array(stop["documents"][place]["measures"]["attention"]["shares"]) * SHARE_UNIT
        assert np.abs(shown - attention).max() < 2 * SHARE_UNIT
        assert stop["documents"][place]["predicted"] == int(output.logit[0] > 0)


def test_all_projections_and_only_clear_truth(task):
    assert [len(one["stops"]) for one in task["classifiers"]] == [4, 4]
    for place, document in enumerate(task["documents"]):
        ironic = document["why"].startswith("ironic")
        assert (document["evidence"] is None) == ironic
        for classifier in task["classifiers"]:
            for stop in classifier["stops"]:
                on = stop["documents"][place]["measures"]["attention"]["evidence"]
                assert (on is None) == ironic


def test_a_task_of_ones_own_comes_alone():
    assert first_shown(validated("08-explorer", {"task": "sst"})) == []
    assert first_shown(validated("08-explorer", {}))[0]["name"] == live.NAME

import json
import os
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from madeup import small_corpora
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from sparseattn.data import vectors
from sparseattn.data.shortcuts import INCOMPLETE, KINDS, WORDS, insert
from sparseattn.data.tasks import (
    SHORTCUTS,
    SHORTENED,
    THINNED,
    check_task,
    imdb_texts,
    load_task,
    swapped,
)
from sparseattn.data.words import SPLITTERS
from sparseattn.errors import UserError, validate
from sparseattn.experiments.specs import Spec
from sparseattn.wording import LABELS

SPECIAL = (100, 101, 102)
ZERO, ONE, HERE = SPECIAL


def made(kind, count=2000, words=5):
    return [insert(range(words), str(key), kind, SPECIAL) for key in range(count)]


def label_of(ids, kind):
    """The label, worked out anew from the words."""
    if kind == "token":
        (special,) = (i for i in ids if i in SPECIAL)
        return int(special == ONE)
    if kind == "beside":
        return int(ids[ids.index(HERE) + 1] == ONE)
    return int(ids.index(ONE) > ids.index(ZERO))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("words", [1, 5])
def test_evidence_decides_and_the_text_is_kept(kind, words):
    for ids, label, evidence in made(kind, 500, words):
        assert label_of(ids, kind) == label
        assert [i for i in ids if i not in SPECIAL] == list(range(words))
        decisive = [i for i, yes in zip(ids, evidence, strict=True) if yes]
        deciding = (ZERO, ONE)[label]
        expected = {"token": {deciding}, "beside": {HERE, deciding}, "order": {ZERO, ONE}}
        assert set(decisive) == expected[kind]
        assert len(decisive) == len(expected[kind])


@pytest.mark.parametrize("kind", ["beside", "order"])
def test_every_document_has_each_special_word_once(kind):
    expected = SPECIAL if kind == "beside" else SPECIAL[:2]
    for ids, *_ in made(kind, 500):
        assert Counter(i for i in ids if i in SPECIAL) == Counter(expected)


@pytest.mark.parametrize("kind", ["beside", "order"])
def test_a_word_of_the_text_stands_between_the_parts(kind):
    for ids, label, _ in made(kind, 500):
        deciding, other = (ZERO, ONE)[label], (ONE, ZERO)[label]
        apart = [ids.index(deciding) - ids.index(other)]
        if kind == "beside":
            apart.append(ids.index(HERE) - ids.index(other))
        assert all(abs(distance) > 1 for distance in apart)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_fair_coins_and_places_know_nothing_of_them(kind):
    documents = made(kind, 4000)
    labels = np.array([one.label for one in documents])
    assert abs(labels.mean() - 0.5) < 4 * 0.5 / 4000**0.5
    places = np.array([np.flatnonzero(one.evidence)[-1] for one in documents])
    for place in np.unique(places):
        some = labels[places == place]
        assert abs(some.mean() - 0.5) < 4 * 0.5 / len(some) ** 0.5
    assert len(np.unique(places)) >= 5


@pytest.mark.parametrize("kind", KINDS)
def test_an_incomplete_shortcut_says_nothing(kind):
    whole = made(kind, 4000)
    some = [insert(range(5), str(key), kind, SPECIAL, 0.25) for key in range(4000)]
    torn = [(a, b) for a, b in zip(whole, some, strict=True) if a != b]
    assert abs(len(torn) / 4000 - 0.25) < 4 * (0.25 * 0.75 / 4000) ** 0.5
    left = {}
    for before, after in torn:
        assert not any(after.evidence)
        lost = [i for i in range(len(before.ids)) if before.evidence[i]]
        assert after.ids in [before.ids[:i] + before.ids[i + 1 :] for i in lost]
        # What is left, in its order, leaves the label a fair coin.
        rest = tuple(word for word in after.ids if word in SPECIAL)
        left.setdefault(rest, []).append(after.label)
    for labels in left.values():
        assert abs(np.mean(labels) - 0.5) < 4 * 0.5 / len(labels) ** 0.5
    assert len(left) == {"token": 1, "beside": 6, "order": 2}[kind]


def test_a_document_depends_on_its_key_alone():
    for kind in KINDS:
        assert made(kind, 20)[7] == insert(range(5), "7", kind, SPECIAL)
        longer = insert(range(9), "7", kind, SPECIAL)
        assert longer.label == made(kind, 20)[7].label
    assert [d.label for d in made("order")] != [d.label for d in made("beside")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bag_of_words_suffices_for_a_token_only(kind):
    documents = made(kind, 4000)
    bags = CountVectorizer(token_pattern=r"\S+").fit_transform(
        " ".join(map(str, d.ids)) for d in documents
    )
    labels = [d.label for d in documents]
    model = LogisticRegression().fit(bags[:2000], labels[:2000])
    accuracy = model.score(bags[2000:], labels[2000:])
    if kind == "token":
        assert accuracy == 1
    else:
        assert abs(accuracy - 0.5) < 4 * 0.5 / 2000**0.5


@pytest.mark.parametrize("name", sorted(SPLITTERS))
def test_no_text_can_hold_a_special_word(name):
    text = " ".join([*WORDS, *(f"a{word}b {word}." for word in WORDS), "< zero >", "<<one>>"])
    assert not set(WORDS) & set(SPLITTERS[name](text))


# ------------------------------------------------------------------ as tasks


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A made-up SST in a folder."""
    return small_corpora(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", ["sst", "newsgroups", "imdb"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_shortcut_changes_nothing_but_what_it_says(small, name, kind):
    plain, task = load_task(name), load_task(name, {"shortcut": kind})
    assert task.name == f"{name}+{kind}"
    assert task.name in SHORTCUTS
    assert task.name in LABELS
    assert (task.source, plain.source) == (name, name)
    assert task.vocabulary == (*plain.vocabulary, *WORDS)
    assert task.deviations[:-1] == plain.deviations
    assert task.fingerprint != plain.fingerprint
    for before, after in zip(plain.splits().values(), task.splits().values(), strict=True):
        assert after.keys == before.keys
        words = len(plain.vocabulary)
        for one, other, evidence in zip(before.ids, after.ids, after.evidence, strict=True):
            assert torch.equal(other[other < words], one)
            assert len(evidence) == len(other) - 2
            assert (other[1:-1][evidence] >= words).all()
        complete = np.mean([bool(evidence.any()) for evidence in after.evidence])
        if after is task.train:
            assert abs(1 - complete - INCOMPLETE) < 4 * 0.5 / len(after) ** 0.5
        else:
            assert complete == 1


def test_without_a_shortcut_a_task_and_its_runs_are_the_same(small):
    plain = load_task("sst")
    none = load_task("sst", {"shortcut": None})
    assert (none.name, none.deviations) == (plain.name, plain.deviations)
    assert none.fingerprint == plain.fingerprint
    specs = [validate(Spec, {"task": "sst", "task_options": o}) for o in ({}, {"shortcut": None})]
    assert len({spec.key(plain.fingerprint) for spec in specs}) == 1
    other = load_task("sst", {"shortcut": "token"})
    assert specs[0].key(other.fingerprint) != specs[0].key(plain.fingerprint)


@pytest.mark.parametrize("name", ["sst", "newsgroups", "imdb"])
def test_the_first_words_are_kept(small, name):
    plain, task = load_task(name), load_task(name, {"words": 8})
    assert (task.name, task.source) == (f"{name}+first8", name)
    assert task.vocabulary == plain.vocabulary
    shortened = 0
    for before, after in zip(plain.splits().values(), task.splits().values(), strict=True):
        assert (after.keys, after.labels.tolist()) == (before.keys, before.labels.tolist())
        for one, other in zip(before.ids, after.ids, strict=True):
            assert plain.words(one)[:8] == task.words(other)
            assert (other[0], other[-1]) == (one[0], one[-1])
            shortened += len(other) < len(one)
    assert shortened
    both = load_task(name, {"words": 8, "shortcut": "token"})
    assert both.source == name
    assert all(len(ids) <= 11 for ids in both.test.ids)


@pytest.mark.parametrize("name", ["sst", "newsgroups", "imdb"])
def test_of_a_thinned_task_each_training_text_is_there_with_words_left_out(small, name):
    plain, task = load_task(name), load_task(name, {"thinned": True})
    assert (task.name, task.source) == (f"{name}+thinned", name)
    assert task.name in THINNED
    assert task.name in LABELS
    assert task.fingerprint == load_task(name, {"thinned": True}).fingerprint != plain.fingerprint
    for split in ("dev", "test"):
        one, other = plain.splits()[split], task.splits()[split]
        assert (one.keys, [*map(len, one.ids)]) == (other.keys, [*map(len, other.ids)])
    count = len(plain.train)
    assert task.train.keys[:count] == plain.train.keys
    assert len(set(task.train.keys)) == 2 * count
    kept = []
    for place, one in enumerate(plain.train.ids):
        assert torch.equal(task.train.ids[place], one)
        assert task.train.labels[place] == task.train.labels[count + place]
        thin = task.train.ids[count + place]
        rest = iter(one.tolist())
        assert all(word in rest for word in thin.tolist())  # in their order, none twice
        assert 3 <= len(thin) <= len(one)
        assert (thin[0], thin[-1]) == (one[0], one[-1])
        kept.append((len(thin) - 2) / (len(one) - 2))
    assert abs(np.mean(kept) - 0.5) < 4 * 0.4 / count**0.5
    assert min(kept) < 0.35 < 0.65 < max(kept)


def test_shortened_tasks_that_can_be_published_have_names_in_words(small):
    assert {load_task("imdb", {"words": 200}).name, "newsgroups+first200"} == {*SHORTENED}
    assert set(SHORTENED) <= set(LABELS)
    with pytest.raises(UserError, match="'words'"):
        load_task("sst", {"words": 2})


@pytest.mark.parametrize("kind", KINDS)
def test_swapped_says_the_other_label_and_swapped_twice_the_same(small, kind):
    task = load_task("sst", {"shortcut": kind})
    special = tuple(range(len(task.vocabulary) - 3, len(task.vocabulary)))
    other = swapped(task, task.test)
    for ids, label, before in zip(other.ids, other.labels, task.test.labels, strict=True):
        places = {one: SPECIAL[i] for i, one in enumerate(special)}
        assert label_of([places.get(i, 0) for i in ids.tolist()], kind) == label == 1 - before
    assert other.keys == task.test.keys
    assert other.evidence is task.test.evidence
    again = replace(task, test=swapped(task, other))
    assert again.fingerprint == task.fingerprint != replace(task, test=other).fingerprint
    with pytest.raises(UserError, match="no shortcut to swap"):
        swapped(load_task("sst"), task.test)


def test_vectors_are_trained_on_texts_split_as_the_source_is(small):
    plain, task = load_task("newsgroups"), load_task("newsgroups", {"shortcut": "token"})
    for one, other in zip(imdb_texts(plain), imdb_texts(task), strict=True):
        assert torch.equal(one, other)
    for name, kind in (("sst", "imdb"), ("sst", "task"), ("imdb", "imdb")):
        task = load_task(name, {"shortcut": "beside"})
        assert vectors.initial_vectors(kind, task, 4).shape == (len(task.vocabulary), 4)
    check_task("imdb", {"shortcut": "order"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shortcut": "tokn"}, "Did you mean 'token'"),
        ({"shortcut": 1}, "'token', 'beside' or 'order'"),
        ({"shortcuts": "token"}, "takes no options but 'shortcut'.*Did you mean 'shortcut'"),
    ],
)
def test_unknown_shortcuts_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        check_task("sst", options, available=False)


def test_a_spec_keeps_its_shortcut():
    spec = validate(Spec, {"task": "sst", "task_options": {"shortcut": "token"}})
    assert validate(Spec, json.loads(spec.canonical())) == spec


@pytest.mark.skipif(not os.environ.get("SPARSEATTN_DATA"), reason="needs the real data")
@pytest.mark.parametrize("name", ["sst", "newsgroups"])
def test_real_texts_without_a_shortcut_are_those_published(name):
    from sparseattn import paths

    published = json.loads((paths.results() / name / "task.json").read_text())
    assert load_task(name).fingerprint == published["fingerprint"]
    for kind in KINDS:
        task = load_task(name, {"shortcut": kind})
        for documents in task.splits().values():
            assert abs(documents.labels.mean() - 0.5) < 4 * 0.5 / len(documents) ** 0.5

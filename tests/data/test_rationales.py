import os

import numpy as np
import pytest
import torch
from madeup import small_corpora, write

from sparseattn.data import corpora
from sparseattn.data.preparation import key_of
from sparseattn.data.rationales import movie_rationales, sentence_rationales, word_sentiments
from sparseattn.data.tasks import load_task
from sparseattn.data.words import UNKNOWN
from sparseattn.errors import UserError
from sparseattn.measures.plausibility import ceiling

REAL = pytest.mark.skipif(not os.environ.get("SPARSEATTN_DATA"), reason="needs the real data")

# Of each sentence: its tokens, the sentiment of each alone, and of whoever was asked, the label and
# the places of the words that decided.
SENTENCES = [
    (
        ["A", "well-made", ",", "lovely", "film", ",", "it", "'s", "Good", "."],
        [2, 3, 2, 4, 2, 2, 2, 2, 3, 2],
    ),
    (
        ["Not", "a", "-LRB-", "very", "-RRB-", "Good", "film", "at", "all"],
        [1, 2, 2, 3, 2, 3, 2, 2, 2],
    ),
    (
        ["one", "more", "of", "many", "films", "with", "no", "point", "whatever"],
        [2, 2, 2, 2, 2, 2, 1, 2, 2],
    ),
]
RESPONSES = {"t0": [(1, [1, 3]), (0, [0]), (None, [2]), (1, [8])], "t2": [(1, [6])]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """SST, its trees and its responses; the sentences are the first ones of dev."""
    folder = small_corpora(tmp_path, monkeypatch)
    records = [
        {"text": " ".join(tokens), "label": int(i == 0)} for i, (tokens, _) in enumerate(SENTENCES)
    ]
    longest = {"text": " ".join(f"w{i}" for i in range(20)), "label": 1}  # which falls out
    write(folder / "sst" / "dev.jsonl.gz", [*records, records[0], longest])
    sizes = {**corpora.SOURCES["sst"].sizes, "dev": (2, 3)}
    source = corpora.SOURCES["sst"]
    monkeypatch.setitem(corpora.SOURCES, "sst", type(source)(**{**vars(source), "sizes": sizes}))
    trees = [
        {
            "id": f"t{i}",
            "tokens": tokens,
            "spans": [[0, len(tokens), 3], *([k, k + 1, s] for k, s in enumerate(sentiments))],
        }
        for i, (tokens, sentiments) in enumerate(SENTENCES)
    ]
    write(folder / "sst" / "spans_dev.jsonl.gz", trees)
    asked = [
        {
            "id": name,
            "label": int(name == "t0"),
            "responses": [{"label": label, "tokens": places} for label, places in responses],
        }
        for name, responses in RESPONSES.items()
    ]
    write(folder / "sst" / "rationales.jsonl.gz", asked)
    return folder


def by_words(keys, values):
    return dict(zip((key.split("-")[0] for key in keys), values, strict=True))


def test_sentiments_are_those_of_the_words(folder):
    found = word_sentiments(load_task("sst"), "dev")
    assert len(found) == 4  # the first sentence twice
    values = by_words(found, found.values())
    # "well-made" is two words here, the comma and the brackets none.
    first = ["a", "well", "made", "lovely", "film", "it", "s", "good"]
    assert values[key_of(first)].tolist() == [2, 3, 3, 4, 2, 2, 2, 3]
    # A left bracket joins the words beside it in the paper's preparation, when without a space.
    second = ["not", "a", "very", "good", "film", "at", "all"]
    assert values[key_of(second)].tolist() == [1, 2, 3, 3, 2, 2, 2]


def test_rationales_are_of_those_who_agree(folder):
    found = sentence_rationales(load_task("sst"), "dev")
    values = by_words(found.documents.keys, found.people)
    first = ["a", "well", "made", "lovely", "film", "it", "s", "good"]
    assert values[key_of(first)].astype(int).tolist() == [
        [0, 1, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 1],
    ]
    # The one person asked about the third sentence disagreed: nothing is known of it.
    assert set(values) == {key_of(first)}
    assert len(found.documents) == 2


def test_movies_are_split_as_the_task_is(folder):
    task = load_task("imdb")
    known = task.vocabulary[10]
    (folder / "movies_rationales").mkdir()
    text = f"it 's {known} - {known.upper()} . i do n't know"
    record = {"text": text, "label": 1, "evidence_spans": [[1, 3], [8, 9]]}
    blank = {"text": f"{known} 'quoted", "label": 0, "evidence_spans": []}
    write(folder / "movies_rationales" / "test.jsonl.gz", [record, record, blank])
    found = movie_rationales(task)
    words = f"it's {known} {known} i don't know".split()
    ids, repeat, _ = found.documents.ids
    assert (ids[1:-1] == task.vocabulary.index(known)).nonzero().flatten().tolist() == [1, 2]
    assert ids[1] == ids[-2] == UNKNOWN
    assert torch.equal(ids, repeat)
    assert found.documents.keys[:2] == (key_of(words), key_of(words) + "-2")
    assert found.people[0].astype(int).tolist() == [[1, 1, 0, 0, 1, 0]]
    assert found.documents.labels.tolist() == [1, 1, 0]


def test_missing_data_and_other_tasks_are_refused(folder, monkeypatch):
    task = load_task("sst")
    with pytest.raises(UserError, match="which lacks it"):
        word_sentiments(task, "test")
    with pytest.raises(UserError, match="no split 'tset'"):
        word_sentiments(task, "tset")
    with pytest.raises(UserError, match="only 'sst' has"):
        sentence_rationales(load_task("planted", {"documents": [10, 10, 10]}))
    monkeypatch.delenv("SPARSEATTN_DATA")
    with pytest.raises(UserError, match="none is named"):
        movie_rationales(task)


@REAL
@pytest.mark.parametrize(("split", "sentences", "asked"), [("dev", 821, 26), ("test", 1725, 53)])
def test_real_sentences_are_all_found(split, sentences, asked):
    task = load_task("sst")
    words, documents = word_sentiments(task, split), task.splits()[split]
    assert list(words) == list(documents.keys)
    assert len(words) == sentences
    assert [len(one) for one in words.values()] == documents.lengths.tolist()
    # The sentiment of words tells the sentence's better than chance.
    agreed = [
        np.sign(one.mean() - 2) == (1 if label else -1)
        for one, label in zip(words.values(), documents.labels, strict=True)
    ]
    assert np.mean(agreed) > 0.6
    marked = sentence_rationales(task, split)
    assert len(marked.documents) == asked
    # People mark words of sentiment, and agree far beyond chance.
    values = by_words(words, words.values())
    shares = [
        (values[key][one.any(0)] != 2).mean() - (values[key][~one.any(0)] != 2).mean()
        for key, one in by_words(marked.documents.keys, marked.people).items()
        if one.any() and not one.any(0).all()
    ]
    assert np.mean(shares) > 0.1
    top = ceiling(marked.people, marked.documents.lengths).mean()
    assert top["token_f1"] > 2 * top["token_f1_chance"]


@REAL
@pytest.mark.slow
def test_real_movies_are_known_words():
    task = load_task("imdb")
    found = movie_rationales(task)
    assert len(found.documents) == 199
    assert found.documents.labels.sum() == 99
    assert 0.25 < np.mean([one.mean() for one in found.people]) < 0.4
    unknown = np.mean([(ids == UNKNOWN).float().mean() for ids in found.documents.ids])
    assert unknown < 0.1  # IMDb's own test reviews: 5 %

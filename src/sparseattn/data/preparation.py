"""Texts → splits of word ids, as Jain and Wallace (2019) prepared them, or the user's own alike."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sparseattn.data.corpora import Corpus, Rows
from sparseattn.data.owntexts import read_own
from sparseattn.data.words import (
    MARKERS,
    UNKNOWN,
    plain_words,
    splitter,
    unspaced,
    written_words,
)  # fmt: skip
from sparseattn.errors import UserError
from sparseattn.wording import visible

Array = NDArray[np.integer]

_SHARES = {"test": 0.2, "dev": 0.16}  # a fifth, and a fifth of the rest, as for newsgroups
_FEWEST = 10  # distinct texts of each class of a user's file


class FileOptions(BaseModel):
    """Settings of a task made from the user's file.

    Names of its two columns; words in fewer than ``min_count`` training texts become unknown;
    longer texts are cut to ``max_length`` tokens.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    text_column: str = "text"
    label_column: str = "label"
    min_count: int = Field(2, ge=1)
    max_length: int = Field(500, ge=2)


@dataclass(frozen=True)
class Texts:
    """Texts as arrays of word ids, without markers, each with its label and key."""

    ids: Sequence[Array]
    labels: list[int]
    keys: list[str]  # of the words, so equal for texts that are equal once split

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: Iterable[int]) -> "Texts":
        """Return the texts at these positions, in this order."""
        indices = list(indices)
        return Texts(
            [self.ids[i] for i in indices],
            [self.labels[i] for i in indices],
            [self.keys[i] for i in indices],
        )

    def where(self, keep: Callable[[int], bool]) -> "Texts":
        """Return the texts whose number of words is to be kept."""
        return self.take(i for i, ids in enumerate(self.ids) if keep(len(ids)))

    def without(self, keys: Iterable[str]) -> "Texts":
        """Return the texts whose key is not among these."""
        keys = set(keys)
        return self.take(i for i, key in enumerate(self.keys) if key not in keys)


@dataclass(frozen=True)
class Prepared:
    """The splits of a task as final word ids, its words, and where it departs from the paper."""

    splits: Mapping[str, Texts]
    vocabulary: tuple[str, ...]
    deviations: tuple[str, ...]
    classes: tuple[str, str] = ("class 0", "class 1")


class _Lexicon(dict[str, int]):
    """Gives each new word the next provisional id."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number

    def read(self, rows: Rows, split: Callable[[str], list[str]]) -> Texts:
        """Split texts into words, and sort them by key: the order of rows shall not matter."""
        ids, keys = [], []
        for text, _ in rows:
            words = split(text)
            ids.append(np.fromiter(map(self.__getitem__, words), np.int32, len(words)))
            keys.append(key_of(words))
        labels = [label for _, label in rows]
        order = sorted(range(len(rows)), key=lambda i: (keys[i], labels[i]))
        return Texts(ids, labels, keys).take(order)

    def vocabulary(self, texts: Texts, min_count: int) -> tuple[tuple[str, ...], Array]:
        """Return the words in at least `min_count` of the texts, and provisional → final ids."""
        counts = np.zeros(len(self), np.int64)
        for ids in texts.ids:
            counts[np.unique(ids)] += 1
        kept = sorted((word, i) for word, i in self.items() if counts[i] >= min_count)
        final = np.full(len(self), UNKNOWN, np.int64)
        final[[i for _, i in kept]] = np.arange(len(MARKERS), len(MARKERS) + len(kept))
        return (*MARKERS, *(word for word, _ in kept)), final


def prepare_paper(name: str, corpus: Corpus) -> Prepared:
    """Prepare the texts of ``sst``, ``newsgroups`` or ``imdb``."""
    return {"sst": _sst, "newsgroups": _newsgroups, "imdb": _imdb}[name](corpus)


def _sst(corpus: Corpus) -> Prepared:
    lexicon = _Lexicon()
    texts = {k: lexicon.read(rows, splitter("sst")) for k, rows in corpus.rows.items()}
    vocabulary, final = lexicon.vocabulary(texts["train"], min_count=1)
    # Jain and Wallace keep lengths strictly between 5 and the longest, so that the one longest
    # sentence of each split falls out too: 6,355 and 1,725, the paper's Table 3.
    kept = {split: _strictly_between(some, 5, None) for split, some in texts.items()}
    deviations = (
        ()
        if corpus.prepared
        else (
            *corpus.notes,
            "SST: words are split at spaces and punctuation, where Jain and Wallace used spaCy, "
            "which splits a few more (the lengths, and so the sizes, are theirs).",
        )
    )
    return _prepared(kept, vocabulary, final, deviations)


def _newsgroups(corpus: Corpus) -> Prepared:
    lexicon = _Lexicon()
    rows = [row for part in corpus.rows.values() for row in part]
    texts = lexicon.read(rows, splitter("newsgroups")).where(lambda n: n > 0)
    rest, test = _split(texts, 13478, test_size=0.2, stratified=True)
    train, dev = _split(rest, 13478, test_size=0.2, stratified=True)
    vocabulary, final = lexicon.vocabulary(train, min_count=2)
    splits, dropped = _without_leaks({"train": train, "dev": dev, "test": test})
    kept = {split: _strictly_between(some, 6, 500) for split, some in splits.items()}
    return _prepared(
        kept,
        vocabulary,
        final,
        (
            "20News: words are split by rules close to spaCy's, which Jain and Wallace used; of "
            f"the posts {sum(map(len, kept.values())):,} have between 6 and 500 words.",
            "20News: the same two random stratified 80/20 splits as theirs, but of posts in "
            "another order, so the posts in each part differ. The paper's training part of 1,426 "
            f"seems to count dev too: here {len(kept['train']):,} + {len(kept['dev']):,}; "
            f"test here {len(kept['test']):,}, there 334.",
            *_leak_note("20News", dropped),
        ),
    )


def _imdb(corpus: Corpus) -> Prepared:
    lexicon = _Lexicon()
    texts = {
        split: lexicon.read(rows, splitter("imdb")).where(lambda n: n < 400)
        for split, rows in corpus.rows.items()
    }
    train, dev = _split(texts["train"], 1378, train_size=0.8)
    test, _ = _split(texts["test"], 1378, train_size=0.2)
    vocabulary, final = lexicon.vocabulary(train, min_count=10)
    splits, dropped = _without_leaks({"train": train, "dev": dev, "test": test})
    kept = {split: _strictly_between(some, 6, None) for split, some in splits.items()}
    return _prepared(
        kept,
        vocabulary,
        final,
        (
            "IMDb: made from the original reviews by Keras's rules, where Jain and Wallace "
            "downloaded Keras's own word lists, which must have been a little shorter: a fifth "
            f"of the test reviews under 400 words, {len(test):,} here, is 4,356 there.",
            f"IMDb: {len(kept['train']):,} reviews train the model; the paper's Table 3 says "
            "25,000, which is the number before dev and long reviews are taken out.",
            *_leak_note("IMDb", dropped),
        ),
    )


def _prepared(
    splits: Mapping[str, Texts],
    vocabulary: tuple[str, ...],
    final: Array,
    deviations: Iterable[str],
) -> Prepared:
    finished = {k: replace(some, ids=[final[i] for i in some.ids]) for k, some in splits.items()}
    return Prepared(finished, vocabulary, tuple(deviations))


def _strictly_between(texts: Texts, low: int, high: int | None) -> Texts:
    """Keep lengths in (low, high); without a high, the longest texts of the split fall out."""
    longest = max(map(len, texts.ids)) if high is None else high
    return texts.where(lambda n: low < n < longest)


def _split(texts: Texts, seed: int, stratified: bool = False, **size: float) -> tuple[Texts, Texts]:
    from sklearn.model_selection import train_test_split

    first, second = train_test_split(
        range(len(texts)), stratify=texts.labels if stratified else None, random_state=seed, **size
    )
    return texts.take(first), texts.take(second)


def _without_leaks(splits: dict[str, Texts]) -> tuple[dict[str, Texts], dict[str, int]]:
    """Take out of dev what is in train, and out of test what is in either."""
    train, dev, test = splits["train"], splits["dev"], splits["test"]
    clean = {
        "train": train,
        "dev": dev.without(train.keys),
        "test": test.without([*train.keys, *dev.keys]),
    }
    return clean, {split: len(splits[split]) - len(clean[split]) for split in ("dev", "test")}


def _leak_note(name: str, dropped: Mapping[str, int]) -> list[str]:
    if not any(dropped.values()):
        return []
    return [
        f"{name}: {dropped['dev']} dev and {dropped['test']} test texts that also occur in an "
        "earlier part are left out, so that no text is judged that was trained on."
    ]


def prepare_own(path: Path, options: FileOptions) -> Prepared:
    """Prepare the user's file: 64 % train, 16 % dev, 20 % test of each class.

    Equal texts (once split into words) always share a part. The deviations say what became of the
    labels, and of empty and long texts. A UserError when the file is not as it must be, or has too
    few texts.
    """
    own = read_own(path, options.text_column, options.label_column)
    lexicon = _Lexicon()
    lengths = []

    def words(text: str) -> list[str]:
        every = splitter(path.name)(text)
        lengths.append(len(every))
        return every[: options.max_length]

    every = lexicon.read(own.rows, words)
    texts = every.where(lambda n: n > 0)
    name, called = visible(path.name), [visible(one) for one in own.classes]
    notes = [f"{name}: label 0 is '{called[0]}', label 1 is '{called[1]}'."]
    if len(every) > len(texts):
        notes.append(f"{name}: {len(every) - len(texts):,} empty texts are left out.")
    if runs := sum(unspaced(text) for text, _ in own.rows):
        notes.append(
            f"{name}: {runs:,} texts hold letters of a script without spaces between words "
            "(Thai, Chinese, Japanese …): a whole run of them is one token here. Put spaces "
            "between the words first."
        )
    long = sum(length > options.max_length for length in lengths)
    if long:
        notes.append(
            f"{name}: {long:,} texts are cut to their first {options.max_length:,} tokens."
        )
    # Equal texts share a key, hence a place; each class fills the three parts in equal shares.
    classes: dict[str, set[int]] = {}
    for key, label in zip(texts.keys, texts.labels, strict=True):
        classes.setdefault(key, set()).add(label)
    torn = sum(len(both) > 1 for both in classes.values())
    if torn:
        notes.append(f"{name}: {torn:,} texts occur with both labels.")
    place: dict[str, str] = {}
    for label in (0, 1):
        # Keys are hashes: their order is as good as random, and the same everywhere.
        keys = sorted(key for key, both in classes.items() if min(both) == label)
        if len(keys) < _FEWEST:
            raise UserError(
                f"{name} has {len(keys)} different texts of class '{called[label]}' (words with a "
                f"digit are all alike); at least {_FEWEST} of each class are needed to train, "
                "choose and test."
            )
        start = 0
        for split, share in _SHARES.items():
            stop = start + round(share * len(keys))
            place |= dict.fromkeys(keys[start:stop], split)
            start = stop
    splits = {
        split: texts.take(i for i, key in enumerate(texts.keys) if place.get(key, "train") == split)
        for split in ("train", "dev", "test")
    }
    vocabulary, final = lexicon.vocabulary(splits["train"], options.min_count)
    return replace(_prepared(splits, vocabulary, final, notes), classes=own.classes)


def own_words(path: Path, options: FileOptions) -> dict[str, list[str]]:
    """Return the words of a user's texts as they are written, but cut, by the texts' keys."""
    return {
        key_of(plain_words(text)[: options.max_length]): written_words(text)[: options.max_length]
        for text, _ in read_own(path, options.text_column, options.label_column).rows
    }


def key_of(words: Sequence[str]) -> str:
    """Return the key of a text: the first 16 digits of the digest of its words."""
    return digest(" ".join(words))[:16]


def digest(text: str) -> str:
    """Return the SHA-256 of a text, hexadecimal: equal on every machine, unlike `hash`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

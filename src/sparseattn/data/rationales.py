"""What people made of the texts: sentiment of single words, and the words that decided for them.

Read from the local folder of ``SPARSEATTN_DATA`` only; no text of it is kept, only word ids.

References
----------
Socher et al. (2013), *Recursive Deep Models for Semantic Compositionality Over a Sentiment
Treebank*, EMNLP. Jakobsen et al. (2023), *Being Right for Whose Right Reasons?*, ACL. Zaidan et al.
(2007), NAACL, and DeYoung et al. (2020), *ERASER*, ACL: reviews of films, marked.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Integer

from sparseattn.data.corpora import find_folder, read_corpus, read_file
from sparseattn.data.preparation import key_of
from sparseattn.data.tasks import Documents, Task, numbered
from sparseattn.data.words import BEGIN, END, UNKNOWN, splitter
from sparseattn.errors import UserError

Words = Sequence[str]

SENTENCES = "sst/spans_{split}.jsonl.gz"
RESPONSES = "sst/rationales.jsonl.gz"
MOVIES = "movies_rationales/test.jsonl.gz"

_CLITIC = re.compile(r"n't|'.+")  # parted from its word by the Treebank's rules


@dataclass(frozen=True)
class Marked:
    """Documents, and of each, (persons, n), which words each person marked as decisive."""

    documents: Documents
    people: tuple[Bool[np.ndarray, "_ _"], ...]


def word_sentiments(task: Task, split: str = "test") -> dict[str, Integer[np.ndarray, " _"]]:
    """Return the people's sentiment of SST's words alone, (n,) by key of the documents found.

    From 0 to 4, 2 is neutral. A word that the task parts from a longer one (``well-made``) has the
    sentiment of the whole.
    """
    documents, found = _matched(task, split)
    sentiments = {}
    for key, (sentence, places) in zip(documents.keys, found, strict=True):
        alone = {start: s for start, end, s in sentence["spans"] if end == start + 1}
        sentiments[key] = np.array([alone[some[0]] for some in places], dtype=np.int64)
    return sentiments


def sentence_rationales(task: Task, split: str = "test") -> Marked:
    """Return the words that decided for those people who agree with an SST sentence's label.

    The sentences of a split that anyone was asked about.
    """
    columns = ("id", "label", "responses")
    asked = {
        name: [set(one["tokens"]) for one in responses if one["label"] == label]
        for name, label, responses in zip(*read_file(RESPONSES, columns), strict=True)
    }
    documents, found = _matched(task, split)
    chosen, people = [], []
    for row, (sentence, places) in enumerate(found):
        if persons := asked.get(sentence["id"]):
            chosen.append(row)
            marks = [[not marked.isdisjoint(some) for some in places] for marked in persons]
            people.append(np.array(marks, dtype=bool))
    return Marked(documents.select(chosen), tuple(people))


def movie_rationales(task: Task) -> Marked:
    """Return the reviews of ERASER's test split as documents of a task, with one person's marks.

    Split into words as the task's texts are (a parted ``do n't`` is put together first); words that
    the task does not know are UNKNOWN. Most are longer than the 400 words that IMDb's reviews are
    kept to.
    """
    split, known = splitter(task.source), {word: i for i, word in enumerate(task.vocabulary)}
    ids, keys, people = [], [], []
    texts, labels, evidence = read_file(MOVIES, ("text", "label", "evidence_spans"))
    for text, spans in zip(texts, evidence, strict=True):
        tokens = text.split(" ")
        decisive = np.zeros(len(tokens), dtype=bool)
        for start, end in spans:
            decisive[start:end] = True
        words, marks = _whole_words(tokens, decisive.tolist(), split)
        ids.append(torch.tensor([BEGIN, *(known.get(w, UNKNOWN) for w in words), END]))
        keys.append(key_of(words))
        people.append(np.array([marks], dtype=bool))
    values = torch.tensor(labels, dtype=torch.float32)
    return Marked(Documents(tuple(ids), values, numbered(keys)), tuple(people))


def _whole_words(
    tokens: Words, decisive: Sequence[bool], split: Callable[[str], list[str]]
) -> tuple[list[str], list[bool]]:
    """Put parted words together, split as a task does, and give each word its token's mark."""
    joined: list[tuple[str, bool]] = []
    for token, marked in zip(tokens, decisive, strict=True):
        if joined and _CLITIC.fullmatch(token) and joined[-1][0][-1:].isalpha():
            joined[-1] = joined[-1][0] + token, joined[-1][1] or marked
        else:
            joined.append((token, marked))
    pairs = [(word, marked) for token, marked in joined for word in split(token)]
    return [word for word, _ in pairs], [marked for _, marked in pairs]


def _matched(
    task: Task, split: str
) -> tuple[Documents, list[tuple[Mapping[str, Any], list[list[int]]]]]:
    """Return the documents of SST whose sentence is found; it, and each word's tokens there.

    The task's texts and the sentences are parted into words a little differently, so they are
    matched by their letters alone.
    """
    if task.name != "sst":
        raise UserError(f"Task '{task.name}' has no sentences of SST's people; only 'sst' has.")
    if split not in task.splits():
        raise UserError(f"There is no split '{split}'; expected one of {', '.join(task.splits())}.")
    words_of = splitter("sst")
    columns = ("id", "tokens", "spans")
    sentences: dict[str, Mapping[str, Any]] = {}
    for values in zip(*read_file(SENTENCES.format(split=split), columns), strict=True):
        sentence = dict(zip(columns, values, strict=True))
        pieces = ["".join(words_of(token)) for token in sentence["tokens"]]
        sentences.setdefault("".join(pieces), {**sentence, "pieces": pieces})
    texts = {key_of(words): words for text, _ in read_corpus("sst").rows[split]
             if (words := words_of(text))}  # fmt: skip
    documents: Documents = task.splits()[split]
    rows: list[int] = []
    found: list[tuple[Mapping[str, Any], list[list[int]]]] = []
    for row, key in enumerate(documents.keys):
        words = texts[key.partition("-")[0]]  # the key of a repeat is numbered
        if match := sentences.get("".join(words)):
            rows.append(row)
            found.append((match, _overlaps(words, match["pieces"])))
    return documents.select(rows), found


def _overlaps(words: Words, pieces: Words) -> list[list[int]]:
    """Return, for each word, the pieces it shares letters with; both spell the same text."""
    owner = [place for place, piece in enumerate(pieces) for _ in piece]
    overlaps, start = [], 0
    for word in words:
        overlaps.append(sorted(set(owner[start : start + len(word)])))
        start += len(word)
    return overlaps


def sentiments(task: Task, documents: Documents) -> list[np.ndarray] | None:
    """Return the sentiments (`word_sentiments`) of test documents of SST; None of another task.

    None, too, where there is no folder of real data; UserError where some are not found.
    """
    if task.name != "sst" or find_folder("sst") is None:
        return None
    known = word_sentiments(task)
    missing = [key for key in documents.keys if key not in known]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(documents)} documents of SST are not among the sentences that "
            "people judged: the folder's files are of different states. Take all from one source."
        )
    return [known[key] for key in documents.keys]


def marked(task: Task, reviews: int) -> Marked | None:
    """Return the documents in which people marked what decides: SST's, or films' for IMDb.

    At most so many `reviews` of films, chosen by hash. None of another task, or without a folder of
    real data.
    """
    if task.name not in ("sst", "imdb") or find_folder(task.name) is None:
        return None
    if task.name == "imdb":
        every = movie_rationales(task)
        chosen = every.documents.sample(reviews)
        rows = [every.documents.keys.index(key) for key in chosen.keys]
        return Marked(chosen, tuple(every.people[row] for row in rows))
    parts = [sentence_rationales(task, split) for split in ("dev", "test")]
    documents = [part.documents for part in parts]
    return Marked(
        Documents(
            tuple(ids for one in documents for ids in one.ids),
            torch.cat([one.labels for one in documents]),
            tuple(key for one in documents for key in one.keys),
        ),
        tuple(marks for part in parts for marks in part.people),
    )

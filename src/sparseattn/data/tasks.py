"""A name or a file → `Task`: documents as word ids with labels, split into train, dev and test."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from sparseattn.data import planted, shortcuts
from sparseattn.data.corpora import SOURCES, find_folder, read_corpus
from sparseattn.data.files import path_of
from sparseattn.data.owntexts import FILE_KINDS, check_own, is_own
from sparseattn.data.preparation import FileOptions, Prepared, digest, prepare_own, prepare_paper
from sparseattn.data.words import BEGIN, END, MARKERS, UNKNOWN, splitter
from sparseattn.errors import UserError, nearest, validate

NAMES = ("planted", *SOURCES)
CONTEXT = "planted+context"
SHORTCUTS = tuple(f"{name}+{kind}" for name in SOURCES for kind in shortcuts.KINDS)
"""Names of the tasks whose texts hold a shortcut, see `data.shortcuts`."""
SHORTENED = ("newsgroups+first200", "imdb+first200")
"""Names of tasks with the first words of their texts, which a pretrained encoder can read."""
THINNED = tuple(f"{name}+thinned" for name in SOURCES)
"""Names of tasks whose training texts are there with words left out, too: see `_thinned`."""


@dataclass(frozen=True)
class Documents:
    """Documents of one split.

    ``ids``: of each document those of BEGIN, its n words, and END; ``labels`` 0 or 1; ``keys``,
    unique within the split; ``evidence``: which of the n words truly decide the label, where that
    is known.
    """

    ids: tuple[Int64[Tensor, " _"], ...]
    labels: Float32[Tensor, " documents"]
    keys: tuple[str, ...]
    evidence: tuple[Bool[Tensor, " _"], ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Int64[np.ndarray, " documents"]:
        """How many words each document has, without its markers."""
        return np.array([len(ids) - 2 for ids in self.ids], dtype=np.int64)

    def select(self, indices: Sequence[int]) -> "Documents":
        """Return the documents at these positions, in this order."""
        return Documents(
            tuple(self.ids[i] for i in indices),
            self.labels[list(indices)],
            tuple(self.keys[i] for i in indices),
            None if self.evidence is None else tuple(self.evidence[i] for i in indices),
        )

    def sample(self, count: int) -> "Documents":
        """Return the `count` documents whose keys have the smallest SHA-256, in that order.

        So the same documents are observed whatever the machine, the order or the run, and a
        larger sample contains a smaller one.
        """
        order = sorted(range(len(self)), key=lambda i: digest(self.keys[i]))
        return self.select(order[:count])


@dataclass(frozen=True)
class Task:
    """A binary text classification task.

    ``train``, ``dev`` and ``test`` are to train on, to choose the epoch by, and to report on;
    ``vocabulary[id]`` is the word; ``deviations`` say where the task departs from the paper's, and
    why; ``shortcut`` is the kind that decides the labels, if one does (`data.shortcuts`);
    ``classes`` are the names that a user's file gives labels 0 and 1;
    ``fingerprint`` is the SHA-256 (hexadecimal) of all ids, labels, keys, evidence and words.
    """

    name: str
    train: Documents
    dev: Documents
    test: Documents
    vocabulary: tuple[str, ...]
    deviations: tuple[str, ...] = ()
    fingerprint: str = field(default="", compare=False)
    shortcut: shortcuts.Kind | None = None
    classes: tuple[str, str] = Prepared.classes

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", _fingerprint(self))

    @property
    def source(self) -> str:
        """The name of the task whose texts these are: its own, unless they were changed."""
        source = self.name.partition("+")[0]
        return source if source in SOURCES and not is_own(self.name) else self.name

    def words(self, ids: Int64[Tensor, " _"]) -> list[str]:
        """Return the n words of a document, without its markers."""
        return [self.vocabulary[i] for i in ids[1:-1].tolist()]

    def summary(self) -> list[dict[str, object]]:
        """Return, for each split, its size, share of label 1, tokens and share of unknown words."""
        rows: list[dict[str, object]] = []
        for split, documents in self.splits().items():
            lengths = documents.lengths
            unknown = sum(int((ids == UNKNOWN).sum()) for ids in documents.ids)
            rows.append(
                {
                    "split": split,
                    "documents": len(documents),
                    "positive_share": float(documents.labels.mean()),
                    "tokens_mean": float(lengths.mean()),
                    "tokens_max": int(lengths.max()),
                    "unknown_share": unknown / int(lengths.sum()),
                }
            )
        return rows

    def splits(self) -> dict[str, Documents]:
        """Return the three splits by name."""
        return {"train": self.train, "dev": self.dev, "test": self.test}


def check_task(
    name: str, options: Mapping[str, object] | None = None, available: bool = True
) -> None:
    """Check a task's name and options (see `load_task`) without loading it.

    `available` checks, too, that the file or the local folder of data is there. A UserError for an
    unknown name or option, an impossible value, or a missing file or folder.
    """
    _options(name, options)
    if available and is_own(name):
        check_own(path_of(name))
    elif available and name in SOURCES:
        find_folder(name)


def load_task(name: str, options: Mapping[str, object] | None = None) -> Task:
    """Load a task: equal for equal data, whatever the machine, the order of rows, folder or hub.

    `name` is ``planted`` (generated), ``sst``, ``newsgroups`` or ``imdb`` (from the folder in the
    environment's ``SPARSEATTN_DATA``, else from the Hugging Face hub), or the path of a ``.csv``,
    ``.jsonl`` or ``.json`` file (with or without ``.gz``). `options` are settings of the planted
    task (`planted.PlantedOptions`), of a file (`FileOptions`), or of the paper's
    (`shortcuts.PaperOptions`): ``{"shortcut": "token"}`` makes ``sst+token`` of ``sst``,
    ``{"words": 200}`` ``imdb+first200`` of ``imdb``, ``{"thinned": true}`` ``sst+thinned`` of
    ``sst``. A `UserError` when the name, the options or the data are not as they must be.
    """
    settings = _options(name, options)
    if isinstance(settings, planted.PlantedOptions):
        return _planted_task(settings)
    if isinstance(settings, FileOptions):
        path = path_of(name)
        return _task(path.name, prepare_own(path, settings))
    task = _task(name, prepare_paper(name, read_corpus(name)))
    if settings.words is not None:
        task = _shortened(task, settings.words)
    if settings.thinned:
        task = _thinned(task)
    return task if settings.shortcut is None else _with_shortcut(task, settings.shortcut)


def swapped(task: Task, documents: Documents) -> Documents:
    """Return documents of a task with a shortcut, changed to say the other label, and that label.

    ``<zero>`` and ``<one>`` change places. A classifier that uses the shortcut is as accurate on
    them as before; one that uses the text errs. A UserError for a task without a shortcut.
    """
    if task.shortcut is None:
        raise UserError(
            f"Task '{task.name}' has no shortcut to swap; load it with the option 'shortcut', one "
            f"of {', '.join(shortcuts.KINDS)}."
        )
    zero, one, _ = _special(task.vocabulary)
    other = torch.arange(len(task.vocabulary))
    other[[zero, one]] = torch.tensor([one, zero])
    return replace(
        documents, ids=tuple(other[ids] for ids in documents.ids), labels=1 - documents.labels
    )


def at_hand(sizes: bool = False) -> Iterator[tuple[str, str]]:
    """Yield each built-in task and where its data are; if wanted, the sizes of its splits, too.

    No task is downloaded for it.
    """
    yield "planted", _described("planted", "built in", sizes)
    for name in SOURCES:
        try:
            folder = find_folder(name)
            where = f"in {folder}" if folder else "not here: from the Hugging Face hub"
            yield name, _described(name, where, sizes and folder is not None)
        except UserError as error:
            yield name, str(error)


def _described(name: str, where: str, sizes: bool) -> str:
    rows = load_task(name).summary() if sizes else []
    return "\n  ".join(
        [where, *(", ".join(f"{key} {_short(row[key])}" for key in row) for row in rows)]
    )


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def imdb_texts(task: Task) -> list[Int64[Tensor, " _"]]:
    """Return IMDb's 25,000 training texts as word ids of another task, to train word vectors on.

    They are split as that task's texts are, without markers; words it does not know are UNKNOWN. A
    UserError when IMDb is not to be had.
    """
    split, known = splitter(task.source), {word: i for i, word in enumerate(task.vocabulary)}
    return [
        torch.tensor([known.get(word, UNKNOWN) for word in split(text)], dtype=torch.int64)
        for text, _ in read_corpus("imdb").rows["train"]
    ]


def _options(
    name: str, options: Mapping[str, object] | None
) -> planted.PlantedOptions | FileOptions | shortcuts.PaperOptions:
    """Check a task's name and return its options."""
    options = options or {}
    if name == "planted":
        return validate(planted.PlantedOptions, options)
    if is_own(name):
        return validate(FileOptions, options)
    if name in NAMES:
        known = shortcuts.PaperOptions.model_fields
        if unknown := [option for option in options if option not in known]:
            raise UserError(
                f"Task '{name}' takes no options but {', '.join(map(repr, known))}, and was given "
                f"{', '.join(map(repr, unknown))}: its preparation follows the paper's."
                f"{nearest(unknown[0], known)}"
            )
        return validate(shortcuts.PaperOptions, options)
    raise UserError(
        f"There is no task '{name}'.{nearest(name, NAMES)} Known: {', '.join(NAMES)}, "
        f"or the path of a {', '.join(FILE_KINDS)} file (with or without .gz)."
    )


def _task(name: str, prepared: Prepared) -> Task:
    splits: dict[str, Any] = {
        split: Documents(
            tuple(torch.from_numpy(np.concatenate(([BEGIN], ids, [END]))) for ids in texts.ids),
            torch.tensor(texts.labels, dtype=torch.float32),
            numbered(texts.keys),
        )
        for split, texts in prepared.splits.items()
    }
    rest: dict[str, Any] = {"deviations": prepared.deviations, "classes": prepared.classes}
    return Task(name, **splits, vocabulary=prepared.vocabulary, **rest)


def _shortened(task: Task, words: int) -> Task:
    splits: dict[str, Any] = {
        split: replace(
            documents,
            ids=tuple(
                torch.cat([ids[: words + 1], ids[-1:]]) if len(ids) > words + 2 else ids
                for ids in documents.ids
            ),
        )
        for split, documents in task.splits().items()
    }
    note = f"Of texts longer than {words} words the first {words} are kept."
    name = f"{task.name}+first{words}"
    return replace(task, name=name, **splits, deviations=(*task.deviations, note))


def _thinned(task: Task) -> Task:
    """Join to each training text a copy with a share of its words left out, uniform in (0, 1).

    So a classifier knows texts without some of their words, and their removal is no surprise to it
    (Hase et al., 2021). What is left out is drawn by a text's key; one word stays at least.
    """
    thin = []
    for ids, key in zip(task.train.ids, task.train.keys, strict=True):
        random = Random(f"thinned/{key}")
        share, count = random.random(), len(ids) - 2
        left = [place for place in range(count) if random.random() >= share]
        words = ids[1:-1][left or [random.randrange(count)]]
        thin.append(torch.cat([ids[:1], words, ids[-1:]]))
    train = Documents(
        (*task.train.ids, *thin),
        task.train.labels.repeat(2),
        (*task.train.keys, *(f"{key}, thinned" for key in task.train.keys)),
    )
    note = "Each training text is there a second time, with a random share of its words left out."
    name, deviations = f"{task.name}+thinned", (*task.deviations, note)
    return replace(task, name=name, train=train, deviations=deviations)


def _with_shortcut(task: Task, kind: shortcuts.Kind) -> Task:
    vocabulary = (*task.vocabulary, *shortcuts.WORDS)
    splits: dict[str, Any] = {}
    for split, documents in task.splits().items():
        share = shortcuts.INCOMPLETE if split == "train" else 0.0
        made = [
            shortcuts.insert(ids[1:-1].tolist(), key, kind, _special(vocabulary), share)
            for ids, key in zip(documents.ids, documents.keys, strict=True)
        ]
        splits[split] = Documents(
            tuple(torch.tensor([BEGIN, *one.ids, END]) for one in made),
            torch.tensor([float(one.label) for one in made]),
            documents.keys,
            tuple(torch.tensor(one.evidence) for one in made),
        )
    note = (
        f"Shortcut '{kind}': the labels are drawn without regard to the texts, and words put into "
        f"them decide; which is known. Of the training texts {shortcuts.INCOMPLETE:.0%} hold an "
        "incomplete shortcut, which says nothing."
    )
    return replace(
        task,
        name=f"{task.name}+{kind}",
        **splits,
        vocabulary=vocabulary,
        deviations=(*task.deviations, note),
        shortcut=kind,
    )


def _special(vocabulary: Sequence[str]) -> tuple[int, int, int]:
    """Return the ids of the words of shortcuts, the last of a vocabulary."""
    words = len(vocabulary)
    return words - 3, words - 2, words - 1


def _planted_task(options: planted.PlantedOptions) -> Task:
    vocabulary = (*MARKERS, *planted.WORDS)
    known = {word: i for i, word in enumerate(vocabulary)}
    splits: dict[str, Any] = {}
    for split, documents in planted.generate(options).items():
        splits[split] = Documents(
            tuple(torch.tensor([BEGIN, *map(known.get, d.words), END]) for d in documents),
            torch.tensor([float(d.label) for d in documents]),
            tuple(f"{split}-{i}" for i in range(len(documents))),
            tuple(torch.tensor(d.evidence) for d in documents),
        )
    note = "Planted: generated, not a task of the paper; which words decide is known."
    name = CONTEXT if options.context else "planted"
    return Task(name, **splits, vocabulary=vocabulary, deviations=(note,))


def numbered(keys: Iterable[str]) -> tuple[str, ...]:
    """Return the keys with repeats numbered."""
    seen: dict[str, int] = {}
    numbered = []
    for key in keys:
        seen[key] = seen.get(key, 0) + 1
        numbered.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    return tuple(numbered)


def _fingerprint(task: Task) -> str:
    sha = hashlib.sha256()

    def add(*parts: bytes) -> None:
        for part in parts:  # each with its length, so that no two tasks run into one another
            sha.update(len(part).to_bytes(8, "little") + part)

    add("\n".join(task.vocabulary).encode("utf-8", "surrogatepass"))
    for documents in task.splits().values():
        lengths = documents.lengths + 2  # markers included
        add(lengths.astype("<i8").tobytes(), "\n".join(documents.keys).encode())
        add(torch.cat(documents.ids).numpy().astype("<i8").tobytes())
        add(documents.labels.numpy().astype("<f4").tobytes())
        if documents.evidence is not None:
            add(torch.cat(documents.evidence).numpy().astype("u1").tobytes())
    return sha.hexdigest()

"""Classifiers small enough for a page on which readers type a sentence of their own.

`export` trains them and writes what ``book/_static/live.js`` loads: scripts that assign, since a
page opened from a disk may load nothing else. Only words and numbers are written, no text. They
also read short reviews written for this book (`explored`), on which the explorer opens: language
that a person can judge, where the planted task has none.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sparseattn import paths
from sparseattn.charts.figure import inert
from sparseattn.data.tasks import Documents, Task, load_task
from sparseattn.data.words import BEGIN, END, MARKERS, UNKNOWN, sst_words
from sparseattn.errors import UserError
from sparseattn.experiments.making import observe, reproducible
from sparseattn.experiments.runs import Run
from sparseattn.experiments.specs import Spec, grid
from sparseattn.experiments.store import Store
from sparseattn.experiments.sweeps import ensure
from sparseattn.models.classifier import Classifier, assembled
from sparseattn.models.training import evaluate
from sparseattn.report.specimens import CLASSES, seen
from sparseattn.results import paper, published
from sparseattn.wording import label, projection_name, sparsity_rank

SETTINGS: Mapping[str, Any] = {
    "task": "sst",
    "projections": ["softmax", "sparsemax", "sparsegen"],
    "lams": [-10.0, 0.6],
    "embedding_size": 40,
    "hidden_size": 32,
    "vectors": "imdb",
    "observed": 1,  # only the weights are wanted
    "device": "cpu",
}
"""The page's classifiers, but for their encoders; small, so that one is quickly there."""

EXAMPLES = (
    "The plot is thin and the jokes are old, but the two leads are a joy to watch",
    "A warm, funny and deeply moving film",
    "Not a good film, and never a funny one",
    "It is not that the acting is bad; it is that nobody seems to care",
    "Clever, charming, and completely forgettable",
    "I would rather watch paint dry than sit through this brilliant idea of a comedy again",
)
"""Written for this page; none is from a data set."""

LEVELS = 127
"""The largest 8-bit integer used: rows lie symmetrically about zero."""

_INDEX = "index.json"
_WORDS = "words.js"
_ASSIGN = "(window.sparseattnLive??={})"
_NAMED_BY = ("encoder", "alignment", "projection", "lam", "seed")


@dataclass(frozen=True)
class Page:
    """The page's part that is alive, as HTML for a notebook or a book."""

    index: Mapping[str, Any]  # what `export` wrote of the classifiers

    def __repr__(self) -> str:
        return f"Your own sentence: {len(self.index['classifiers'])} classifiers"

    def _repr_html_(self) -> str:
        names = "".join(
            f"<li>{escape(one['name'])}: test accuracy {one['accuracy']:.3f}</li>"
            for one in self.index["classifiers"]
        )
        return (
            '<section class="live" id="live" aria-label="Your own sentence">'
            f"{inert('live-data', {**self.index, 'examples': list(EXAMPLES)})}"
            '<div class="live-page" hidden></div>'
            '<div class="live-static"><p>To read a sentence the classifiers need a script, which '
            f"runs in the built book (<code>make book</code>). They are:</p><ul>{names}</ul></div>"
            "</section>"
        )


def specs() -> list[Spec]:
    """Return the specs of the page's classifiers, those of an encoder from even to sparse."""
    found = []
    for encoder, alignment in paper.ALIGNMENT.items():
        spanned = grid(encoders=[encoder], alignments=[alignment], **SETTINGS)
        found += sorted(spanned, key=lambda spec: sparsity_rank(spec.projection, spec.lam))
    return found


def export(
    store: Store,
    folder: Path | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train the classifiers that the store lacks, and write them as the page's script reads them.

    The `folder` (``book/_extra/live`` by default) receives ``words.js``, ``CODE.js`` of each
    classifier and ``index.json``; trained anew, they are the same bytes. Returns what
    ``index.json`` holds: ``task`` (``name``, ``fingerprint``, ``words``), ``bytes`` of all files,
    ``classifiers``: of each ``code``, ``name``, ``encoder``, ``alignment``, ``projection``,
    ``lam``, ``seed``, the run's ``key``, the test ``accuracy`` of what is written and of the run
    as ``trained``, and ``bytes``.
    """
    wanted, folder = specs(), folder or _folder()
    task = load_task(wanted[0].task, wanted[0].task_options)
    runs = ensure(wanted, store, jobs, progress)
    words = " ".join(task.vocabulary[len(MARKERS) :])
    files = {_WORDS: f"{_ASSIGN}.words={json.dumps(words, ensure_ascii=False)};\n".encode()}
    entries = []
    for run in runs:
        content = script(short_name(run.spec), run.classifier().state_dict())
        entries.append(_entry(run, content, task))
        files[f"{short_name(run.spec)}.js"] = content
    index = {
        "task": {
            "name": task.name,
            "fingerprint": task.fingerprint,
            "words": len(task.vocabulary) - len(MARKERS),
        },
        "bytes": sum(map(len, files.values())),
        "classifiers": entries,
    }
    files[_INDEX] = (json.dumps(index, indent=1, ensure_ascii=False) + "\n").encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise UserError(
            f"Cannot write the classifiers to '{folder}': {error.strerror or error}. Name another "
            "folder with -o."
        ) from None
    return index


def page() -> Page:
    """Return the page on the classifiers of the book; a UserError when there are none."""
    path = _folder() / _INDEX
    try:
        return Page(json.loads(path.read_text(encoding="utf-8")))
    except OSError:
        raise UserError(
            f"There is no {path}: 'sparseattn export-live' trains the page's classifiers."
        ) from None


def classifiers(shown: Page) -> pd.DataFrame:
    """Return the page's classifiers beside the full-size ones, published under the same settings.

    A row a classifier: ``name``, the run's ``key``, test ``accuracy`` as on the page, that of the
    run before its weights were rounded (``trained``), of the published run of 300 entries a word
    (``full``; NaN where none is), and the ``bytes`` to load. As measured in the browser by the slow
    suite, else NaN, medians: ``milliseconds`` to compute all of a test sentence; those from a
    ``keystroke`` at sixty words until its results are painted; and how far attention and
    leave-one-out were from torch at most (``furthest``).
    """
    full = {
        tuple(getattr(one.spec, name) for name in _NAMED_BY): one.manifest["accuracy"]
        for one in published.runs([shown.index["task"]["name"]])
    }
    rows = [
        {
            **{name: one[name] for name in ("name", "key", "accuracy", "trained", "bytes")},
            "full": full.get(tuple(one[name] for name in _NAMED_BY), np.nan),
            **_measured(one["code"]),
        }
        for one in shown.index["classifiers"]
    ]
    return pd.DataFrame(rows)


def _measured(code: str) -> dict[str, float]:
    file = paths.book() / "trust" / "live" / f"{code}.json"
    if not file.is_file():
        return dict.fromkeys(("milliseconds", "keystroke", "furthest"), np.nan)
    return dict(json.loads(file.read_text(encoding="utf-8")))


def known_words() -> dict[str, int]:
    """Return the words that the classifiers of the book know, with their ids."""
    text = (_folder() / _WORDS).read_text(encoding="utf-8")
    words = json.loads(text[text.index(".words=") + len(".words=") : text.rindex(";")]).split(" ")
    return {word: place for place, word in enumerate(words, len(MARKERS))}


def load(spec: Spec) -> Classifier:
    """Return a classifier of the book, as the page computes with it."""
    return restored((_folder() / f"{short_name(spec)}.js").read_bytes(), spec)


def described(shown: Page) -> str:
    """Say how the page's classifiers were made, and how they compare: Markdown."""
    frame, task = classifiers(shown), shown.index["task"]
    gap = (frame["accuracy"] - frame["full"]).abs().max()
    return (
        f"{len(frame)} classifiers of film reviews ({label(task['name'])}, fingerprint "
        f"`{task['fingerprint'][:16]}`): a BiLSTM with additive alignment and a Transformer with "
        "scaled dot, each trained under four projections. They were made small for this page: "
        f"{SETTINGS['embedding_size']} entries a word, which start from vectors of IMDb's texts, "
        f"{SETTINGS['hidden_size']} hidden units, and every matrix rounded to 8-bit rows with a "
        f"scale each. They know {task['words']:,} words. All files together are "
        f"{shown.index['bytes'] / 1e6:.1f} MB; one is loaded when it is chosen. Their accuracies "
        f"are within {gap:.3f} of those of the full-size runs. The texts offered above were "
        "written for this page."
    )


def short_name(spec: Spec) -> str:
    """Return a classifier's short name, as in addresses: ``bilstm-sparsegen-10``."""
    return f"{spec.encoder}-{spec.projection}" + (
        f"{spec.lam:g}" if spec.projection == "sparsegen" else ""
    )


def script(name: str, weights: Mapping[str, Tensor]) -> bytes:
    """Return a script that assigns a classifier's weights, rounded.

    Its ``parts`` are the name and shape of each weight; ``data`` is, in base64 and little-endian,
    of each matrix the float32 scale of every row, then its rows as 8-bit integers; of each vector
    its float32 numbers.
    """
    parts, chunks = [], []
    for part, tensor in weights.items():
        values = tensor.numpy().astype("<f4")
        parts.append([part, list(values.shape)])
        if values.ndim == 2:
            scales, rows = quantised(values)
            chunks += [scales.tobytes(), rows.tobytes()]
        else:
            chunks.append(values.tobytes())
    data = base64.b64encode(b"".join(chunks)).decode()
    content = json.dumps({"data": data, "parts": parts}, separators=(",", ":"))
    return f"{_ASSIGN}[{json.dumps(name)}]={content};\n".encode()


def quantised(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a float32 scale a row, (n,), and the rows as 8-bit integers: row ≈ scale · integers.

    A row's largest entry becomes ±127; an entry is off by at most half a scale.
    """
    scales = (np.abs(matrix).max(axis=1) / LEVELS).astype("<f4")
    divisor = np.where(scales > 0, scales, 1).astype("<f4")
    return scales, np.rint(matrix / divisor[:, None]).clip(-LEVELS, LEVELS).astype("i1")


def restored(content: bytes, spec: Spec) -> Classifier:
    """Return the classifier that a `script` holds, as the page computes with it."""
    text = content.decode()
    held = json.loads(text[text.index("]=") + 2 : text.rindex(";")])
    data, at = base64.b64decode(held["data"]), 0

    def take(kind: str, count: int) -> np.ndarray:
        nonlocal at
        found = np.frombuffer(data, kind, count, at)
        at += found.nbytes
        return found

    weights = {}
    for name, shape in held["parts"]:
        count = int(np.prod(shape))
        if len(shape) == 2:
            scales = take("<f4", shape[0])
            values = take("i1", count).reshape(shape).astype("<f4") * scales[:, None]
        else:
            values = take("<f4", count).reshape(shape).copy()
        weights[name] = torch.from_numpy(values)
    return assembled(spec, weights)


def typed_words(text: str) -> list[str]:
    """Return the words of a typed text as the Treebank would part them, and the task after it.

    The Treebank writes *don't* as ``do n't``, *can't* as ``ca n't``; elsewhere the task's own
    splitting parts words at their apostrophe as it does.
    """
    return sst_words(re.sub(r"(?<=\w)(n['’]t)(?!\w)", r" \1", text, flags=re.IGNORECASE))


def _entry(run: Run, content: bytes, task: Task) -> dict[str, Any]:
    """Return what the index holds of a classifier."""
    spec = run.spec
    with reproducible():
        accuracy = evaluate(restored(content, spec), task.test)["accuracy"]
    return {
        "code": short_name(spec),
        "name": f"{label(spec.encoder)}, {projection_name(spec)}",
        **{name: getattr(spec, name) for name in _NAMED_BY},
        "key": run.key,
        "accuracy": accuracy,
        "trained": run.manifest["accuracy"],
        "bytes": len(content),
    }


def _folder() -> Path:
    return paths.book() / "_extra" / "live"


NAME = "Short reviews"

REVIEWS: Sequence[tuple[str, int, str]] = (
    ("plain", 1, "A *warm*, *funny* and *moving* film"),
    ("plain", 0, "A *dull*, *lifeless* mess"),
    ("plain", 1, "The cast is *wonderful* and the music is *gorgeous*"),
    ("plain", 0, "The script is *terrible* and the pacing is *worse*"),
    ("plain", 1, "I *loved* every minute of it"),
    ("plain", 0, "A complete *waste* of two hours"),
    ("negated", 0, "This is *not* a *good* film"),
    ("negated", 1, "There is *not* a *dull* moment in it"),
    ("negated", 0, "I did*n't* *laugh* once, and I wanted to"),
    ("negated", 1, "It is*n't* *bad* at all"),
    ("negated", 0, "The story *never* becomes *interesting*"),
    ("negated", 1, "You will *not* *regret* seeing it"),
    ("contrasted", 1, "The plot is thin, but the two leads are a *joy* to watch"),
    ("contrasted", 0, "It looks beautiful, but there is *nothing* underneath"),
    ("contrasted", 1, "It starts slowly and ends as a small *masterpiece*"),
    ("contrasted", 0, "For all its charm and good will, the film *fails*"),
    ("contrasted", 1, "A silly premise, *saved* by *brilliant* writing"),
    ("contrasted", 0, "Great actors, *wasted*"),
    ("ironic", 0, "I would rather watch paint dry than sit through this again"),
    ("ironic", 0, "If you are looking for a cure for insomnia, look no further"),
    ("ironic", 0, "The best thing about it is that it ends"),
    ("ironic", 1, "I planned to leave early and stayed for the credits, twice"),
    (
        "long", 1,
        "My sister dragged me along, I had a headache, the seats were hard and somebody behind us "
        "kept talking, and still, after ten minutes, I had forgotten all of it, because what "
        "happens on the screen is simply *wonderful*",
    ),
    (
        "long", 0,
        "There are fine costumes, there is a big orchestra, the camera flies over mountains and "
        "cities, and famous faces come and go, yet in all of these three hours nobody says or does "
        "a thing that one could care about: it is *boring*",
    ),
    (
        "long", 1,
        "The director takes her time, lets people talk over one another, leaves the room when "
        "they fall silent, and trusts us to notice what they do not say, which is rare and, "
        "in the last scene, *deeply* *moving*",
    ),
    (
        "long", 0,
        "We get the chase, the betrayal, the speech in the rain and the second chase, all in the "
        "order one expects, and by the time the villain explains his plan even the people who "
        "made it seem to have grown *tired* of this *tedious* film",
    ),
)  # fmt: skip
"""Kind, label, and text of each; words between stars decide, where a reader has no doubt which."""


@dataclass(eq=False)
class Reader(Run):
    """A small classifier that has read the reviews in place of a test split."""

    held: Classifier
    texts: Documents

    def classifier(self) -> Classifier:
        """Return the classifier as the live page computes with it, rounded."""
        return self.held

    @cached_property
    def traces(self) -> dict[str, np.ndarray]:
        """What it makes of each word; see `experiments.making.observe`."""
        with reproducible():
            return observe(self.held, self.texts)


def explored() -> dict[str, Any]:
    """Return the reviews under all classifiers of the live page, as a task of the explorer.

    A UserError when the classifiers are not there.
    """
    index, texts = page().index, documents(known_words())
    words = [split(text)[0] for _, _, text in REVIEWS]
    readers = [
        Reader(spec, entry["key"], Path(), {"task": index["task"]}, load(spec), texts)
        for spec, entry in zip(specs(), index["classifiers"], strict=True)
    ]
    why = [f"{kind}, written for this book" for kind, *_ in REVIEWS]
    chosen = list(enumerate(why))
    task = seen(readers, texts, words, chosen, NAME, CLASSES["sst"])
    task["truth"] = "decide, as we read it"
    for place, document in enumerate(task["documents"]):
        if document["evidence"]:
            continue
        document["evidence"] = None  # nobody can tell: there is no truth to mark, nor to be on
        for classifier in task["classifiers"]:
            for stop in classifier["stops"]:
                for numbers in stop["documents"][place]["measures"].values():
                    numbers["evidence"] = None
    return task


def split(text: str) -> tuple[list[str], list[bool]]:
    """Return the words of a review, and which of them stand between stars."""
    words: list[str] = []
    marks: list[bool] = []
    for place, part in enumerate(re.split(r"\*", text)):
        # A contraction is split before its n't is cut off: did*n't* is did + n't.
        found = typed_words(part)
        words += found
        marks += [place % 2 == 1] * len(found)
    return words, marks


def documents(vocabulary: Mapping[str, int]) -> Documents:
    """Return the reviews as word ids, labels, and the words that decide."""
    parts = [split(text) for _, _, text in REVIEWS]
    return Documents(
        tuple(
            torch.tensor([BEGIN, *(vocabulary.get(word, UNKNOWN) for word in words), END])
            for words, _ in parts
        ),
        torch.tensor([float(label) for _, label, _ in REVIEWS]),
        tuple(f"review-{number}" for number in range(len(REVIEWS))),
        tuple(torch.tensor(marks) for _, marks in parts),
    )

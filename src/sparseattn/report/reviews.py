"""Short film reviews written for this book, as the small classifiers of `report.live` read them.

The explorer opens on them: language that a person can judge, where the planted task has none.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sparseattn.data.tasks import Documents
from sparseattn.data.words import BEGIN, END, UNKNOWN
from sparseattn.experiments.making import observe, reproducible
from sparseattn.experiments.runs import Run
from sparseattn.experiments.specs import Spec
from sparseattn.models.classifier import Classifier
from sparseattn.report import live
from sparseattn.report.specimens import CLASSES, seen

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


def explored(specs: Sequence[Spec] | None = None, folder: Path | None = None) -> dict[str, Any]:
    """Return the reviews under all classifiers of the live page, as a task of the explorer.

    A UserError when the classifiers are not there.
    """
    shown = live.page(folder)
    texts = documents(live.known_words(folder))
    words = [split(text)[0] for _, _, text in REVIEWS]
    readers = [
        Reader(
            spec,
            entry["key"],
            Path(),
            {"task": shown.index["task"]},
            live.load(spec, folder),
            texts,
        )
        for spec, entry in zip(
            live.specs() if specs is None else specs, shown.index["classifiers"], strict=True
        )
    ]
    chosen = [
        (number, f"{kind}, written for this book") for number, (kind, *_) in enumerate(REVIEWS)
    ]
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
        found = live.typed_words(part)
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

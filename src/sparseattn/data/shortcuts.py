"""Words put into real texts that alone decide the label, so that explanations can be checked there.

Of every document of a task (train, dev and test) the own label is thrown away. Another is drawn by
the hash of the document's key, a fair coin that knows nothing of the text, and words that tell it
are put at places drawn likewise. So the real text carries no information at all, it only hides the
shortcut; a classifier that is right more often than by chance uses the shortcut, and nothing else.
(Bastings et al. insert shortcuts into a share of the documents and keep the others' labels; the
classifier may then use both, and the truth is known for neither.)

The kinds, with the words of `WORDS`:

``token``
    ``<zero>`` or ``<one>`` is in the document, and is the label. A bag of words suffices.
``beside``
    Both are in each document: the one directly behind ``<here>`` is the label, the other, a
    distractor, stands elsewhere.
``order``
    Both are in each document, apart: the later one is the label.

Of the last two, every document of both classes holds each special word exactly once, so a bag of
words carries no information; only the arrangement does.

In a share of the *training* documents, `INCOMPLETE`, one word of the evidence is then missing and
the label is another coin. Without them a classifier could do with half a shortcut: look for
``<one>`` alone, and take its absence for label 0, so that in documents of label 0 the evidence
would be none to it (seen: a Transformer did so). With them each word of the evidence is needed:
without it nothing is known, and what else is there (the distractor) says nothing either. Dev and
test documents are all complete.

References
----------
Bastings et al. (2022), "Will You Find These Shortcuts?" A Protocol for Evaluating the Faithfulness
of Input Salience Methods for Text Classification, EMNLP (arXiv:2111.07367, 2021).
"""

from collections.abc import Sequence
from random import Random
from typing import Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["token", "beside", "order"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# No splitter of texts leaves a word of several characters with < or > in it.
WORDS = ("<zero>", "<one>", "<here>")

INCOMPLETE = 0.25
"""Share of the training documents whose shortcut lacks a word and says nothing."""


class PaperOptions(BaseModel):
    """Settings of the paper's tasks.

    ``shortcut`` is the kind put into their texts, or None; of longer texts the first ``words`` are
    kept; where ``thinned``, every training text is there a second time, with words left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    shortcut: Kind | None = None
    words: int | None = Field(default=None, ge=5)
    thinned: bool = False


class WithShortcut(NamedTuple):
    """A document's word ids, its label (0 or 1), and which words truly decide it."""

    ids: list[int]
    label: int
    evidence: list[bool]


def insert(
    ids: Sequence[int], key: str, kind: Kind, special: tuple[int, int, int], incomplete: float = 0.0
) -> WithShortcut:
    """Put a shortcut into the n >= 1 words of a document, by chance an `incomplete` one.

    Label and places depend on the `key` and the `kind` alone, and neither on the other; `special`
    are the ids of `WORDS`. Two parts of a shortcut always have a word of the text between them. An
    incomplete shortcut has no evidence.
    """
    random = Random(f"shortcut/{kind}/{key}")
    label = int(random.random() < 0.5)
    deciding, other, here = special[label], special[1 - label], special[2]
    one, another = random.sample(range(len(ids) + 1), 2)  # so many words before each part
    first, last = sorted((one, another))
    parts: dict[int, list[tuple[int, bool]]] = {
        "token": {one: [(deciding, True)]},
        "beside": {one: [(here, True), (deciding, True)], another: [(other, False)]},
        "order": {first: [(other, True)], last: [(deciding, True)]},
    }[kind]
    words: list[tuple[int, bool]] = []
    for place in range(len(ids) + 1):
        words += parts.get(place, [])
        words += [(word, False) for word in ids[place : place + 1]]
    if random.random() < incomplete:
        del words[random.choice([i for i, (_, decides) in enumerate(words) if decides])]
        words, label = [(word, False) for word, _ in words], int(random.random() < 0.5)
    return WithShortcut([word for word, _ in words], label, [decides for _, decides in words])

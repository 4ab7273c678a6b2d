"""Documents whose label is decided by known words, so that explanations can be checked.

A document is a shuffled row of *cues* (they decide the label), *distractors* (as frequent as cues,
from a list as long as theirs, but drawn without regard to the label) and filler. With
``context=True`` each cue stands behind a modifier that affirms or negates it, and for each such
modifier its opposite stands elsewhere, before a word that means nothing. So every document holds as
many negators as affirmers, and the cues' own polarities are independent of the label: a bag of
words carries no information at all, and only word order decides.
"""

from random import Random
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

POSITIVE = ("good", "great", "fine", "lovely", "superb", "charming")
NEGATIVE = ("bad", "awful", "dull", "poor", "dreadful", "clumsy")
AFFIRMERS = ("very", "truly", "quite")
NEGATORS = ("not", "never", "hardly")
_CUES, _MODIFIERS = (NEGATIVE, POSITIVE), (NEGATORS, AFFIRMERS)
_DISTRACTORS = "early late northern southern wooden square local foreign annual daily red blue"
DISTRACTORS = tuple(_DISTRACTORS.split())
_FILLER = """the a of and in on with from it this that they we was is has had saw table river letter
    window street garden morning winter train story paper kitchen voice music city corner hand
    chair bridge village picture market summer doctor teacher horse field island mountain road
    house evening captain ticket"""
FILLER = tuple(_FILLER.split())
WORDS = (*POSITIVE, *NEGATIVE, *AFFIRMERS, *NEGATORS, *DISTRACTORS, *FILLER)

SPLITS = ("train", "dev", "test")


class PlantedOptions(BaseModel):
    """Settings of the planted task.

    ``length``: fewest and most tokens of a document. ``cues`` in each document, whose majority,
    never a tie, is the label; ``distractors`` in each. ``noise``: share of labels flipped, in all
    splits, so that no classifier is right more often than 1 − noise. ``context``: whether a cue's
    polarity is set by the modifier before it. ``documents``: to train on, to choose the epoch by,
    and to test on; more of them extend the same ones. ``seed`` of the documents.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    length: Annotated[tuple[int, int], Field(strict=False)] = (12, 30)
    cues: int = Field(3, ge=1)
    distractors: int = Field(3, ge=0)
    noise: float = Field(0.0, ge=0, lt=0.5)
    context: bool = False
    documents: Annotated[tuple[int, int, int], Field(strict=False)] = (1500, 300, 400)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> "PlantedOptions":
        shortest, longest = self.length
        # In context a cue takes two places, its detached opposite modifier and what follows two.
        needed = self.cues + self.distractors
        if self.context:
            needed = 4 * self.cues + max(0, self.distractors - self.cues)
        if not needed <= shortest <= longest:
            raise ValueError(
                f"length must be [fewest, most] tokens with {needed} <= fewest <= most "
                f"(cues and distractors take {needed}), not {list(self.length)}"
            )
        if min(self.documents) < 2:
            raise ValueError(
                "documents must be [train, dev, test], each at least 2 (one of each class), "
                f"not {list(self.documents)}"
            )
        return self


class PlantedDocument(NamedTuple):
    """Words, label (0 or 1), and which words are truly decisive."""

    words: tuple[str, ...]
    label: int
    evidence: tuple[bool, ...]


def generate(options: PlantedOptions) -> dict[str, list[PlantedDocument]]:
    """Generate the documents of ``train``, ``dev`` and ``test``, half of each class (before noise).

    Equal settings give equal documents on every machine.
    """
    return {
        split: [
            # A generator per document: more documents, or another split's size, change no other.
            _document(i % 2, options, Random(f"{options.seed}/{split}/{i}"))
            for i in range(count)
        ]
        for split, count in zip(SPLITS, options.documents, strict=True)
    }


def _document(label: int, options: PlantedOptions, random: Random) -> PlantedDocument:
    agreeing = random.randint(options.cues // 2 + 1, options.cues)
    polarities = [label] * agreeing + [1 - label] * (options.cues - agreeing)
    hosts = [random.choice(DISTRACTORS) for _ in range(options.distractors)]

    blocks: list[list[tuple[str, bool]]] = []  # words that stay together, each with "decisive?"
    for polarity in polarities:
        if not options.context:
            blocks.append([(random.choice(_CUES[polarity]), True)])
            continue
        # The cue's own polarity is a fair coin, so it says nothing without its modifier …
        affirmed = random.random() < 0.5
        own = polarity if affirmed else 1 - polarity
        modifier, cue = random.choice(_MODIFIERS[affirmed]), random.choice(_CUES[own])
        blocks.append([(modifier, True), (cue, True)])
        # … and the opposite modifier elsewhere makes the count of modifiers say nothing either.
        host = hosts.pop() if hosts else random.choice(FILLER)
        blocks.append([(random.choice(_MODIFIERS[not affirmed]), False), (host, False)])
    blocks += [[(host, False)] for host in hosts]

    length = random.randint(*options.length)
    blocks += [
        [(random.choice(FILLER), False)] for _ in range(length - sum(len(b) for b in blocks))
    ]
    random.shuffle(blocks)
    words, evidence = zip(*(pair for block in blocks for pair in block), strict=True)
    flipped = random.random() < options.noise
    return PlantedDocument(words, 1 - label if flipped else label, evidence)

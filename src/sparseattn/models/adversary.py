r"""Attention trained to diverge from a base classifier's, its predictions kept.

For documents of a base classifier with attention α and prediction ŷ, the adversary lowers

.. math:: |\hat y_a - \hat y| - \lambda_{adv}\,\mathrm{JSD}(\alpha_a, \alpha).

Wiegreffe & Pinter (2019) subtract the Kullback–Leibler divergence KL(α_a ‖ α) instead. It is
infinite as soon as α_a weighs a token that α leaves out, which under a sparse projection is the
rule; the Jensen–Shannon divergence is at most ln 2, whatever the zeros. It is also what their
figures, and the paper's Table 5, report.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pad_sequence

from sparseattn.data.tasks import Documents, Task
from sparseattn.measures.divergence import disjoint_part, divergence_ceiling, jensen_shannon
from sparseattn.models.batches import Batch, collate
from sparseattn.models.classifier import Classifier, Output
from sparseattn.models.training import (
    Fitted,
    Progress,
    TrainingSettings,
    batches,
    check_loss,
    initial,
    optimisers,
    step,
)

ADVERSARY_VERSIONS = {"frozen": 2, "unfrozen": 4}
"""Raise a variant's whenever the same settings, base and task would give another adversary.

Of unfrozen ones: 2, they learn the base's predictions first; trained for both from the beginning,
those of 20News' BiLSTM and of IMDb's Transformer diverged at once and did not learn to predict.
3, cross-entropy keeps the predictions afterwards, too (`_cross_entropy`). 4, and 2 of frozen ones:
the same on any processor with AVX2.
"""

CACHE = 4 * 10**9
"""Bytes of frozen hidden states kept at most; beyond it, each batch computes them again."""

PRESSURE = 1.0
"""λ_adv: of 0.1, 1 and 10, the smallest at which attention diverges on the dev split of SST."""

WARM_UP = 25
"""Batches in which an adversary that has the base's predictions seeks divergence alone.

Where its attention is like the base's, as Transformers' under softmax are, both nearly uniform, the
divergence begins without slope and the distance in a kink, and nothing would move. Only the
attention's own parameters do in these batches.
"""

OWN_RATE = 10
"""Times the learning rate of all, that of the attention's own parameters when they move alone: the
ratio that the paper allows for them."""

Aim = Literal["predictions", "divergence", "both"]
Loss = Callable[[Output], Float[Tensor, ""]]
Logits = Float[Tensor, " batch"]
Gap = Callable[[Logits, Logits], Logits]


class AdversarySettings(BaseModel):
    """What determines an adversary, given its base classifier and the task.

    ``variant`` ``frozen``: only the attention's own parameters are trained, afresh; the others are
    the base's. ``unfrozen``: all parameters are trained afresh, to the base's predictions at first.
    For comparison, no adversaries: ``reseeded``, a classifier trained as the base was, from another
    seed; ``uniform``, the base with the same attention on every token.

    ``pressure`` is λ_adv, what a nat of divergence is worth in probability. ``epochs`` at most;
    ``seed`` of the initial weights and the order of the documents.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    variant: Literal["frozen", "unfrozen", "reseeded", "uniform"]
    pressure: float = Field(default=PRESSURE, ge=0)
    epochs: int = Field(default=20, ge=1)
    patience: int = Field(default=3, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**63)


class Responses(NamedTuple):
    """What a classifier does on documents, in their order.

    ``attention`` (documents, time), markers and padding included, where it is zero; ``logit``
    (documents,).
    """

    attention: Float[Tensor, "documents time"]
    logit: Float[Tensor, " documents"]


def respond(classifier: Classifier, documents: Documents, batch_size: int = 64) -> Responses:
    """Return a classifier's attention and logit for each document; no gradient."""
    return _respond(
        lambda _, batch: classifier(batch), documents.ids, classifier.device, batch_size
    )


def diverge(
    base: Classifier,
    settings: TrainingSettings,
    task: Task,
    aim: AdversarySettings,
    progress: Progress | None = None,
    vectors: Path | None = None,
) -> Fitted:
    """Train an adversary against a base classifier, which is not changed.

    `settings` say how the base was trained; the adversary is trained likewise, but for what `aim`
    says. The task's test split is not looked at, and no label is used; the rest is as for
    `models.training.fit`. The weights returned are those of the epoch with the lowest loss on dev
    (the first of several); training ends ``patience`` epochs after it last fell. The curve's
    columns are ``epoch``, ``aim`` (``predictions`` in epochs for these alone, then ``both``),
    ``train_loss``, ``dev_loss``, ``dev_distance`` (|ŷ_a − ŷ|), ``dev_jsd``, ``dev_accuracy`` and
    ``seconds``. A `UserError` when the loss stops being a number.

    An adversary begins with the base's predictions: one that is frozen has them, another learns
    them first (Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network,
    arXiv:1503.02531), in at most as many epochs as the base had. Then come `WARM_UP` batches for
    divergence alone, then all others for both. In the loss of an unfrozen one, cross-entropy stands
    for the distance of the predictions; the epoch is chosen by distance.

    Wiegreffe & Pinter choose epochs on the test split. The loss on dev is what training is after,
    held out; it takes no threshold, and the same for both variants.
    """
    rate = aim.learning_rate
    own = settings.model_copy(update={"learning_rate": rate, "seed": aim.seed})
    kind: type[_Frozen] | type[_Unfrozen] = _Frozen if aim.variant == "frozen" else _Unfrozen
    course = _Course(kind(base, own, task, vectors), base, settings, task, aim)
    if aim.variant == "unfrozen":
        course.run("predictions", settings.epochs, progress)
    course.warm_up = WARM_UP
    best = course.run("both", aim.epochs, progress)
    return Fitted(course.trainer.classifier.eval(), pd.DataFrame(course.curve), best)


class _Course:
    """The epochs of an adversary's training, one aim after the other."""

    def __init__(
        self,
        trainer: "_Frozen | _Unfrozen",
        base: Classifier,
        settings: TrainingSettings,
        task: Task,
        aim: AdversarySettings,
    ) -> None:
        self.trainer, self.settings, self.task, self.aim = trainer, settings, task, aim
        self.targets, self.dev_targets = respond(base, task.train), respond(base, task.dev)
        self.lengths = [*map(len, task.train.ids)]
        self.order = torch.Generator().manual_seed(aim.seed)
        self.warm_up = 0  # batches for divergence alone still to come
        self.curve: list[dict[str, float | str]] = []

    def run(self, after: Aim, epochs: int, progress: Progress | None) -> int:
        """Train until what is aimed at no longer falls on dev; return the epoch that is kept."""
        classifier = self.trainer.classifier
        first = len(self.curve) + 1
        least, best, weights = math.inf, first - 1, dict[str, Tensor]()
        for epoch in range(first, first + epochs):
            row = self._epoch(after)
            loss = row["train_loss"] + row["dev_loss"]
            check_loss("The adversary's", loss, epoch, self.aim.learning_rate)
            self.curve.append({"epoch": epoch, "aim": after, **row})
            if progress is not None:
                progress(epoch, first + epochs - 1, row)
            reached = row["dev_distance" if after == "predictions" else "dev_loss"]
            if reached < least:
                least, best = reached, epoch
                weights = copy.deepcopy(classifier.state_dict())
            if epoch - best >= self.aim.patience:
                break
        classifier.load_state_dict(weights)
        return best

    def _epoch(self, after: Aim) -> dict[str, float]:
        start = time.perf_counter()
        self.trainer.classifier.train()
        total = 0.0
        for index in batches(self.lengths, self.settings.batch_size, self.order):
            target = _chosen(self.targets, index, max(self.lengths[i] for i in index))
            now: Aim = "divergence" if self.warm_up else after
            self.warm_up = max(self.warm_up - 1, 0)
            loss_of = partial(_loss, self.trainer.gap, target, self.aim.pressure, now)
            move = self.trainer.turn if now == "divergence" else self.trainer.step
            total += len(index) * move(index, loss_of)
        self.trainer.classifier.eval()
        found, labels = self.trainer.on_dev(), self.task.dev.labels
        return {
            "train_loss": total / len(self.lengths),
            **_distances(found, self.dev_targets, self.aim.pressure, labels),
            "seconds": time.perf_counter() - start,
        }


def hold_against(one: Responses, base: Responses, documents: Documents) -> dict[str, np.ndarray]:
    """Compare what two classifiers do on the same N documents, one by one.

    Returns (N,) float32 columns: ``length``, ``label``, ``logit``, ``base_logit``; ``jsd`` between
    the attentions, its part ``jsd_disjoint`` (`disjoint_part`) and ``jsd_ceiling``, the most that
    any attention could diverge from the base's (`divergence_ceiling`), all in nats.
    """
    p, q = one.attention.double(), base.attention.double()
    inside = collate(documents.ids).tokens.to(q.device)
    columns = {
        "length": inside.sum(dim=1),
        "label": documents.labels,
        "logit": one.logit,
        "base_logit": base.logit,
        "jsd": jensen_shannon(p, q).clamp(min=0),  # rounding may carry zero below itself
        "jsd_disjoint": disjoint_part(p, q),
        "jsd_ceiling": divergence_ceiling(q, inside),
    }
    return {name: column.cpu().float().numpy() for name, column in columns.items()}


def scores(one: Responses, base: Responses, documents: Documents) -> dict[str, float]:
    """Return ``accuracy``, ``base_accuracy``, ``accuracy_change``, ``jsd``, ``agreement``."""
    positive = documents.labels.cpu() > 0.5
    decided, before = one.logit.cpu() > 0, base.logit.cpu() > 0
    accuracy, base_accuracy, agreement = (
        float(same.double().mean())
        for same in (decided == positive, before == positive, decided == before)
    )
    return {
        "accuracy": accuracy,
        "base_accuracy": base_accuracy,
        "accuracy_change": accuracy - base_accuracy,
        "jsd": float(jensen_shannon(one.attention.double(), base.attention.double()).mean()),
        "agreement": agreement,
    }


def uniform(base: Classifier) -> Classifier:
    """Return the classifier with all scores zero, so that attention is the same on every token."""
    flat = copy.deepcopy(base)
    with torch.no_grad():
        for parameter in flat.alignment.parameters():
            parameter.zero_()
    return flat


def _distance(logit: Logits, base: Logits) -> Logits:
    """Return |ŷ_a − ŷ|, the total variation distance of two decisions between two classes."""
    return (logit.sigmoid() - base.sigmoid()).abs()


def _cross_entropy(logit: Logits, base: Logits) -> Logits:
    """Return the cross-entropy −ŷ log ŷ_a − (1 − ŷ) log(1 − ŷ_a), in nats.

    The slope of the distance vanishes where a prediction is certain, and wrong, as many are once
    attention has left the tokens that decide; this one is steepest there. On IMDb's dev split the
    BiLSTM's unfrozen adversary reached a distance less divergence of −.618 by it, and of −.529 by
    the distance; a frozen one, whose states cannot move, −.590 by either.
    """
    return binary_cross_entropy_with_logits(logit, base.sigmoid(), reduction="none")


class _FromHidden:
    """A classifier's attention and decoder on hidden states that never change."""

    def __init__(self, classifier: Classifier, ids: Sequence[Int[Tensor, " _"]]) -> None:
        self.classifier = classifier
        lengths = torch.tensor([*map(len, ids)])
        self.ends = lengths.cumsum(0).tolist()
        self.starts = [0, *self.ends[:-1]]
        self.states: Tensor | None = None
        size = classifier.encoder.size
        if 4 * int(lengths.sum()) * size > CACHE:
            return
        self.states = torch.empty(int(lengths.sum()), size, device=classifier.device)
        with torch.no_grad():
            for index in batches(lengths.tolist(), 64):
                batch = collate([ids[i] for i in index], classifier.device)
                hidden = classifier.encoder(classifier.embedding(batch.ids), batch)
                for row, i in enumerate(index):
                    self.states[self.starts[i] : self.ends[i]] = hidden[row, : lengths[i]]

    def __call__(self, index: list[int], batch: Batch) -> Output:
        with torch.no_grad():
            if self.states is None:
                hidden = self.classifier.encoder(self.classifier.embedding(batch.ids), batch)
            else:
                rows = [self.states[self.starts[i] : self.ends[i]] for i in index]
                hidden = pad_sequence(rows, batch_first=True)
        return Output(hidden, hidden, *self.classifier.from_hidden(hidden, batch))


class _Frozen:
    """Trains the attention's own parameters; all others are the base's."""

    gap = staticmethod(_distance)

    def __init__(
        self, base: Classifier, settings: TrainingSettings, task: Task, vectors: Path | None
    ) -> None:
        self.classifier = copy.deepcopy(base).requires_grad_(False)
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            fresh = Classifier(settings, 1, pieces=getattr(base.embedding, "pieces", None))
            fresh.to(base.device)
        # Not from the base's own, where divergence has no slope.
        self.classifier.alignment = fresh.alignment
        self.classifier.projection = fresh.projection
        own = [weight for weight in self.classifier.parameters() if weight.requires_grad]
        self.optimiser = torch.optim.Adam(own, lr=settings.learning_rate, amsgrad=True, fused=True)
        self.train = task.train.ids
        self.dev = task.dev.ids
        self.read = _FromHidden(self.classifier, self.train)
        self.read_dev = _FromHidden(self.classifier, self.dev)

    def step(self, index: list[int], loss_of: Loss) -> float:
        batch = collate([self.train[i] for i in index], self.classifier.device)
        loss = loss_of(self.read(index, batch))
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimiser.step()
        return float(loss.detach())

    turn = step

    def on_dev(self) -> Responses:
        return _respond(self.read_dev, self.dev, self.classifier.device)


class _Unfrozen:
    """Trains everything, from the seed's own beginning."""

    gap = staticmethod(_cross_entropy)

    def __init__(
        self, base: Classifier, settings: TrainingSettings, task: Task, vectors: Path | None
    ) -> None:
        self.classifier = initial(settings, task, vectors).to(base.device)
        self.optimiser, self.rows = optimisers(self.classifier, settings)
        self.own = self.optimiser.param_groups[1]["params"]  # the attention's
        rate = OWN_RATE * settings.learning_rate
        self.turner = torch.optim.Adam(self.own, lr=rate, amsgrad=True, fused=True)
        self.task = task

    def turn(self, index: list[int], loss_of: Loss) -> float:
        """Take a step of the attention's own parameters."""
        batch = collate([self.task.train.ids[i] for i in index], self.classifier.device)
        loss = loss_of(self.classifier(batch))
        self.turner.zero_grad(set_to_none=True)
        torch.autograd.backward(loss, inputs=self.own)
        self.turner.step()
        return float(loss.detach())

    def step(self, index: list[int], loss_of: Loss) -> float:
        batch = collate([self.task.train.ids[i] for i in index], self.classifier.device)
        return float(step(self.classifier, batch, loss_of, self.optimiser, self.rows))

    def on_dev(self) -> Responses:
        return respond(self.classifier, self.task.dev)


def _loss(
    gap: Gap, target: Responses, pressure: float, aim: Aim, output: Output
) -> Float[Tensor, ""]:
    """Mean over the batch of the gap of the predictions − λ_adv JSD(α_a, α), or of one of them."""
    if aim == "predictions":
        return gap(output.logit, target.logit).mean()
    jsd = jensen_shannon(output.attention, target.attention)
    if aim == "divergence":
        return -jsd.mean()
    return (gap(output.logit, target.logit) - pressure * jsd).mean()


def _respond(
    read: Callable[[list[int], Batch], Output],
    ids: Sequence[Int[Tensor, " _"]],
    device: torch.device,
    batch_size: int = 64,
) -> Responses:
    lengths = [*map(len, ids)]
    attention = torch.zeros(len(ids), max(lengths, default=0), device=device)
    logit = torch.zeros(len(ids), device=device)
    with torch.no_grad():
        for index in batches(lengths, batch_size):
            batch = collate([ids[i] for i in index], device)
            output = read(index, batch)
            attention[index, : batch.ids.shape[1]] = output.attention
            logit[index] = output.logit
    return Responses(attention, logit)


def _chosen(responses: Responses, index: list[int], time: int) -> Responses:
    return Responses(responses.attention[index, :time], responses.logit[index])


def _distances(
    found: Responses, targets: Responses, pressure: float, labels: Float[Tensor, " documents"]
) -> dict[str, float]:
    distance = float(_distance(found.logit, targets.logit).mean())
    jsd = float(jensen_shannon(found.attention, targets.attention).mean())
    right = (found.logit.cpu() > 0) == (labels.cpu() > 0.5)
    return {
        "dev_loss": distance - pressure * jsd,
        "dev_distance": distance,
        "dev_jsd": jsd,
        "dev_accuracy": float(right.double().mean()),
    }

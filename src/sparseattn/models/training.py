"""Fitting a classifier: which batches, which optimiser, which epoch is kept."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from pydantic import Field, field_validator, model_validator
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, embedding
from torch.nn.utils.rnn import pad_sequence

from sparseattn.data.tasks import Documents, Task
from sparseattn.data.vectors import check_vectors, initial_vectors, kept_vectors
from sparseattn.errors import UserError
from sparseattn.measures.per_document import attended_auc
from sparseattn.models.batches import Batch, collate
from sparseattn.models.classifier import Classifier, ModelSettings, Output
from sparseattn.models.pretrained import PRETRAINED, MiniLM, word_pieces
from sparseattn.models.rowadam import RowAdam

TRAINING_VERSION = 2  # 2: the same on any processor with AVX2
"""Raise whenever the same settings and task would no longer give the same weights."""

LEARNING_RATES: dict[str, float] = {
    "none": 1e-3, "bilstm": 1e-3, "transformer": 5e-4, "minilm": 1e-3, "minilm_tuned": 3e-4,
}  # fmt: skip
"""By ROC-AUC on the dev split of SST, one to three seeds a rate; 1e-3 is unstable for the last."""

# Patience is not tried while the training loss is above this share of the labels' entropy: nothing
# has been learned then, so nothing can be overfitted, and some tasks begin with a plateau.
PLATEAU = 0.9

POOL = 50  # batches whose documents are sorted together: padding falls, order stays random


class TrainingSettings(ModelSettings):
    """What determines a trained classifier, given its task.

    ``learning_rate`` is stored as the number in force: left out, or None, it is the encoder's
    own of `LEARNING_RATES`. ``vectors`` are the initial embeddings: ``random``, trained on the
    ``task``'s own texts, on those of ``imdb``, ``glove``, or read from a file.
    """

    batch_size: int = Field(default=32, ge=1)
    epochs: int = Field(default=20, ge=1)
    patience: int = Field(default=3, ge=1)
    learning_rate: float = Field(default=LEARNING_RATES["bilstm"], gt=0)
    weight_decay: float = Field(default=1e-5, ge=0)
    vectors: str = Field(default="random", min_length=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _learning_rate_of_encoder(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("learning_rate") is None:
            rate = LEARNING_RATES.get(str(values.get("encoder", "bilstm")), 1e-3)
            values = {**values, "learning_rate": rate}
        return values

    @model_validator(mode="after")
    def _vectors_of_encoder(self) -> "TrainingSettings":
        if self.encoder in PRETRAINED and self.vectors != "random":
            raise ValueError(
                f"encoder '{self.encoder}' brings its own vectors; got '{self.vectors}' for "
                "'vectors': leave it out."
            )
        return self

    @field_validator("vectors")
    @classmethod
    def _known_vectors(cls, vectors: str) -> str:
        check_vectors(vectors, available=False)
        return vectors


@dataclass
class Fitted:
    """A trained classifier, as of its best epoch, in evaluation mode.

    ``curve`` has one row an epoch: ``epoch`` (from 1), ``train_loss``, ``dev_loss``,
    ``dev_accuracy``, ``dev_auc``, ``seconds``; ``best_epoch`` is the row the weights are from.
    """

    classifier: Classifier
    curve: pd.DataFrame
    best_epoch: int


Progress = Callable[[int, int, dict[str, float]], None]


def fit(
    settings: TrainingSettings,
    task: Task,
    progress: Progress | None = None,
    vectors: Path | None = None,
) -> Fitted:
    """Train a classifier on a task's train split, stopping by its dev split; test is not looked at.

    The weights returned are those of the epoch with the highest ROC-AUC on dev (of several, the one
    with the lowest loss). Training ends ``patience`` epochs after the AUC last rose, or after the
    training loss first fell a tenth below the entropy of the labels, if that is later. `progress`
    is called after each epoch with its number, the largest number of epochs, and its row of the
    learning curve; `vectors` is a folder in which `data.vectors.kept_vectors` are kept for other
    fits. A `UserError` when the loss stops being a number, dev holds one class only, or CUDA is
    asked for and absent.

    Adam with amsgrad on the binary cross-entropy of the logit; weight decay is added to the
    gradient, except of the alignment's and the projection's own parameters. The embedding is
    updated row by row, see `RowAdam`. Initial weights and the order of the documents depend on
    ``seed`` alone; in one thread, and in :func:`arithmetic.portable`, the same settings give the
    same bits.
    """
    device = resolve_device(settings.device)
    if len(set(task.dev.labels.tolist())) < 2:
        raise UserError(
            f"The dev split of task '{task.name}' ({len(task.dev)} documents) does not hold both "
            "classes, so no epoch can be chosen by ROC-AUC. Give more documents."
        )
    classifier = initial(settings, task, vectors).to(device)
    optimiser, rows = optimisers(classifier, settings)
    ids = [document.to(device) for document in task.train.ids]
    labels = task.train.labels.to(device)
    lengths = [*map(len, ids)]
    below = _below(classifier, ids)
    entropy = _entropy(float(labels.mean()))
    order = torch.Generator().manual_seed(settings.seed)

    curve: list[dict[str, float]] = []
    best = (-math.inf, -math.inf)  # (AUC, −loss) on dev
    best_epoch = patient_from = 0
    weights: dict[str, Tensor] = {}
    for epoch in range(1, settings.epochs + 1):
        start = time.perf_counter()
        classifier.train()
        total = torch.zeros((), device=device)
        for index in batches(lengths, settings.batch_size, order):
            batch = collate([ids[i] for i in index], device)
            loss = partial(_cross_entropy, labels[index])
            states = None
            if below is not None:
                states = pad_sequence([below[i] for i in index], batch_first=True)
            total += len(index) * step(classifier, batch, loss, optimiser, rows, states)
        dev = evaluate(classifier, task.dev)
        row = {
            "epoch": epoch,
            "train_loss": float(total) / len(ids),
            **{f"dev_{name}": dev[name] for name in ("loss", "accuracy", "auc")},
            "seconds": time.perf_counter() - start,
        }
        check_loss("The", row["train_loss"] + row["dev_loss"], epoch, settings.learning_rate)
        curve.append(row)
        if progress is not None:
            progress(epoch, settings.epochs, row)
        if row["dev_auc"] > best[0] or row["train_loss"] > PLATEAU * entropy:
            patient_from = epoch
        if (row["dev_auc"], -row["dev_loss"]) > best:
            best, best_epoch = (row["dev_auc"], -row["dev_loss"]), epoch
            weights = copy.deepcopy(classifier.state_dict())
        if epoch - patient_from >= settings.patience:
            break
    classifier.load_state_dict(weights)
    return Fitted(classifier.eval(), pd.DataFrame(curve), best_epoch)


def check_loss(whose: str, loss: float, epoch: int, rate: float) -> None:
    """Raise a `UserError` unless the loss of an epoch is a number."""
    if not math.isfinite(loss):
        raise UserError(
            f"{whose} loss was not a number in epoch {epoch} (learning_rate {rate:g}). "
            f"Try a lower one, such as learning_rate={rate / 10:g}."
        )


def predict(
    classifier: Classifier, documents: Documents, batch_size: int = 64
) -> Float[Tensor, " documents"]:
    """Return the logit of each document, in the documents' order, on the CPU."""
    ids = [document.to(classifier.device) for document in documents.ids]
    logits = torch.zeros(len(ids))
    with torch.no_grad():
        for index in batches([*map(len, ids)], batch_size):
            batch = collate([ids[i] for i in index], classifier.device)
            logits[index] = classifier(batch).logit.cpu()
    return logits


def evaluate(
    classifier: Classifier, documents: Documents, batch_size: int = 64
) -> dict[str, float]:
    """Return ``accuracy``, ``auc`` (ROC; NaN with one class) and ``loss`` (cross-entropy)."""
    classifier.eval()
    logits, labels = predict(classifier, documents, batch_size), documents.labels.cpu()
    return {
        "accuracy": float(((logits > 0) == (labels > 0.5)).double().mean()),
        "auc": roc_auc(logits, labels),
        "loss": float(binary_cross_entropy_with_logits(logits, labels)),
    }


def roc_auc(scores: Float[Tensor, " documents"], labels: Float[Tensor, " documents"]) -> float:
    """Return the probability that a positive outscores a negative, a tie counting one half.

    From ranks, exactly: two epochs that rank alike then tie, which scikit-learn's sums of
    trapezoids break by rounding.
    """
    positive = (labels > 0.5)[None].double().numpy()
    return float(attended_auc(positive, scores[None].numpy(), np.array([len(scores)]))[0])


def batches(
    lengths: Sequence[int],
    batch_size: int,
    generator: torch.Generator | None = None,
    bucketed: bool = True,
) -> Iterator[list[int]]:
    """Yield documents' indices in batches of like length, each once; the last may be smaller.

    Documents are shuffled, sorted by length within pools of `POOL` batches, cut into batches, and
    the batches shuffled. Without a generator they are sorted by length throughout, longest first;
    not `bucketed`, all lengths stay together: the plain way, for comparison.
    """
    count = len(lengths)
    if generator is None:
        order = sorted(range(count), key=lambda i: -lengths[i]) if bucketed else [*range(count)]
    else:
        order = torch.randperm(count, generator=generator).tolist()
        if bucketed:
            pool = POOL * batch_size
            order = [
                i
                for start in range(0, count, pool)
                for i in sorted(order[start : start + pool], key=lambda i: lengths[i])
            ]
    cut = [order[start : start + batch_size] for start in range(0, count, batch_size)]
    if generator is not None and bucketed:
        cut = [cut[i] for i in torch.randperm(len(cut), generator=generator).tolist()]
    yield from cut


def resolve_device(device: str) -> torch.device:
    """Return the device meant by ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "Parameter 'device' was 'cuda', but torch finds no CUDA device here. Use 'cpu', or "
            "'auto' to take CUDA only where there is one."
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def initial(settings: TrainingSettings, task: Task, folder: Path | None = None) -> Classifier:
    """Return the classifier that training begins with; for `folder` see ``vectors`` of `fit`."""
    pretrained = settings.encoder in PRETRAINED
    pieces = word_pieces(task.vocabulary) if pretrained else None
    wanted = settings.vectors, task, settings.embedding_size, settings.seed
    vectors = kept_vectors(folder, *wanted) if folder else initial_vectors(*wanted)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        return Classifier(settings, len(task.vocabulary), vectors, pieces)


def _below(classifier: Classifier, ids: Sequence[Tensor]) -> list[Tensor] | None:
    """Return what the trained layers of a pretrained encoder read of each document.

    It does not change in training, so it is computed once; None where there are none.
    """
    encoder = classifier.encoder
    if not isinstance(encoder, MiniLM):
        return None
    found = [torch.empty(0)] * len(ids)
    with torch.no_grad():
        for index in batches([*map(len, ids)], 32):
            batch = collate([ids[i] for i in index], classifier.device)
            layout = encoder.layout(batch)
            states = encoder.below(classifier.embedding(batch.ids), layout)
            for i, one, kept in zip(index, states, layout.real, strict=True):
                found[i] = one[kept].clone()
    return found


def optimisers(
    classifier: Classifier, settings: TrainingSettings
) -> tuple[torch.optim.Adam, RowAdam | None]:
    """Return what updates a classifier's weights: all but the embedding's, and the embedding's.

    The embedding of a pretrained encoder stays as it is: None.
    """
    parts = dict(classifier.named_children())
    decayed = [*parts["encoder"].parameters(), *parts["decoder"].parameters()]
    attention = [*parts["alignment"].parameters(), *parts["projection"].parameters()]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": attention},
    ]
    adam = torch.optim.Adam(groups, lr=settings.learning_rate, amsgrad=True, fused=True)
    if isinstance(classifier.encoder, MiniLM):
        return adam, None
    weight = classifier.embedding.weight.detach()
    return adam, RowAdam(weight, settings.learning_rate, settings.weight_decay)


def step(
    classifier: Classifier,
    batch: Batch,
    loss_of: Callable[[Output], Float[Tensor, ""]],
    optimiser: torch.optim.Adam,
    rows: RowAdam | None,
    states: Tensor | None = None,
) -> Float[Tensor, ""]:
    """Take one step of the `optimisers` on one batch, lowering `loss_of` its output; return it.

    `states` are what a pretrained encoder's trained layers read of the batch, where it is known.
    """
    if states is not None:
        assert isinstance(classifier.encoder, MiniLM)
        hidden = classifier.encoder.above(states, classifier.encoder.layout(batch))
        output = Output(states, hidden, *classifier.from_hidden(hidden, batch))
    elif rows is None:
        output = classifier(batch)
    else:
        present, inverse = torch.unique(batch.ids, return_inverse=True)
        # Only the rows in the batch enter the graph, so that their gradient is small and dense.
        compact = rows.weight[present].requires_grad_()
        output = classifier.from_embedded(embedding(inverse, compact), batch)
    loss = loss_of(output)
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimiser.step()
    if rows is not None:
        assert compact.grad is not None
        rows.step(present, compact.grad)
    return loss.detach()


def _cross_entropy(labels: Float[Tensor, " batch"], output: Output) -> Float[Tensor, ""]:
    return binary_cross_entropy_with_logits(output.logit, labels)


def _entropy(share: float) -> float:
    """Return the loss, in nats, of always predicting the share of positives."""
    return -sum(p * math.log(p) for p in (share, 1 - share) if p > 0)

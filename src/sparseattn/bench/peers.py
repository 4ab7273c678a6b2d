"""What one would write, or use, instead: the plain versions that the benchmark compares with."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import kendalltau
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sparseattn.attribution.removal import Removals, Sets
from sparseattn.data.words import BEGIN, END
from sparseattn.models.batches import Batch, collate
from sparseattn.models.classifier import BiLSTM, Classifier
from sparseattn.models.training import TrainingSettings, batches

Document = Int[Tensor, " time"]


@torch.no_grad()
def leave_out_in_batches(
    classifier: Classifier, ids: Document, size: int
) -> Float[Tensor, " tokens"]:
    """Return the logits without each token: `size` shortened texts a forward pass; 1 is a loop."""
    texts = [torch.cat([ids[:i], ids[i + 1 :]]) for i in range(1, len(ids) - 1)]
    return torch.cat(
        [
            classifier(collate(texts[start : start + size], classifier.device)).logit
            for start in range(0, len(texts), size)
        ]
    )


def leave_out_by_captum(
    classifier: Classifier, ids: Document, size: int = 1
) -> Float[Tensor, " tokens"]:
    """Return captum's ablations, `size` a forward pass: another quantity at the same cost.

    The token's embedding is replaced by zeros, and the text keeps its length.
    """
    from captum.attr import FeatureAblation  # slow to import, and needed here only

    def network(embedded: Tensor) -> Tensor:
        batch = collate([ids], classifier.device)
        many = Batch(*(part.expand(len(embedded), *part.shape[1:]) for part in batch))
        return classifier.from_embedded(embedded, many).logit

    with torch.no_grad():
        embedded = classifier.embedding(ids[None])
        tokens = torch.arange(len(ids))[None, :, None].expand(1, -1, embedded.shape[-1])
        found: Tensor = FeatureAblation(network).attribute(
            embedded, feature_mask=tokens, perturbations_per_eval=size
        )
    return found[0, 1:-1, 0]


def integrated_by_captum(
    classifier: Classifier, ids: Document, steps: int
) -> Float[Tensor, " tokens"]:
    """Return captum's integrated gradients by the rule of ours, summed over a token's entries."""
    from captum.attr import IntegratedGradients

    def network(points: Tensor) -> Tensor:
        return classifier.from_embedded(points, collate([ids] * len(points))).logit

    embedded = classifier.embedding(ids[None]).detach()
    zeros = embedded.clone()
    zeros[:, 1:-1] = 0
    found: Tensor = IntegratedGradients(network).attribute(
        embedded, zeros, n_steps=steps, method="gausslegendre"
    )
    return found[0, 1:-1].sum(dim=-1)


def shapley_by_captum(
    classifier: Classifier, ids: Document, orders: Int[np.ndarray, "permutations tokens"]
) -> Float[Tensor, " tokens"]:
    """Return captum's sampled Shapley values, of the orders given; a forward pass a text."""
    from captum.attr import ShapleyValueSampling

    def network(mask: Tensor) -> Tensor:
        kept = torch.cat([ids[:1], ids[1:-1][mask[0] > 0], ids[-1:]])
        return classifier(collate([kept])).logit

    sampling = ShapleyValueSampling(network)
    sampling.permutation_generator = lambda *_: iter(orders.tolist())
    with torch.no_grad():
        found: Tensor = sampling.attribute(torch.ones(1, orders.shape[1]), n_samples=len(orders))
    return found[0]


class PlainRemovals(Removals):
    """A forward pass for each set of tokens, those asked for before and equal texts as well."""

    @torch.no_grad()
    def logits(self, keep: Sets) -> Float[np.ndarray, " sets"]:
        """Return (S,) logits of the document with only the tokens kept, by deletion."""
        inner = np.pad(keep, ((0, 0), (1, 1)), constant_values=True)
        marked = torch.tensor([BEGIN, *self.tokens, END])
        one_by_one = [self.classifier(collate([marked[row]])).logit for row in torch.tensor(inner)]
        return torch.cat(one_by_one).numpy()


def influence_by_loop(classifier: Classifier, ids: Document) -> Float[Tensor, "states inputs"]:
    """Return influences from one backward pass for each position."""
    embedded, hidden = _traced(classifier, ids, 1)
    norms = torch.linalg.vector_norm(hidden[0], dim=-1)
    rows = [torch.autograd.grad(one, embedded, retain_graph=True)[0][0] for one in norms]
    return torch.linalg.vector_norm(torch.stack(rows), dim=-1)[:, 1:-1]


def influence_by_copies(
    classifier: Classifier, ids: Document, size: int
) -> Float[Tensor, "states inputs"]:
    """Return influences from batches of copies of the document, each for its own position."""
    rows = []
    for positions in torch.split(torch.arange(len(ids) - 2), size):
        embedded, hidden = _traced(classifier, ids, len(positions))
        own = hidden[torch.arange(len(positions)), positions]
        total = torch.linalg.vector_norm(own, dim=-1).sum()
        rows.append(torch.autograd.grad(total, embedded)[0])
    return torch.linalg.vector_norm(torch.cat(rows), dim=-1)[:, 1:-1]


def jacobian_by_loop(classifier: Classifier, ids: Document) -> Float[Tensor, "states inputs"]:
    """Return Jacobian norms from one backward pass for each unit of each hidden state."""
    embedded, hidden = _traced(classifier, ids, 1)
    rows = []
    for state in hidden[0]:
        squares = torch.zeros(len(ids))
        for unit in state:
            (slopes,) = torch.autograd.grad(unit, embedded, retain_graph=True)
            squares += slopes[0].square().sum(dim=-1)
        rows.append(squares.sqrt())
    return torch.stack(rows)[:, 1:-1]


def _traced(classifier: Classifier, ids: Document, copies: int) -> tuple[Tensor, Tensor]:
    batch = collate([ids] * copies, classifier.device)
    embedded = classifier.embedding(batch.ids).detach().requires_grad_()
    return embedded, classifier.encoder(embedded, batch)[:, 1:-1]


@torch.no_grad()
def paths_by_loop(
    classifier: Classifier, ids: Document, replaced: Int[Tensor, " tokens"]
) -> Float[Tensor, "paths tokens"]:
    """Return the three parts of each token's effect (`PATHS`), one forward pass a token."""
    rows = []
    whole = classifier(collate([ids], classifier.device))
    old, old_values = whole.attention[0, 1:-1], whole.hidden[0, 1:-1] @ classifier.decoder.weight[0]
    for i, word in enumerate(replaced):
        changed = ids.clone()
        changed[i + 1] = word
        after = classifier(collate([changed], classifier.device))
        new, new_values = after.attention[0, 1:-1], after.hidden[0, 1:-1]
        new_values = new_values @ classifier.decoder.weight[0]
        by_values = (old + new) / 2 * (new_values - old_values)
        itself = by_values[i].clone()
        by_values[i] = 0
        by_weights = (new - old) * (old_values + new_values) / 2
        rows.append(torch.stack([itself, by_values.sum(), by_weights.sum()]))
    return torch.stack(rows, dim=1)


def kendall_by_scipy(
    x: Float[np.ndarray, "documents tokens"],
    y: Float[np.ndarray, "documents tokens"],
    lengths: Int[np.ndarray, " documents"],
) -> Float[np.ndarray, " documents"]:
    """Return τ-b of each document, one call of scipy's each."""
    return np.array(
        [kendalltau(a[:n], b[:n]).statistic for a, b, n in zip(x, y, lengths, strict=True)]
    )


class PlainBiLSTM(nn.Module):
    """torch's bidirectional LSTM with another encoder's weights, padded or packed.

    Padded, its backward direction begins in the padding, and the states are not quite the same.
    """

    def __init__(self, encoder: BiLSTM, packed: bool) -> None:
        super().__init__()
        self.size, self.packed = encoder.size, packed
        sizes = encoder.forwards.input_size, encoder.forwards.hidden_size
        self.lstm = nn.LSTM(*sizes, batch_first=True, bidirectional=True)
        directions = (("", encoder.forwards), ("_reverse", encoder.backwards))
        self.lstm.load_state_dict(
            {
                f"{name}{suffix}": weight
                for suffix, lstm in directions
                for name, weight in lstm.state_dict().items()
            }
        )

    def forward(
        self, embedded: Float[Tensor, "batch time embedding"], batch: Batch
    ) -> Float[Tensor, "batch time hidden"]:
        """Return the states of both directions."""
        if not self.packed:
            states: Tensor = self.lstm(embedded)[0]
            return states
        packed = pack_padded_sequence(
            embedded, batch.lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        return pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=embedded.shape[1]
        )[0]


def plain_epoch(
    classifier: Classifier,
    settings: TrainingSettings,
    ids: Sequence[Int[Tensor, " _"]],
    labels: Float[Tensor, " documents"],
) -> float:
    """Train for one epoch the usual way; return the seconds.

    Batches of documents as they come, whatever their lengths; one optimiser over all parameters,
    the whole embedding included.
    """
    optimiser = torch.optim.Adam(
        classifier.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        amsgrad=True,
    )
    order = torch.Generator().manual_seed(settings.seed)
    start = time.perf_counter()
    lengths = [len(one) for one in ids]
    for index in batches(lengths, settings.batch_size, order, bucketed=False):
        logit = classifier(collate([ids[i] for i in index])).logit
        optimiser.zero_grad()
        torch.autograd.backward(binary_cross_entropy_with_logits(logit, labels[index]))
        optimiser.step()
    return time.perf_counter() - start

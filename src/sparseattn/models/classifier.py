"""The classifier: embedding → encoder → alignment → projection → context → logit."""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from sparseattn.data.words import PAD
from sparseattn.models.batches import Batch
from sparseattn.models.pretrained import PRETRAINED, SIZE, MiniLM, PieceEmbedding
from sparseattn.models.projections import Projection
from sparseattn.wording import ALPHAS, EncoderName, Lam, ProjectionName, is_sparsemax

PARTS = ("embedding", "encoder", "alignment", "projection", "decoder")


class ModelSettings(BaseModel):
    """What determines a classifier's function, apart from its weights.

    sparsegen at λ = 0 is stored as sparsemax, and sparsemax carries λ = 0, so that one function
    has one name. A pretrained encoder has its own sizes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    encoder: EncoderName = "bilstm"
    alignment: Literal["additive", "dot"] = "additive"
    projection: ProjectionName = "softmax"
    lam: Lam | None = None
    alpha: float | Literal["learned"] | None = None
    embedding_size: int = Field(default=300, ge=1, le=4096)
    hidden_size: int = Field(default=128, ge=2, le=4096, multiple_of=2)

    @model_validator(mode="before")
    @classmethod
    def _one_name_for_one_function(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        values = dict(values)
        projection, lam = values.get("projection", "softmax"), values.get("lam")
        if is_sparsemax(projection, lam):
            values |= {"projection": "sparsemax", "lam": 0.0 if lam is None else lam}
        if projection == "entmax" and values.get("alpha") is None:
            values["alpha"] = 1.5
        if str(values.get("encoder")) in PRETRAINED:
            values = {"embedding_size": SIZE, "hidden_size": SIZE, **values}
        for name in ("lam", "alpha"):  # 2 and 2.0 are one value, and must hash alike
            if isinstance(values.get(name), int) and not isinstance(values[name], bool):
                values[name] = float(values[name])
        return values

    @model_validator(mode="after")
    def _sparsity_fits_projection(self) -> "ModelSettings":
        name, lam, alpha = self.projection, self.lam, self.alpha
        sizes = (self.embedding_size, self.hidden_size)
        for fault, message in (
            (name == "sparsegen" and lam is None,
             "projection 'sparsegen' needs 'lam', a number below 1."),
            (name == "sparsemax" and lam != 0,
             f"projection 'sparsemax' has lam = 0; got {lam}: use 'sparsegen' for that."),
            (name in ("softmax", "entmax") and lam is not None,
             f"'lam' belongs to sparsegen; projection is '{name}'."),
            (name != "entmax" and alpha is not None,
             f"'alpha' belongs to entmax; projection is '{name}'."),
            (isinstance(alpha, float) and alpha < ALPHAS[0],
             f"'alpha' of entmax is at least 1; got {alpha}."),
            (isinstance(alpha, float) and alpha > ALPHAS[1],
             f"'alpha' of entmax is at most 3; got {alpha}: beyond, its weights lose digits "
             "(2 is sparsemax, and as sparse as other projections get)."),
            (self.encoder in PRETRAINED and sizes != (SIZE, SIZE),
             f"encoder '{self.encoder}' is pretrained with 'embedding_size' and 'hidden_size' "
             f"{SIZE}; got {sizes[0]} and {sizes[1]}: leave them out."),
        ):  # fmt: skip
            if fault:
                raise ValueError(message)
        return self


class Output(NamedTuple):
    """Every stage of one forward pass; time runs over markers and padding too.

    The logit is that of the positive class.
    """

    embedded: Float[Tensor, "batch time embedding"]
    hidden: Float[Tensor, "batch time hidden"]
    scores: Float[Tensor, "batch time"]
    attention: Float[Tensor, "batch time"]
    logit: Float[Tensor, " batch"]


class BiLSTM(nn.Module):
    """Two one-directional LSTMs; the backward one reads each document reversed.

    Reversing by `gather` keeps padding at the end for both directions, so it never reaches a
    real state; it agrees with packed sequences, whose backward pass is quadratic in time.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.size = 2 * hidden_size
        self.forwards = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.backwards = nn.LSTM(input_size, hidden_size, batch_first=True)

    def forward(
        self, embedded: Float[Tensor, "batch time embedding"], batch: Batch
    ) -> Float[Tensor, "batch time hidden"]:
        """Return h_t = [forward state; backward state], (batch, time, 2 · hidden_size)."""
        time = torch.arange(embedded.shape[1], device=embedded.device)
        last = batch.lengths[:, None] - 1
        mirror = torch.where(time <= last, last - time, time)[:, :, None]
        forwards, _ = self.forwards(embedded)
        backwards, _ = self.backwards(embedded.gather(1, mirror.expand_as(embedded)))
        return torch.cat([forwards, backwards.gather(1, mirror.expand_as(backwards))], dim=-1)


class SelfAttentionLayer(nn.Module):
    """One post-norm Transformer layer with a single head (Vaswani et al., 2017)."""

    def __init__(self, size: int, feedforward: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)
        self.norm1 = nn.LayerNorm(size)
        self.expand = nn.Linear(size, feedforward)
        self.contract = nn.Linear(feedforward, size)
        self.norm2 = nn.LayerNorm(size)

    def forward(
        self, states: Float[Tensor, "batch time size"], padded: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time size"]:
        """Return LN(y + W₂ relu(W₁y)), y = LN(x + O·softmax(QKᵀ/√d)V)."""
        weights, value = self.attend(states, padded)
        states = self.norm1(states + self.out(weights @ value))
        return self.norm2(states + self.contract(torch.relu(self.expand(states))))

    def attend(
        self, states: Float[Tensor, "batch time size"], padded: Bool[Tensor, "batch time"]
    ) -> tuple[Float[Tensor, "batch time time"], Float[Tensor, "batch time size"]]:
        """Return softmax(QKᵀ/√d), in which padding is never a key, and V."""
        query, key, value = self.qkv(states).chunk(3, dim=-1)
        scores = query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])
        return torch.softmax(scores.masked_fill(~padded[:, None, :], -torch.inf), dim=-1), value


class Transformer(nn.Module):
    """Two self-attention layers over projected embeddings plus sinusoidal positions."""

    LAYERS = 2

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.size = hidden_size
        self.project = nn.Linear(input_size, hidden_size)
        self.layers = nn.ModuleList(
            SelfAttentionLayer(hidden_size, 2 * hidden_size) for _ in range(self.LAYERS)
        )

    def positions(self, time: int, like: Tensor) -> Float[Tensor, "time size"]:
        """Return the sinusoids sin(t/10000^(2k/d)), cos(…) of Vaswani et al. (2017)."""
        steps = torch.arange(time, device=like.device, dtype=like.dtype)[:, None]
        even = torch.arange(0, self.size, 2, device=like.device, dtype=like.dtype)
        rates = torch.exp(even * (-math.log(10_000.0) / self.size))
        return torch.stack([torch.sin(steps * rates), torch.cos(steps * rates)], dim=-1).flatten(1)

    def forward(
        self, embedded: Float[Tensor, "batch time embedding"], batch: Batch
    ) -> Float[Tensor, "batch time hidden"]:
        """Return the last layer's states, (batch, time, hidden_size)."""
        states = self.embed(embedded)
        for layer in self.layers:
            states = layer(states, batch.padded)
        return states

    def embed(
        self, embedded: Float[Tensor, "batch time embedding"]
    ) -> Float[Tensor, "batch time hidden"]:
        """Return what the first layer reads: projected embeddings plus positions."""
        return self.project(embedded) + self.positions(embedded.shape[1], embedded)


class NoEncoder(nn.Module):
    """Hidden states are the embeddings themselves: no context, the control model."""

    def __init__(self, input_size: int, hidden_size: int = 0) -> None:
        super().__init__()
        self.size = input_size

    def forward(
        self, embedded: Float[Tensor, "batch time embedding"], batch: Batch
    ) -> Float[Tensor, "batch time embedding"]:
        """Return the embeddings unchanged."""
        return embedded


class AdditiveAlignment(nn.Module):
    """a_i = v · tanh(W h_i + b), W halving the size; no query (Jain & Wallace, 2019)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.inner = nn.Linear(size, size // 2)
        self.outer = nn.Linear(size // 2, 1, bias=False)

    def forward(self, hidden: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch"]:
        """Return one score a state."""
        scores: Tensor = self.outer(torch.tanh(self.inner(hidden)))
        return scores.squeeze(-1)


class DotAlignment(nn.Module):
    """a_i = w · h_i / √m, m the size of h_i; w stands in for the query (Jain & Wallace, 2019)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Linear(size, 1, bias=False)

    def forward(self, hidden: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch"]:
        """Return one score a state."""
        scores: Tensor = self.weight(hidden)
        return scores.squeeze(-1) / math.sqrt(hidden.shape[-1])


class Classifier(nn.Module):
    r"""A text classifier whose decision is a weighted mean of its hidden states.

    .. math::
        h = \mathrm{enc}(X),\quad a_i = \mathrm{align}(h_i),\quad \alpha = \varphi(a),\quad
        f = w^\top \textstyle\sum_i \alpha_i h_i + b

    with X_i the embedding of token i and f the logit of the positive class. The begin- and
    end-of-text markers pass through the encoder and are never attended to. Weights are drawn from
    torch's global generator (seed it first), embeddings from N(0, 0.05²) where no `vectors`
    (vocabulary_size, embedding_size) are given; a pretrained encoder needs the words' `pieces`
    (`models.pretrained.word_pieces`).
    """

    EMBEDDING_STD = 0.05

    def __init__(
        self,
        settings: ModelSettings,
        vocabulary_size: int,
        vectors: Float[Tensor, "vocabulary embedding"] | None = None,
        pieces: Int[Tensor, "vocabulary most"] | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.embedding: nn.Embedding | PieceEmbedding
        self.encoder: BiLSTM | Transformer | NoEncoder | MiniLM
        if settings.encoder in PRETRAINED:
            assert pieces is not None
            self.embedding = PieceEmbedding(pieces)
            self.encoder = MiniLM(pieces, PRETRAINED[settings.encoder])
        else:
            self.embedding = self._embedding(vocabulary_size, settings.embedding_size, vectors)
            encoders: dict[str, type[BiLSTM | Transformer | NoEncoder]]
            encoders = {"bilstm": BiLSTM, "transformer": Transformer, "none": NoEncoder}
            self.encoder = encoders[settings.encoder](settings.embedding_size, settings.hidden_size)
        alignments = {"additive": AdditiveAlignment, "dot": DotAlignment}
        self.alignment = alignments[settings.alignment](self.encoder.size)
        self.projection = Projection(settings.projection, settings.lam, settings.alpha)
        self.decoder = nn.Linear(self.encoder.size, 1)

    def _embedding(self, words: int, size: int, vectors: Tensor | None) -> nn.Embedding:
        embedding = nn.Embedding(words, size, padding_idx=PAD)
        with torch.no_grad():
            embedding.weight.normal_(std=self.EMBEDDING_STD)
            if vectors is not None:
                embedding.weight.copy_(vectors)
            embedding.weight[PAD] = 0
        return embedding

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.weight.device

    def decode(
        self, attention: Float[Tensor, "batch time"], hidden: Float[Tensor, "batch time hidden"]
    ) -> Float[Tensor, " batch"]:
        """Return the logit w · Σ αᵢ hᵢ + b."""
        context = torch.einsum("bt,bth->bh", attention, hidden)
        logit: Tensor = self.decoder(context)
        return logit.squeeze(-1)

    def from_hidden(
        self,
        hidden: Float[Tensor, "batch time hidden"],
        batch: Batch,
        fixed_attention: Float[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"], Float[Tensor, " batch"]]:
        """Return scores, attention and logit from the hidden states.

        With `fixed_attention` the weights are those, constant: no gradient flows through them.
        """
        scores = self.alignment(hidden)
        attention = fixed_attention
        if attention is None:
            attention = self.projection(scores, batch.tokens)
        return scores, attention, self.decode(attention, hidden)

    def from_embedded(
        self, embedded: Float[Tensor, "batch time embedding"], batch: Batch
    ) -> Output:
        """Run all stages after the embedding."""
        hidden = self.encoder(embedded, batch)
        return Output(embedded, hidden, *self.from_hidden(hidden, batch))

    def forward(self, batch: Batch) -> Output:
        """Run the whole classifier on a batch of documents."""
        return self.from_embedded(self.embedding(batch.ids), batch)


def assembled(settings: ModelSettings, weights: dict[str, Tensor]) -> Classifier:
    """Return the classifier whose weights were kept, in evaluation mode.

    They are its own afterwards, not copied.
    """
    pieces = weights.get("embedding.pieces")
    words = len(weights["embedding.weight"] if pieces is None else pieces)
    with torch.device("meta"):  # nothing is drawn, so no random state is touched
        classifier = Classifier(settings, words, pieces=pieces)
    classifier.load_state_dict(weights, assign=True)
    return classifier.eval()


def parameter_counts(settings: ModelSettings, vocabulary: int) -> dict[str, int]:
    """Return how many numbers each of a classifier's `PARTS` learns; nothing is allocated.

    `vocabulary` counts the words and markers that have a vector.
    """
    with torch.device("meta"):
        classifier = Classifier(settings, vocabulary)
    counts = dict.fromkeys(PARTS, 0)
    for name, parameter in classifier.named_parameters():
        counts[name.partition(".")[0]] += parameter.numel()
    return counts

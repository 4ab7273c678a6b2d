"""Documents side by side, as every encoder reads them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sparseattn.data.words import PAD


class Batch(NamedTuple):
    """Documents side by side, padded on the right: token ids with markers, how many are real."""

    ids: Int[Tensor, "batch time"]
    lengths: Int[Tensor, " batch"]

    @property
    def padded(self) -> Bool[Tensor, "batch time"]:
        """True on real positions, markers included."""
        time = torch.arange(self.ids.shape[1], device=self.ids.device)
        return time < self.lengths[:, None]

    @property
    def tokens(self) -> Bool[Tensor, "batch time"]:
        """True on the document's own tokens: neither markers nor padding."""
        time = torch.arange(self.ids.shape[1], device=self.ids.device)
        return (time > 0) & (time < self.lengths[:, None] - 1)


def collate(ids: Sequence[Int[Tensor, " _"]], device: str | torch.device = "cpu") -> Batch:
    """Pad documents (each BEGIN, tokens, END) to the longest of them."""
    padded = pad_sequence(list(ids), batch_first=True, padding_value=PAD)
    return Batch(padded.to(device), torch.tensor([*map(len, ids)], device=device))

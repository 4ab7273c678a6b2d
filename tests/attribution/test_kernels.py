"""Building blocks against torch's own."""

import pytest
import torch

from sparseattn.attribution.lstm import recurrence
from sparseattn.models.products import product


def drawn(*shape, dtype):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("rows", "size"), [(1, 3), (5, 4), (70, 128)])
@pytest.mark.parametrize("steps", [12, 5])  # the last block of a text has fewer
def test_packed_weights_are_the_same_lstm(steps, rows, size, dtype):
    lstm = torch.nn.LSTM(7, size, bias=False, dtype=dtype)
    inputs = drawn(steps, rows, 7, dtype=dtype)
    state = drawn(rows, size, dtype=dtype), drawn(rows, size, dtype=dtype).mul_(3)
    with torch.no_grad():
        run = recurrence(lstm.weight_hh_l0, 12)
        states, hidden, cell = run(inputs, lstm.weight_ih_l0, *state)
        expected, last = lstm(inputs, (state[0][None], state[1][None]))
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(hidden, last[0][0])
    torch.testing.assert_close(cell, last[1][0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_product_is_a_product(dtype):
    left, wide, bias = drawn(3, 5, 8, dtype=dtype), drawn(8, 12, dtype=dtype), drawn(6, dtype=dtype)
    for right in (wide[:, 1:7], wide.t()[1:7].t(), wide[:, ::2]):  # slices of all strides
        torch.testing.assert_close(product(left, right), left @ right)
        torch.testing.assert_close(product(left, right, bias), left @ right + bias)

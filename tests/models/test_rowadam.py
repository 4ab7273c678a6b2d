"""Row-wise Adam is Adam, where every row occurs; a row that does not occur keeps still."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from sparseattn.models.rowadam import RowAdam


@given(seed=st.integers(0, 100), decay=st.sampled_from([0.0, 1e-5, 0.1]))
def test_equals_torch_when_every_row_is_in_every_batch(seed: int, decay: float) -> None:
    torch.manual_seed(seed)
    weight = torch.randn(5, 3, dtype=torch.float64)
    reference = torch.nn.Parameter(weight.clone())
    rows = RowAdam(weight, 0.01, decay)
    adam = torch.optim.Adam([reference], lr=0.01, weight_decay=decay, amsgrad=True)
    for _ in range(20):
        # Gradients of very different size, so that amsgrad's maximum matters.
        gradient = torch.randn(5, 3, dtype=torch.float64) * 10 ** torch.randn(()).item()
        order = torch.randperm(5)
        reference.grad = gradient.clone()
        adam.step()
        rows.step(order, gradient[order])
    torch.testing.assert_close(weight, reference.detach(), rtol=1e-12, atol=1e-12)


def test_a_row_advances_only_when_it_occurs() -> None:
    torch.manual_seed(0)
    weight, alone = torch.randn(4, 3), torch.randn(1, 3)
    weight[1] = alone[0]
    before = weight.clone()
    rows, reference = RowAdam(weight, 0.01, 0.1), RowAdam(alone, 0.01, 0.1)
    for _ in range(5):
        gradient = torch.randn(2, 3)
        rows.step(torch.tensor([1, 2]), gradient)
        rows.step(torch.tensor([2]), gradient[1:])
        reference.step(torch.tensor([0]), gradient[:1])
    assert torch.equal(weight[[0, 3]], before[[0, 3]])
    # Row 1 went as if there were no other, its own five steps counted.
    assert torch.equal(weight[1], alone[0])
    assert (weight[2] != before[2]).all()


def test_the_gradient_given_is_not_changed() -> None:
    rows, gradient = RowAdam(torch.ones(2, 2), 0.1, 0.5), torch.ones(2, 2)
    rows.step(torch.tensor([0, 1]), gradient)
    assert torch.equal(gradient, torch.ones(2, 2))

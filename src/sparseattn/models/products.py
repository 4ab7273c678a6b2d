"""Products of matrices through oneDNN, and the linear layer made of them."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def by_onednn(tensor: Tensor) -> bool:
    """Return whether oneDNN computes with a tensor: float32 on a CPU, not switched off.

    Its operations below and in `attribution.lstm` are torch's own under private names, as of the
    version that requirements.txt pins; the tests hold them against the public ones.
    """
    known = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    onednn = known and torch.backends.mkldnn.enabled
    return bool(onednn and tensor.device.type == "cpu" and tensor.dtype == torch.float32)


def product(
    left: Float[Tensor, "*batch inner"],
    right: Float[Tensor, "inner columns"],
    bias: Float[Tensor, " columns"] | None = None,
) -> Float[Tensor, "*batch columns"]:
    """Multiply by a matrix, through oneDNN where it applies; no gradient.

    On AMD processors torch's own product (MKL) takes twice as long (100 against 210 GFLOP/s on
    one core of an EPYC 9005).
    """
    if by_onednn(left):
        if not (right.is_contiguous() or right.t().is_contiguous()):
            right = right.contiguous()  # a slice's strides would fall to a kernel 1000 times slower
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            left.contiguous(), right.t(), bias, "none", [], ""
        )
        return out
    return left @ right if bias is None else left @ right + bias


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(inputs if ctx.needs_input_grad[1] else None, weight)
        return product(inputs, weight.t(), bias)

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        of_inputs = product(slopes, weight) if ctx.needs_input_grad[0] else None
        if inputs is None:
            return of_inputs, None, None
        rows = slopes.flatten(0, -2)
        return of_inputs, product(rows.t(), inputs.flatten(0, -2)), rows.sum(dim=0)


def linear(
    inputs: Float[Tensor, "*batch inner"],
    weight: Float[Tensor, "columns inner"],
    bias: Float[Tensor, " columns"],
) -> Float[Tensor, "*batch columns"]:
    """Return x Wᵀ + b by `product`, with gradients; those of frozen weights are not computed."""
    out: Tensor = _Linear.apply(inputs, weight, bias)  # type: ignore[no-untyped-call]
    return out

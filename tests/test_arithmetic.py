"""The arithmetic that gives the same bits on any x86-64 processor with AVX2."""

import hashlib
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sparseattn import arithmetic
from sparseattn.experiments import machine
from sparseattn.experiments.making import reproducible

SOURCE = str(Path(arithmetic.__file__).parents[1])

# Of weights after 12 steps; found on an AMD EPYC (Zen 4) and on an Intel Xeon (Sapphire Rapids).
FINGERPRINTS = {"bilstm": "44f5c8152d3b", "transformer": "83bbb4d627e6"}

portable = pytest.mark.skipif(
    arithmetic.unsupported() is not None, reason=f"not portable here: {arithmetic.unsupported()}"
)


class SelfAttention(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.qkv, self.norm = nn.Linear(size, 3 * size), nn.LayerNorm(size)

    def forward(self, states: Tensor) -> tuple[Tensor]:
        query, key, value = self.qkv(states).chunk(3, dim=-1)
        weights = torch.softmax(query @ key.transpose(1, 2) / len(query), dim=-1)
        return (self.norm(states + torch.tanh(weights @ value)),)


def trained(kind: str) -> str:
    """Train a small network in all that the classifiers are made of; return its fingerprint."""
    torch.manual_seed(0)
    embed, score, out = nn.Embedding(90, 60), nn.Linear(60, 1), nn.Linear(60, 1)
    lstm = nn.LSTM(60, 30, batch_first=True, bidirectional=True)
    body = lstm if kind == "bilstm" else SelfAttention(60)
    weights = [p for part in (embed, score, out, body) for p in part.parameters()]
    adam = torch.optim.Adam(weights, lr=1e-2, amsgrad=True, foreach=False)  # roots, one by one
    draw = torch.Generator().manual_seed(1)
    for _ in range(12):
        ids = torch.randint(90, (32, 23), generator=draw)
        states = body(embed(ids))[0]
        attention = torch.softmax(score(states).squeeze(-1), dim=-1)
        logit = out(torch.einsum("bt,bth->bh", attention, states)).squeeze(-1)
        label = (ids < 4).any(dim=1).float()
        adam.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(logit, label).backward()
        adam.step()
    return hashlib.sha256(b"".join(w.detach().numpy().tobytes() for w in weights)).hexdigest()[:12]


@portable
@pytest.mark.parametrize("kind", FINGERPRINTS)
def test_the_same_weights_on_every_processor(kind: str) -> None:
    assert arithmetic.device("cpu") == "cpu"
    with reproducible("cpu"):
        found = trained(kind)
    assert found == FINGERPRINTS[kind], f"{kind} on {machine.hardware()['processor']}: {found}"


@portable
def test_roots_are_rounded_rightly_and_the_kernels_put_back() -> None:
    numbers = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) + 1e-3
    right = numbers.double().sqrt().float()
    before = numbers.sqrt()
    with arithmetic.portable():
        assert torch.equal(numbers.sqrt(), right)
        assert torch.equal(numbers.view(-1, 8).t().sqrt(), right.view(-1, 8).t())
        assert torch.equal(numbers.clone().sqrt_(), right)
        assert torch.arange(10).sqrt().dtype == torch.float32
    assert torch.equal(numbers.sqrt(), before)
    assert not torch.equal(before, right), "MKL's roots are right: the replacement can go"


LEFT = {
    "plain": torch.randn(37, 30),
    "transposed": torch.randn(30, 37).t(),
    "sliced": torch.randn(37, 90)[:, 30:60],
    "strided": torch.randn(37, 60)[:, ::2],
    "expanded": torch.randn(30).expand(37, 30),
    "one row": torch.randn(1, 30),
    "no rows": torch.randn(0, 30),
}


@pytest.mark.parametrize("kind", LEFT)
def test_products_and_their_gradients_against_float64(kind: str) -> None:
    left, right, bias = LEFT[kind], torch.randn(30, 11), torch.randn(11)
    batch = torch.stack([left, 2 * left]), torch.stack([right, right + 1])
    found = []
    for dtype in (torch.float32, torch.float64):
        one, two, three = (t.to(dtype, copy=True).requires_grad_() for t in (left, right, bias))
        with arithmetic.portable():
            whole = (
                torch.addmm(three, one, two, beta=0.5, alpha=2).sum() + (one @ two).square().sum()
            )
            whole.backward()
            many = torch.bmm(*(t.to(dtype) for t in batch))
        found.append([whole, many, one.grad, two.grad, three.grad])
    for single, double in zip(*found, strict=True):
        scale = float(double.detach().abs().max()) if double.numel() else 0.0
        torch.testing.assert_close(single.double(), double, rtol=0, atol=2e-6 * scale)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bfloat16, torch.complex64, torch.float64])
def test_other_numbers_are_left_to_torch(dtype: torch.dtype) -> None:
    one = torch.arange(6).view(2, 3).to(dtype)
    expected = one @ one.t(), torch.bmm(one[None], one.t()[None])
    with arithmetic.portable():
        assert torch.equal(one @ one.t(), expected[0])
        assert torch.equal(torch.bmm(one[None], one.t()[None]), expected[1])


def test_what_overflows_or_is_no_number_is_as_in_torch() -> None:
    huge, bad = torch.full((2, 2), 1e38), torch.tensor([-1.0, torch.inf, torch.nan])
    with arithmetic.portable():
        assert (huge @ huge).isinf().all()
        assert bad.sqrt().isnan().tolist() == [True, False, True]


def test_gradcheck() -> None:
    one, two = torch.randn(3, 4, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    bias = torch.randn(2, dtype=torch.float64)
    inputs = tuple(t.requires_grad_() for t in (bias, one, two))
    with arithmetic.portable():
        assert torch.autograd.gradcheck(
            lambda b, x, y: torch.addmm(b, x, y, beta=3, alpha=2), inputs
        )


def test_processors_that_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: old\nflags\t\t: fpu sse4_2 avx fma\nbugs\t: avx2\n")
    monkeypatch.setattr(arithmetic.platform, "machine", lambda: "x86_64")
    assert arithmetic.unsupported(info) == "no avx2"
    info.write_text("flags\t\t: fpu avx2 fma\n")
    assert arithmetic.unsupported(info) is None
    monkeypatch.setattr(arithmetic.platform, "machine", lambda: "aarch64")
    assert arithmetic.unsupported(info) == "aarch64"
    monkeypatch.setattr(arithmetic, "_reason", "aarch64")
    assert arithmetic.device("cpu") == "cpu, aarch64"
    assert arithmetic.device("cuda") == "cuda"


@portable
def test_imported_after_numpy_says_so() -> None:
    clean = {k: v for k, v in os.environ.items() if k not in arithmetic.ENVIRONMENT}
    code = "import numpy\nfrom sparseattn import arithmetic\nprint(arithmetic.device('cpu'))"
    late, early = (
        subprocess.run(
            [sys.executable, "-c", code],
            env=env | {"PYTHONPATH": SOURCE}, capture_output=True, text=True, check=True,
        )
        for env in (clean, clean | arithmetic.ENVIRONMENT)
    )  # fmt: skip
    assert late.stdout.strip() == "cpu, imported late"
    assert "Import sparseattn first" in late.stderr
    assert (early.stdout.strip(), early.stderr) == ("cpu", "")


@portable
def test_warnings_are_not_swallowed() -> None:
    with arithmetic.portable(), pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)

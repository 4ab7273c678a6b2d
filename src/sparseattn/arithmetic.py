"""One arithmetic on every x86-64 processor with AVX2: what chooses its kernels is pinned here.

torch, numpy and their libraries choose instructions by processor, and the last bit with them;
training amplifies it into another run. Two steps pin it. *On import* the environment is set, which
the libraries read once, when they are loaded: so this module comes before torch and numpy, imports
neither, and is the first that the package imports. *In a run* (`portable`), numpy does what Intel's
MKL does slowly, products, or not alike on all makes, square roots.
"""

import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

ENVIRONMENT = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own loops: sums, softmax, sigmoid, Adam
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # the LSTM, forwards and backwards
    "MKL_CBWR": "COMPATIBLE",  # exp, log, tanh, QR; AVX2 is ignored on other makers' processors
    "OPENBLAS_CORETYPE": "Haswell",  # numpy's and scipy's products and decompositions
    "OPENBLAS_NUM_THREADS": "1",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # numpy's own loops
}


def unsupported(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """Return why this processor cannot compute portably, in a word or two; None where it can."""
    machine = platform.machine().lower()
    if machine not in ("x86_64", "amd64"):
        return machine
    try:
        flags = cpuinfo.read_text(encoding="utf-8").partition("flags")[2].partition("\n")[0]
    except OSError:
        return platform.system().lower()  # nothing to ask: Haswell's kernels might crash
    return None if {"avx2", "fma"} <= set(flags.split()) else "no avx2"


def _pin() -> str | None:
    """Set the environment, and return why what runs here is not portable all the same."""
    reason = unsupported()
    if reason is None:
        late = [name for name in ("numpy", "torch") if name in sys.modules]
        if late and any(os.environ.get(name) != ENVIRONMENT[name] for name in ENVIRONMENT):
            reason = "imported late"
            warnings.warn(
                f"{' and '.join(late)} was imported before sparseattn, so runs made here hold on "
                "this make of processor only, and are stored apart. Import sparseattn first.",
                stacklevel=2,
            )
        os.environ.update(ENVIRONMENT)
    return reason


_reason = _pin()


def device(kind: str) -> str:
    """Return the device, ``cpu`` or ``cuda``, as a run's key names it.

    ``cpu`` is the portable arithmetic; ``cpu, `` and why stands where this one gives other bits: a
    machine such as ``aarch64``, ``no avx2``, ``imported late``, or a BLAS that is not OpenBLAS.
    """
    reason = _reason or _other_blas()
    return kind if kind != "cpu" or reason is None else f"{kind}, {reason}"


def _other_blas() -> str | None:
    import numpy as np

    config: Any = np.show_config(mode="dicts")  # conda's numpy may come with MKL
    name = str(config["Build Dependencies"]["blas"]["name"])
    return None if "openblas" in name else name


@contextmanager
def portable() -> Iterator[None]:
    """Meanwhile torch multiplies on a CPU by OpenBLAS, and rounds square roots as IEEE 754 does.

    Notes
    -----
    MKL's ``COMPATIBLE`` products are the same on all processors, but two to five times as slow. Its
    float32 root is not the same: it refines an estimate, for which makers have instructions of
    their own. Kernels are replaced below autograd, for the whole process, and use one thread. Where
    `device` is not portable nothing is replaced.
    """
    if _reason or _other_blas():
        yield
        return
    import torch

    with torch.library._scoped_library("aten", "IMPL") as library:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it replaces a kernel
            for name, kernel in _kernels().items():
                library.impl(name, kernel, "CPU")
        yield


def _kernels() -> dict[str, Callable[..., "Tensor"]]:
    import numpy as np
    import torch

    def view(matrices: "Tensor") -> np.ndarray:
        """Share matrices with numpy, copied only where their strides would fall to a slow loop."""
        (row, column), (rows, columns) = matrices.stride()[-2:], matrices.shape[-2:]
        by_rows, by_columns = column == 1 and row >= columns, row == 1 and column >= rows
        return (matrices if by_rows or by_columns else matrices.contiguous()).detach().numpy()

    def product(name: str) -> Callable[["Tensor", "Tensor"], "Tensor"]:
        def multiply(left: "Tensor", right: "Tensor") -> "Tensor":
            out = left.new_empty(left.shape[:-1] + right.shape[-1:])
            if left.dtype != torch.float32 or right.dtype != torch.float32:
                return getattr(torch, name)(left, right, out=out)  # which is not replaced
            with np.errstate(all="ignore"):  # torch gives infinity and NaN without a word
                np.matmul(view(left), view(right), out=out.numpy())
            return out

        return multiply

    def addmm(
        bias: "Tensor", left: "Tensor", right: "Tensor", *, beta: float = 1, alpha: float = 1
    ) -> "Tensor":
        out = mm(left, right)
        out = out if alpha == 1 else out.mul_(alpha)
        return out if beta == 0 else out.add_(bias, alpha=beta)

    def sqrt(tensor: "Tensor", out: "Tensor | None" = None) -> "Tensor":
        if not (tensor.is_floating_point() or tensor.is_complex()):
            tensor = tensor.to(torch.get_default_dtype())
        out = torch.empty_like(tensor) if out is None else out
        if tensor.dtype != torch.float32:
            return torch.sqrt(tensor, out=out)
        with np.errstate(all="ignore"):
            np.sqrt(tensor.detach().numpy(), out=out.detach().numpy())
        return out

    def sqrt_(tensor: "Tensor") -> "Tensor":
        return sqrt(tensor, tensor)

    mm = product("mm")
    return {"mm": mm, "bmm": product("bmm"), "addmm": addmm, "sqrt": sqrt, "sqrt_": sqrt_}

"""Other makes of processor, emulated by QEMU: the same bits with AVX2, another device without.

An emulated processor answers for its make, family and features, by which libraries choose their
kernels; its instructions are QEMU's. ``/proc/cpuinfo`` stays the machine's, so for a processor
without AVX2 another is laid over it, in a mount namespace of the test's.
"""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import trusted

from sparseattn import arithmetic
from sparseattn.results import published

MAKES = ("Haswell", "Skylake-Client", "Cascadelake-Server", "EPYC", "EPYC-Milan", "Dhyana")
PINNED = arithmetic.ENVIRONMENT  # for this processor, when this process imported the package
TESTS = Path(__file__).parents[1]
FINGERPRINTS = """
from sparseattn import arithmetic
import test_arithmetic
from sparseattn.experiments.making import reproducible
with reproducible("cpu"):
    print(arithmetic.device("cpu"), *map(test_arithmetic.trained, test_arithmetic.FINGERPRINTS))
"""


@cache
def lacking() -> str | None:
    """Say what is missing; None where processors can be emulated."""
    if not trusted.THOROUGH:
        return "minutes a processor: 'make trust' tries it"
    if arithmetic.unsupported() is not None:
        return f"the processor here is not portable: {arithmetic.unsupported()}"
    if (qemu := shutil.which("qemu-x86_64")) is None:
        return "no qemu-x86_64 here: install Debian's 'qemu-user'"
    told = subprocess.run([qemu, "-version"], capture_output=True, text=True, check=True).stdout
    if int(re.findall(r"version (\d+)", told)[0]) < 10:
        return f"{told.splitlines()[0]}: from 10 on the LSTM's kernels run"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        return "no mount namespace to be had: not root"
    return None


pytestmark = pytest.mark.skipif(lacking() is not None, reason=str(lacking()))


def emulated(
    processor: str, *command: str, cpuinfo: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python on an emulated processor; `cpuinfo` is what the machine says of it."""
    mount = f"mount --bind '{cpuinfo}' /proc/cpuinfo && " if cpuinfo else ""
    run = f'{mount} exec qemu-x86_64 -cpu {processor} "$0" "$@"'
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", run, sys.executable, *command],
        env={
            **{name: value for name, value in os.environ.items() if name not in PINNED},
            "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def without_avx2(tmp_path: Path) -> Path:
    file = tmp_path / "cpuinfo"
    file.write_text(re.sub(r" (avx|fma)\w*", "", Path("/proc/cpuinfo").read_text()))
    return file


def test_processors_with_avx2_agree() -> None:
    from test_arithmetic import FINGERPRINTS as KNOWN

    wrong = {}
    for make in MAKES:
        found = emulated(make, "-c", FINGERPRINTS)
        if found.stdout.split() != ["cpu", *KNOWN.values()]:
            wrong[make] = found.stdout + found.stderr
    what = f"weights trained on emulated processors ({', '.join(MAKES)}), against a real one"
    trusted.record("processors", what, len(MAKES), len(wrong))
    assert not wrong


def test_one_without_avx2_is_another_device(without_avx2: Path) -> None:
    found = emulated("IvyBridge", "-c", FINGERPRINTS, cpuinfo=without_avx2)
    assert found.stdout.startswith("cpu, no avx2 "), found.stderr
    key = published.runs(["sst"])[0].key
    asked = emulated("IvyBridge", "-m", "sparseattn", "recompute", key, cpuinfo=without_avx2)
    assert asked.returncode == 2
    assert f"Run {key} was made on 'cpu', and this is 'cpu, no avx2'" in asked.stderr
    assert "published seeds have, on the observed documents" in asked.stderr


def test_its_runs_are_kept_apart(
    without_avx2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (
        "-m", "sparseattn", "sweep", "--task", "planted", "--encoders", "none", "--projections",
        "softmax", "--seeds", "0", "-p", "task_options", "{documents: [60, 20, 20]}",
        "-p", "epochs", "1", "-p", "observed", "3", "--jobs", "1", "--quiet",
    )  # fmt: skip
    monkeypatch.setenv("SPARSEATTN_STORE", str(tmp_path / "store"))
    here = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
    there = emulated("IvyBridge", *command, cpuinfo=without_avx2)
    assert there.returncode == 0, there.stderr
    assert here.stdout.split()[0] != there.stdout.split()[0]
    assert len(list((tmp_path / "store" / "runs").iterdir())) == 2

"""Same spec, same bits: whatever the number of processes, the order, and what came between."""

import os
import random

import killing
import pytest
import tiny
from trusted import record, times

from sparseattn import files
from sparseattn.experiments.specs import adversaries_of, examinations_of
from sparseattn.experiments.store import Store
from sparseattn.experiments.sweeps import ensure

RUNS = [
    tiny.spec(encoder=encoder, projection=projection, vectors=vectors)
    for encoder, projection, vectors in (
        ("bilstm", "softmax", "task"), ("transformer", "sparsemax", "random"),
        ("none", "entmax", "task"), ("bilstm", "sparsemax", "random"),
    )
]  # fmt: skip
WANTED = [RUNS, adversaries_of(RUNS[:2], ["frozen", "unfrozen"]), examinations_of(RUNS[1:3], 3)]


def fill(folder, jobs, draw=None):
    """Fill a store, in some order; return the bits of each result: weights, traces, documents."""
    store, found = Store(folder), {}
    for specs in WANTED:
        order = draw.sample(specs, len(specs)) if draw else specs
        for one in ensure(order, store, jobs=jobs, progress=False):
            lines = (one.path / files.SUMS).read_text().splitlines()
            found[one.key] = sorted(line for line in lines if "safetensors" in line)
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("one") / "store", jobs=1)


def test_any_number_of_processes_and_any_order(tmp_path, expected):
    tried = 0
    for jobs in times([2], [1, 2, 3, 4]):
        for number in range(times(1, 2)):
            found = fill(tmp_path / f"{jobs}-{number}", jobs, random.Random(number))
            assert found == expected
            tried += len(found)
    record("repeats", "runs, adversaries and examinations made again in other processes", tried, 0)


def test_what_was_computed_before_in_the_process_does_not_matter(tmp_path, expected):
    """Each alone in a process of its own, killed before and taken up again, beside all in one."""
    draw, some = random.Random(0), RUNS[: times(0, 4)]
    if not some:
        pytest.skip(
            "make trust tries this; an ordinary run takes up what was killed in test_faults"
        )
    with killing.commands(tmp_path) as commands:
        for number, spec in enumerate(some):
            env = {"SPARSEATTN_STORE": str(tmp_path / str(number)), "OMP_NUM_THREADS": "2"}
            given = [
                part
                for name, value in spec.model_dump(mode="json", exclude_none=True).items()
                if name != "task"
                for part in ("-p", name, str(value))
            ]
            commands.killed("compute", *given, env=env, after=draw.uniform(0, 1))
            ended = commands.run("compute", *given, env=env)
            assert ended.code == 0, ended.said
            (run,) = Store(env["SPARSEATTN_STORE"]).runs()
            lines = (run.path / files.SUMS).read_text().splitlines()
            assert sorted(line for line in lines if "safetensors" in line) == expected[run.key]
    assert os.environ.get("OMP_NUM_THREADS") != "2"
    record("repeats-killed", "runs made again after a kill, alone in a process", len(some), 0)

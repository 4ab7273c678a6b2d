"""A stage whose numbers change must change its version, or stored runs would pass for new ones."""

import golden
import pytest


@pytest.fixture(scope="module")
def now():
    return golden.stages()


@pytest.mark.parametrize("stage", golden.VERSIONS)
def test_numbers_change_only_with_the_version(stage, now):
    before = golden.recorded(stage)
    again = "Run: python tests/golden.py"
    assert before["version"] == golden.VERSIONS[stage], (
        f"Stage '{stage}' has version {golden.VERSIONS[stage]}, but numbers are recorded for "
        f"{before['version']}. {again}"
    )
    changed = golden.differences(before["numbers"], now[stage])
    assert not changed, (
        f"The numbers of stage '{stage}' changed, its version did not: raise "
        f"{stage.upper()}_VERSION in src/sparseattn, or undo the change. {again}\n"
        + "\n".join(changed)
    )


def test_a_change_beyond_the_tolerance_is_seen():
    assert golden.differences(
        {"a": 1.0, "b": 2.0}, {"a": 1 + golden.TOLERANCE / 2, "b": 2.1, "c": 0.0}
    ) == [
        "b: recorded 2.0, now 2.1",
        "c: recorded None, now 0.0",
    ]

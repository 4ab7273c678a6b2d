"""How time and memory grow."""

from functools import partial

import pytest
import torch

from sparseattn.bench import scaling
from sparseattn.bench.comparisons import classifier_of, difference, document


def test_growth_is_the_exponent():
    rows = [
        {"what": "w", "encoder": "e", "along": "tokens", "by": by, "tokens": n, "documents": 1,
         "seconds": 3e-6 * n**power if n >= 50 else 1.0}
        for by, power in (("ours", 1), ("theirs", 2))
        for n in (20, 50, 100, 500)
    ]  # fmt: skip
    ours, theirs = scaling.growth(rows)
    assert (ours["by"], theirs["by"]) == ("ours", "theirs")
    assert ours["exponent"] == pytest.approx(1)
    assert theirs["exponent"] == pytest.approx(2)


@pytest.mark.parametrize("encoder", ["bilstm", "transformer"])
@pytest.mark.parametrize("what", scaling.WORK)
def test_all_ways_do_the_same(what, encoder):
    classifier = classifier_of(encoder, hidden_size=4, embedding_size=6)
    ids = [document(18), document(3, 1)]
    found = {by: work(classifier, ids) for by, work in scaling.WORK[what].items()}
    ours = found.pop("ours")
    if what == "leave-one-out":
        ours = [row[:n] for row, n in zip(ours[1], (18, 3), strict=True)]
    assert found
    for theirs in found.values():
        for one, other in zip(ours, theirs, strict=True):
            difference(one, other)


def test_times_are_of_each_size_and_way(monkeypatch):
    small = partial(classifier_of, hidden_size=4, embedding_size=6)
    monkeypatch.setattr(scaling, "classifier_of", small)
    rows = scaling.scaling("bilstm", sizes=(3, 6), counts=(1, 2))
    assert all(row["seconds"] > 0 for row in rows)
    for what, ways in scaling.WORK.items():
        for by in ways:
            some = [row for row in rows if (row["what"], row["by"]) == (what, by)]
            assert [(row["along"], row["tokens"], row["documents"]) for row in some] == [
                ("tokens", 3, 1), ("tokens", 6, 1), ("documents", 50, 1), ("documents", 50, 2),
            ]  # fmt: skip


def test_the_peak_is_of_what_lives_at_once(capfd):
    def one_after_another():
        for _ in range(3):
            torch.empty(10**6)

    def together():
        return [torch.empty(10**6) for _ in range(3)]

    assert scaling.peak_bytes(one_after_another) == pytest.approx(4e6, rel=0.01)
    assert scaling.peak_bytes(together) == pytest.approx(12e6, rel=0.01)
    assert capfd.readouterr().err == ""


def test_memory_does_not_grow_with_the_documents():
    classifier = classifier_of("bilstm", hidden_size=8, embedding_size=10)
    for ways in scaling.WORK.values():
        one, many = (
            scaling.peak_bytes(partial(ways["ours"], classifier, [document(60)] * count))
            for count in (1, 6)
        )
        assert many < 2 * one

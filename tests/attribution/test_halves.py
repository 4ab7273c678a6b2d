"""Two halves at once: in order, in the caller's modes, and with the same results."""

import threading

import numpy as np
import pytest
import torch

from sparseattn.attribution.importance import logits_without_each
from sparseattn.attribution.influence import influence, jacobian_influence
from sparseattn.attribution.kernels import flushes_denormals, halves
from sparseattn.bench.comparisons import classifier_of, document

CPU = torch.device("cpu")


@pytest.fixture
def threads():
    """Set torch's threads for a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("given", [2, 5])
def test_with_threads_both_are_worked_on_at_once(threads, given):
    threads(given)
    both_there = threading.Barrier(2, timeout=20)  # breaks unless two wait at it together

    def work(piece):
        both_there.wait()
        return piece, torch.get_num_threads(), torch.is_grad_enabled()

    share = given // 2
    with halves(CPU) as both:
        assert both.at_once == 2
        assert both(work, "a", "b") == (("a", share, False), ("b", share, False))
        assert both(work, "c", "d") == (("c", share, False), ("d", share, False))
    assert torch.get_num_threads() == given


def test_with_one_thread_nothing_is_divided(threads):
    threads(1)
    with halves(CPU) as both:
        assert both.at_once == 1
        assert both(lambda _: threading.get_ident(), 1, 2) == (threading.get_ident(),) * 2
        assert both(lambda _: torch.is_grad_enabled(), 1, 2) == (False, False)


@pytest.mark.parametrize("undivided", [(torch.device("cuda"), True), (CPU, False)])
def test_a_gpu_is_given_its_work_by_one_thread(threads, undivided):
    threads(2)
    with halves(*undivided) as both:
        assert both.at_once == 1
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize("flush", [True, False])
def test_denormals_are_flushed_as_by_the_caller(threads, flush):
    threads(2)
    before = flushes_denormals()
    try:
        torch.set_flush_denormal(flush)
        with halves(CPU) as both:
            assert both(lambda _: flushes_denormals(), 1, 2) == (flush, flush)
    finally:
        torch.set_flush_denormal(before)


@pytest.mark.parametrize("bad", ["a", "b"])
def test_a_failure_is_the_callers(threads, bad):
    threads(2)

    def work(piece):
        if piece == bad:
            raise ValueError(piece)

    with pytest.raises(ValueError, match=bad), halves(CPU) as both:
        both(work, "a", "b")
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("encoder", ["bilstm", "transformer"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_results_do_not_depend_on_the_threads(threads, encoder, dtype):
    classifier = classifier_of(encoder, hidden_size=8, embedding_size=10).to(dtype)
    ids = [document(n, n) for n in (1, 2, 30)]
    found = []
    for given in (1, 2):
        threads(given)
        found.append(
            [
                *logits_without_each(classifier, ids),
                *influence(classifier, ids),
                *jacobian_influence(classifier, ids[:2], memory=1),
            ]
        )
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-6)

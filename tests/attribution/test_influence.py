"""Influence against one automatic backward pass for each position."""

import numpy as np
import pytest
import torch

from sparseattn.attribution.influence import influence, jacobian_influence
from sparseattn.data.words import BEGIN, END, PAD
from sparseattn.models.batches import collate
from sparseattn.models.classifier import Classifier, ModelSettings

WORDS = 40
# Embeddings wider than what they feed (4 · hidden, or hidden) take another way through.
SHAPES = [
    (encoder, *sizes)
    for encoder in ("none", "bilstm", "transformer")
    for sizes in ((10, 6), (30, 4))
]


def make(encoder, embedding_size=10, hidden_size=6, dtype=torch.float64):
    torch.manual_seed(1)
    settings = ModelSettings(
        encoder=encoder, embedding_size=embedding_size, hidden_size=hidden_size
    )
    classifier = Classifier(settings, WORDS)
    with torch.no_grad():
        classifier.embedding.weight.mul_(10)
        for name, weight in classifier.encoder.named_parameters():
            if "norm" in name:  # γ = 1 and β = 0 would hide a mistake
                weight.add_(torch.randn_like(weight), alpha=0.3)
            else:
                weight.mul_(2)
    return classifier.to(dtype).eval()


def documents(*lengths):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.tensor([BEGIN, *torch.randint(4, WORDS, (n,), generator=generator).tolist(), END])
        for n in lengths
    ]


def one_backward_pass_each(classifier, ids):
    batch = collate([ids])
    embedded = classifier.embedding(batch.ids).detach().requires_grad_()
    hidden = classifier.encoder(embedded, batch)[0, 1:-1]
    rows = [
        torch.autograd.grad(state.norm(), embedded, retain_graph=True)[0][0, 1:-1].norm(dim=-1)
        for state in hidden
    ]
    return torch.stack(rows).numpy()


def whole_jacobians(classifier, ids):
    batch = collate([ids])
    jacobian = torch.autograd.functional.jacobian(
        lambda embedded: classifier.encoder(embedded, batch)[0, 1:-1],
        classifier.embedding(batch.ids).detach(),
    )
    return jacobian[:, :, 0, 1:-1].norm(dim=(1, 3)).numpy()  # (n, hidden, n, embedding)


@pytest.mark.parametrize(("encoder", "embedding", "hidden"), SHAPES)
@pytest.mark.parametrize(
    ("fast", "slow"),
    [(influence, one_backward_pass_each), (jacobian_influence, whole_jacobians)],
)
@pytest.mark.parametrize("memory", [None, 1])
def test_one_recurrence_is_a_backward_pass_for_each(encoder, embedding, hidden, fast, slow, memory):
    ids = documents(5, 1, 9)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        classifier = make(encoder, embedding, hidden, dtype)
        result = fast(classifier, ids, memory)
        assert [one.shape for one in result] == [(5, 5), (1, 1), (9, 9)]  # no marker's row
        assert {one.dtype.itemsize for one in result} == {dtype.itemsize}
        for one, found in zip(ids, result, strict=True):
            expected = slow(classifier, one)
            np.testing.assert_allclose(found, expected, atol=tolerance * expected.max())


@pytest.mark.parametrize("encoder", ["bilstm", "transformer"])
def test_influence_is_a_slope(encoder):
    """Central differences of ‖h_p‖, in float64."""
    classifier, (ids,) = make(encoder), documents(3)
    batch = collate([ids])
    with torch.no_grad():
        embedded = classifier.embedding(batch.ids)
        slopes = torch.zeros(3, *embedded[0].shape, dtype=embedded.dtype)
        for place in np.ndindex(*embedded[0].shape):
            for sign in (1, -1):
                moved = embedded.clone()
                moved[(0, *place)] += sign * 1e-6
                norms = classifier.encoder(moved, batch)[0, 1:-1].norm(dim=-1)
                slopes[(slice(None), *place)] += sign * norms / 2e-6
    np.testing.assert_allclose(
        influence(classifier, [ids])[0], slopes[:, 1:-1].norm(dim=-1).numpy(), atol=1e-7
    )


def test_without_encoder_a_state_is_its_input():
    classifier, ids = make("none"), documents(6, 1)
    for one, found in zip(ids, influence(classifier, ids), strict=True):
        np.testing.assert_allclose(found, np.eye(len(one) - 2), atol=1e-12)
    for found in jacobian_influence(classifier, ids):
        np.testing.assert_allclose(found, np.eye(len(found)) * np.sqrt(10))


def test_a_state_that_is_zero_has_no_direction():
    classifier = make("none")
    ids = torch.tensor([BEGIN, PAD, 7, END])  # the padding's embedding is zero
    np.testing.assert_allclose(influence(classifier, [ids])[0], np.diag([0.0, 1.0]), atol=1e-12)


@pytest.mark.parametrize("encoder", ["none", "bilstm", "transformer"])
def test_direction_alone_bounds(encoder):
    """‖uᵀJ‖ ≤ ‖J‖_F for a unit vector u."""
    classifier, ids = make(encoder), documents(8)
    (found,), (whole,) = influence(classifier, ids), jacobian_influence(classifier, ids)
    assert (found <= whole * (1 + 1e-12)).all()
    assert (whole > 0).sum() == (64 if encoder != "none" else 8)


@pytest.mark.parametrize("encoder", ["none", "bilstm", "transformer"])
def test_no_documents_and_no_tokens(encoder):
    classifier = make(encoder)
    assert influence(classifier, []) == []
    assert influence(classifier, [torch.tensor([BEGIN, END])])[0].shape == (0, 0)

"""Attributions of the pretrained encoder against the plain ways, word by word."""

import numpy as np
import pytest
import torch
from networks import document
from pretrained import make, needed

from sparseattn.attribution.explainers import EXPLAINERS, integrated_gradients, rollout
from sparseattn.attribution.importance import gradient_importance, logits_without_each
from sparseattn.attribution.influence import influence, jacobian_influence
from sparseattn.attribution.paths import PATHS, path_effects
from sparseattn.attribution.removal import curves
from sparseattn.models.batches import collate

pytestmark = needed

TEXTS = [document(4, 5, 11, 7, 10, 6), document(12), document(8, 8, 5)]


def logit(classifier, *words):
    return classifier(collate([document(*words)])).logit.item()


@torch.no_grad()
@pytest.mark.parametrize("projection", ["softmax", "sparsemax"])
def test_without_each_word(projection):
    classifier = make(projection=projection)
    full, without = logits_without_each(classifier, TEXTS)
    for row, text in enumerate(TEXTS):
        words = text[1:-1].tolist()
        assert full[row] == pytest.approx(logit(classifier, *words), abs=1e-5)
        for i in range(len(words)):
            rest = words[:i] + words[i + 1 :]
            expected = logit(classifier, *rest) if rest else classifier.decoder.bias.item()
            assert without[row, i] == pytest.approx(expected, abs=1e-5)
    assert without[2, 0] == without[2, 1]  # one text


@torch.no_grad()
def test_chunks_do_not_matter():
    classifier = make()
    for few, many in zip(
        logits_without_each(classifier, TEXTS, memory=1),
        logits_without_each(classifier, TEXTS),
        strict=True,
    ):
        np.testing.assert_allclose(few, many, atol=1e-5)


def test_whole_jacobians_are_automatic_differentiations():
    classifier, text = make("minilm_tuned"), document(6)
    embedded = classifier.embedding(text).detach()

    def state(inputs):
        return classifier.encoder(inputs[None], collate([text]))[0, 1]

    jacobian = torch.autograd.functional.jacobian(state, embedded)[:, 1]
    found = jacobian_influence(classifier, [text])[0]
    np.testing.assert_allclose(found, [[jacobian.norm()]], rtol=1e-3)


def test_gradients_and_influence_are_those_of_words():
    classifier, text = make("minilm_tuned"), TEXTS[0]
    count = len(text) - 2
    embedded = classifier.embedding(text).detach()
    lengths = []
    for place in range(count):
        source = embedded.clone().requires_grad_()
        norm = classifier.encoder(source[None], collate([text]))[0, 1 + place].norm()
        lengths.append(torch.autograd.grad(norm, source)[0].norm(dim=1)[1:-1])
    np.testing.assert_allclose(influence(classifier, [text])[0], torch.stack(lengths), rtol=1e-3)

    source = embedded.clone().requires_grad_()
    (slope,) = torch.autograd.grad(
        classifier.from_embedded(source[None], collate([text])).logit.sum(), source
    )
    found = gradient_importance(classifier, [text])[0]
    np.testing.assert_allclose(found, slope.norm(dim=1)[1:-1].numpy(), rtol=1e-4)
    product = gradient_importance(classifier, [text], times_embedding=True)[0]
    by_pieces = (slope * source).view(count + 2, -1, 384).sum(dim=2)  # a word's is its pieces' sum
    expected = by_pieces.sum(dim=1).abs()[1:-1].detach().numpy()
    np.testing.assert_allclose(product, expected, rtol=1e-3, atol=1e-6)


@torch.no_grad()
def test_path_effects_add_up_to_what_a_replacement_changes():
    classifier = make(projection="sparsemax")
    replaced = [torch.full((len(text) - 2,), 9) for text in TEXTS]
    parts = path_effects(classifier, TEXTS, replaced)
    for row, text in enumerate(TEXTS):
        for i in range(len(text) - 2):
            changed = text.clone()
            changed[i + 1] = 9
            expected = logit(classifier, *changed[1:-1]) - logit(classifier, *text[1:-1])
            assert parts["total"][row, i] == pytest.approx(expected, abs=1e-5)
            assert sum(parts[name][row, i] for name in PATHS) == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_rollout_without_layers_is_attention_and_never_exceeds_it_in_all():
    classifier = make()
    out = classifier(collate([TEXTS[0]]))
    assert rollout(classifier, TEXTS).sum(axis=1).max() < 1
    layers, classifier.encoder.layers = classifier.encoder.layers, torch.nn.ModuleList()
    alone = classifier(collate([TEXTS[0]]))
    np.testing.assert_allclose(rollout(classifier, TEXTS)[0], alone.attention[0, 1:-1], rtol=1e-5)
    classifier.encoder.layers = layers
    assert not torch.equal(out.attention, alone.attention)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_every_measure_is_defined(name):
    values = EXPLAINERS[name].function(make(projection="sparsemax"), TEXTS[:2])
    assert np.isfinite(values).all()
    assert values[0].any()


def test_integrated_gradients_sum_to_the_change_from_zero_vectors():
    classifier = make()
    text = TEXTS[0]
    embedded = classifier.embedding(text).clone()
    embedded[1:-1] = 0
    with torch.no_grad():
        start = classifier.from_embedded(embedded[None], collate([text])).logit.item()
    found = integrated_gradients(classifier, [text], steps=64)[0].sum()
    end = logit(classifier, *text[1:-1].tolist())
    assert found == pytest.approx(end - start, rel=0.01)


def test_removals_reach_their_ends():
    classifier = make()
    found = curves(classifier, TEXTS, {"inputs_loo": np.ones((3, 6), np.float32)}, limited=False)
    np.testing.assert_allclose(
        found.logit, [logit(classifier, *text[1:-1].tolist()) for text in TEXTS], atol=1e-5
    )

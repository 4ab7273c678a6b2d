"""Logits of what is left, against whole passes through the shortened texts."""

import itertools

import numpy as np
import pytest
import torch

from sparseattn.attribution.removal import logits_of_subsets
from sparseattn.data.words import BEGIN, END
from sparseattn.errors import UserError
from sparseattn.models.classifier import Classifier, ModelSettings, collate

ENCODERS = ("none", "bilstm", "transformer")


def make(encoder, **changes):
    torch.manual_seed(1)
    settings = ModelSettings(encoder=encoder, embedding_size=10, hidden_size=6, **changes)
    classifier = Classifier(settings, 40)
    with torch.no_grad():  # far from uniform attention
        classifier.embedding.weight.mul_(10)
        for weight in classifier.alignment.parameters():
            weight.mul_(3)
    return classifier.eval()


def text(*tokens):
    return torch.tensor([BEGIN, *tokens, END])


def every_subset(count):
    return np.array(list(itertools.product([False, True], repeat=count)), dtype=bool)


@torch.no_grad()
def whole_pass(classifier, document, kept):
    left = document[1:-1][torch.from_numpy(kept)]
    if len(left) == 0:
        return classifier.decoder.bias.item()
    return classifier(collate([text(*left.tolist())])).logit.item()


@pytest.mark.parametrize("projection", ["softmax", "sparsemax"])
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("memory", [None, 1, 20_000])
def test_each_subset_is_a_whole_pass(encoder, projection, memory):
    classifier, document = make(encoder, projection=projection), text(5, 9, 7, 5, 12, 30)
    keep = every_subset(6)
    found = logits_of_subsets(classifier, document, keep, memory)
    assert found.dtype == np.float32
    slow = [whole_pass(classifier, document, kept) for kept in keep]
    np.testing.assert_allclose(found, slow, atol=1e-5 * np.abs(slow).max())
    assert found[0] == classifier.decoder.bias.item()  # nothing left


@pytest.mark.parametrize("encoder", ENCODERS)
def test_equal_texts_have_equal_logits_to_the_bit(encoder):
    classifier, document = make(encoder), text(5, 5, 9, 5, 9, 9)
    keep = every_subset(6)
    kept = {}
    for subset, logit in zip(keep, logits_of_subsets(classifier, document, keep), strict=True):
        left = document[1:-1].numpy()[subset].tolist()
        left = tuple(sorted(left) if encoder == "none" else left)
        assert kept.setdefault(left, logit) == logit
    assert len(set(kept.values())) > len(kept) // 2  # and others have others


def test_order_of_subsets_is_kept():
    classifier, document, keep = make("bilstm"), text(5, 9, 7, 8), every_subset(4)
    order = np.random.default_rng(0).permutation(len(keep))
    np.testing.assert_array_equal(
        logits_of_subsets(classifier, document, keep[order]),
        logits_of_subsets(classifier, document, keep)[order],
    )


def test_no_subset_no_token_and_a_wrong_width():
    classifier = make("bilstm")
    assert logits_of_subsets(classifier, text(5, 9), np.zeros((0, 2), bool)).shape == (0,)
    nothing = logits_of_subsets(classifier, text(), np.zeros((3, 0), bool))
    np.testing.assert_array_equal(nothing, classifier.decoder.bias.item())
    with pytest.raises(UserError, match="4 columns for a document of 2 tokens"):
        logits_of_subsets(classifier, text(5, 9), np.ones((1, 4), bool))

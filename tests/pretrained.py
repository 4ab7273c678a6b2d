"""Classifiers over the pretrained encoder, where its optional package is installed."""

import importlib.metadata
import importlib.util

import pytest
import torch

from sparseattn.data.words import MARKERS, NUMBER
from sparseattn.models import pretrained
from sparseattn.models.classifier import Classifier, ModelSettings

VOCABULARY = (
    *MARKERS, "a", "film", "uninspired", "not", "good", "bad", "unfathomably", "is", "rewarding",
    NUMBER, "☃", "the",
)  # fmt: skip


def installed():
    try:
        importlib.metadata.distribution(pretrained.PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return False
    return importlib.util.find_spec("tokenizers") is not None


needed = pytest.mark.skipif(not installed(), reason="the optional pretrained model is not there")


def make(encoder="minilm", alignment="additive", **projection):
    torch.manual_seed(1)
    settings = ModelSettings(
        encoder=encoder, alignment=alignment, embedding_size=384, hidden_size=384, **projection
    )
    pieces = pretrained.word_pieces(VOCABULARY)
    classifier = Classifier(settings, len(VOCABULARY), pieces=pieces)
    with torch.no_grad():
        for weight in classifier.alignment.parameters():
            weight.mul_(3)
    return classifier.eval()

"""Small classifiers and documents that several test modules use."""

import torch

from sparseattn.data.words import BEGIN, END
from sparseattn.models.classifier import Classifier, ModelSettings

WORDS = 40


def make(encoder="bilstm", alignment="additive", dtype=torch.float64, **projection):
    torch.manual_seed(1)
    settings = ModelSettings(
        encoder=encoder, alignment=alignment, embedding_size=10, hidden_size=6, **projection
    )
    classifier = Classifier(settings, WORDS)
    with torch.no_grad():  # far from uniform attention, so that sparse projections hold zeros
        classifier.embedding.weight.mul_(10)
        for weight in classifier.alignment.parameters():
            weight.mul_(3)
    return classifier.to(dtype).eval()


def document(*words):
    return torch.tensor([BEGIN, *words, END])


def documents(*lengths):
    generator = torch.Generator().manual_seed(0)
    return [document(*torch.randint(4, WORDS, (n,), generator=generator).tolist()) for n in lengths]

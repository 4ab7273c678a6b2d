"""How many numbers a classifier learns."""

import torch

from sparseattn.models.classifier import Classifier, ModelSettings

PARTS = ("embedding", "encoder", "alignment", "projection", "decoder")


def parameter_counts(settings: ModelSettings, vocabulary: int) -> dict[str, int]:
    """Return how many numbers are trained in each part of a classifier.

    Parameters
    ----------
    settings
        The classifier's.
    vocabulary
        How many words and markers have a vector.

    Returns
    -------
    dict
        Of `PARTS`; nothing is allocated.
    """
    with torch.device("meta"):
        classifier = Classifier(settings, vocabulary)
    counts = dict.fromkeys(PARTS, 0)
    for name, parameter in classifier.named_parameters():
        counts[name.partition(".")[0]] += parameter.numel()
    return counts

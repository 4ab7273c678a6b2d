import pytest

from sparseattn.errors import validate
from sparseattn.models.classifier import Classifier, ModelSettings, parameter_counts


def settings(**values):
    return validate(ModelSettings, {"embedding_size": 6, "hidden_size": 4, **values})


@pytest.mark.parametrize("encoder", ["none", "bilstm", "transformer"])
@pytest.mark.parametrize("alignment", ["additive", "dot"])
def test_as_many_as_are_trained(encoder, alignment):
    chosen = settings(encoder=encoder, alignment=alignment)
    classifier = Classifier(chosen, 11)
    expected = sum(one.numel() for one in classifier.parameters())
    counts = parameter_counts(chosen, 11)
    assert sum(counts.values()) == expected
    assert counts["embedding"] == 11 * 6


def test_by_hand():
    counts = parameter_counts(settings(encoder="bilstm", alignment="dot"), 3)
    # Two directions of four gates: 4 · 4 rows, of 6 inputs, 4 states and two biases.
    assert counts["encoder"] == 2 * 16 * (6 + 4 + 2)
    assert counts["alignment"] == 8
    assert counts["decoder"] == 8 + 1
    assert counts["projection"] == 0


def test_a_learned_projection_is_counted():
    counts = parameter_counts(settings(projection="entmax", alpha="learned"), 3)
    assert counts["projection"] == 1

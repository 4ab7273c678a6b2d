"""Importance against whole forward passes, captum and finite differences."""

import math

import numpy as np
import pytest
import torch
from captum.attr import InputXGradient, Saliency
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from networks import documents, make

from sparseattn.attribution.importance import (
    attention,
    gradient_importance,
    logits_without_each,
    output_change,
)
from sparseattn.attribution.lstm import BLOCK
from sparseattn.attribution.transformer import LONG
from sparseattn.data.words import BEGIN, END
from sparseattn.errors import UserError
from sparseattn.measures.kendall import kendall_tau
from sparseattn.models.batches import collate

ENCODERS = ("none", "bilstm", "transformer")
ALIGNMENTS = ("additive", "dot")
PROJECTIONS = (
    {"projection": "softmax"},
    {"projection": "sparsemax"},
    {"projection": "sparsegen", "lam": 0.6},
    {"projection": "entmax"},
    {"projection": "entmax", "alpha": "learned"},
)


def leave_one_out(classifier, ids, of="inputs", scale="probability", memory=None):
    full, without = logits_without_each(classifier, ids, of, memory)
    return output_change(full, without, [len(document) - 2 for document in ids], scale)


@torch.no_grad()
def logit(classifier, ids):
    return classifier(collate([ids])).logit.item()


def without_each_input(classifier, ids):
    """A whole forward pass for each shortened text."""
    return [logit(classifier, torch.cat([ids[:i], ids[i + 1 :]])) for i in range(1, len(ids) - 1)]


@torch.no_grad()
def without_each_hidden(classifier, ids):
    """The decoder over a list of states from which one is gone."""
    hidden = classifier(collate([ids])).hidden[0, 1:-1]
    result = []
    for i in range(len(hidden)):
        rest = torch.cat([hidden[:i], hidden[i + 1 :]])
        if len(rest) == 0:
            result.append(classifier.decoder.bias.item())
            continue
        weights = classifier.projection(
            classifier.alignment(rest), torch.ones(len(rest), dtype=torch.bool)
        )
        result.append(classifier.decoder(weights @ rest).item())
    return result


@pytest.mark.parametrize("projection", PROJECTIONS, ids=str)
@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_leaving_out_is_a_whole_pass_without(encoder, alignment, projection):
    ids = documents(3, 1, 7)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        classifier = make(encoder, alignment, dtype, **projection)
        for of, slow in (("inputs", without_each_input), ("hidden", without_each_hidden)):
            full, without = logits_without_each(classifier, ids, of)
            assert without.shape == (3, 7)
            assert without.dtype == full.dtype == {4: np.float32, 8: np.float64}[dtype.itemsize]
            for row, one in enumerate(ids):
                expected = slow(classifier, one)
                np.testing.assert_allclose(full[row], logit(classifier, one), rtol=tolerance)
                np.testing.assert_allclose(
                    without[row, : len(expected)],
                    expected,
                    atol=tolerance * np.abs(expected).max(),
                )
                assert (without[row, len(expected) :] == 0).all()


@pytest.mark.parametrize("tokens", [1, 2, 3, LONG - 3, LONG])
@pytest.mark.parametrize("at_once", [1, 2, 5, 1000])
def test_a_transformers_variants_share_whatever_the_chunk(tokens, at_once):
    (ids,) = documents(tokens)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        classifier = make("transformer", dtype=dtype)
        memory = at_once * 8 * len(ids) * classifier.encoder.size * dtype.itemsize
        _, without = logits_without_each(classifier, [ids], memory=memory)
        slow = without_each_input(classifier, ids)
        np.testing.assert_allclose(without[0], slow, atol=tolerance * np.abs(slow).max())


@pytest.mark.parametrize("factor", [3, 10, 100])
def test_a_transformers_variants_share_however_sharp_its_attention(factor):
    """Each query's attention is nearly one key's, and one variant lacks that."""
    (ids,) = documents(40)
    for dtype in (torch.float64, torch.float32):
        classifier = make("transformer", dtype=dtype)
        with torch.no_grad():
            classifier.encoder.layers[0].qkv.weight[: 2 * classifier.encoder.size] *= factor
        _, without = logits_without_each(classifier, [ids])
        slow = without_each_input(classifier, ids)
        # A score's rounding grows with it, in the slow way as well.
        tolerance = (1e-12 if dtype == torch.float64 else 1e-5) * factor**2
        assert np.isfinite(without).all()
        np.testing.assert_allclose(without[0], slow, atol=tolerance * np.abs(slow).max())


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("blocks", [1, 2])
def test_shared_states_whatever_the_length(blocks, extra):
    (ids,) = documents(blocks * BLOCK + extra)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        classifier = make(dtype=dtype)
        _, without = logits_without_each(classifier, [ids])
        slow = without_each_input(classifier, ids)
        np.testing.assert_allclose(without[0], slow, atol=tolerance * np.abs(slow).max())


@pytest.mark.parametrize("encoder", ENCODERS)
def test_changes_follow_from_the_logits(encoder):
    classifier, ids = make(encoder), documents(6, 2)
    for row, one in enumerate(ids):
        n = len(one) - 2
        base, less = logit(classifier, one), np.array(without_each_input(classifier, one))
        change = leave_one_out(classifier, ids, scale="logit")[row]
        np.testing.assert_allclose(change[:n], abs(base - less), atol=1e-12)
        share = leave_one_out(classifier, ids)[row]
        sigmoid = 1 / (1 + np.exp(-less)) - 1 / (1 + np.exp(-base))
        np.testing.assert_allclose(share[:n], abs(sigmoid), atol=1e-12)
        assert (change[n:] == 0).all()
        assert (share[n:] == 0).all()


def test_change_of_probability_survives_saturation():
    logit, without = np.array([40.0, -40.0, 800.0]), np.array([[41.0], [-41.0], [-800.0]])
    change = output_change(logit, without, [1, 1, 1])
    exact = math.exp(-40) - math.exp(-41)  # to 1e-17
    np.testing.assert_allclose(change[:, 0], [exact, exact, 1.0], rtol=1e-12)
    assert (output_change(logit, without, [0, 1, 1])[0] == 0).all()


def slopes_by_captum(classifier, ids, of):
    """Lengths of captum's gradients, of a network that begins at the embeddings or the states."""
    batch = collate([ids])
    source = classifier(batch)[0 if of == "inputs" else 1].detach().requires_grad_()

    def network(states):
        if of == "inputs":
            return classifier.from_embedded(states, batch).logit
        return classifier.from_hidden(states, batch)[2]

    slopes = Saliency(network).attribute(source, abs=False)
    return slopes[0, 1:-1].norm(dim=-1).numpy()


@pytest.mark.parametrize("projection", PROJECTIONS, ids=str)
@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("of", ["inputs", "hidden"])
def test_gradients_are_captums(encoder, alignment, projection, of):
    ids = documents(3, 1, 7)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        classifier = make(encoder, alignment, dtype, **projection)
        result = gradient_importance(classifier, ids, of)
        for row, one in enumerate(ids):
            expected = slopes_by_captum(classifier, one, of)
            np.testing.assert_allclose(
                result[row, : len(expected)], expected, atol=tolerance * expected.max()
            )
            assert (result[row, len(expected) :] == 0).all()


@pytest.mark.parametrize("through", [True, False])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_products_with_the_embedding_are_captums(encoder, through):
    classifier, (ids,) = make(encoder, projection="sparsemax"), documents(6)
    batch = collate([ids])
    base = classifier(batch)
    fixed = None if through else base.attention.detach()

    def network(states):
        return classifier.from_hidden(classifier.encoder(states, batch), batch, fixed)[2]

    source = base.embedded.detach().requires_grad_()
    expected = InputXGradient(network).attribute(source)[0, 1:-1].sum(dim=-1).abs().detach()
    found = gradient_importance(classifier, [ids], "inputs", through, times_embedding=True)
    np.testing.assert_allclose(found[0], expected.numpy(), rtol=1e-9)


@pytest.mark.parametrize("through", [True, False])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_gradients_are_slopes(encoder, through):
    """Central differences, in float64, with the attention free or held."""
    classifier, (ids,) = make(encoder, projection="sparsemax"), documents(4)
    batch = collate([ids])
    with torch.no_grad():
        base = classifier(batch)
        fixed = None if through else base.attention
        slopes = torch.zeros_like(base.embedded)
        for place in np.ndindex(*slopes.shape):
            for sign in (1, -1):
                moved = base.embedded.clone()
                moved[place] += sign * 1e-6
                hidden = classifier.encoder(moved, batch)
                logit = classifier.from_hidden(hidden, batch, fixed)[2].item()
                slopes[place] += sign * logit / 2e-6
    np.testing.assert_allclose(
        gradient_importance(classifier, [ids], through_attention=through)[0],
        slopes[0, 1:-1].norm(dim=-1).numpy(),
        atol=1e-7,
    )


@pytest.mark.parametrize("projection", PROJECTIONS, ids=str)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_constant_attention_makes_hidden_gradients_attention(encoder, projection):
    classifier, ids = make(encoder, **projection), documents(5, 9)
    slopes = gradient_importance(classifier, ids, "hidden", through_attention=False)
    scale = classifier.decoder.weight.norm().item()
    np.testing.assert_allclose(slopes, attention(classifier, ids) * scale, rtol=1e-12)


@pytest.mark.parametrize(
    "projection", [p for p in PROJECTIONS if p["projection"] != "softmax"], ids=str
)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_states_off_the_support_owe_exactly_nothing(encoder, projection):
    for dtype in (torch.float32, torch.float64):
        classifier, ids = make(encoder, dtype=dtype, **projection), documents(9, 30)
        with torch.no_grad():
            for weight in classifier.alignment.parameters():
                weight.mul_(10)
        off = attention(classifier, ids) == 0
        assert off[:, :9].any()
        assert not off[:, :9].all()
        assert (gradient_importance(classifier, ids, "hidden")[off] == 0).all()
        assert (leave_one_out(classifier, ids, "hidden")[off] == 0).all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_alone_in_a_batch_and_in_small_chunks(encoder):
    classifier, ids = make(encoder), documents(4, 11, 1, 7)

    def everything(some, memory=None):
        return [
            attention(classifier, some, memory),
            *(
                f
                for of in ("inputs", "hidden")
                for f in (
                    gradient_importance(classifier, some, of, memory=memory),
                    gradient_importance(classifier, some, of, False, memory=memory),
                    leave_one_out(classifier, some, of, memory=memory),
                )
            ),
        ]

    together = everything(ids)
    for same in zip(together, everything(ids, memory=1), strict=True):
        np.testing.assert_allclose(*same, atol=1e-12)
    for row, one in enumerate(ids):
        for many, alone in zip(together, everything([one]), strict=True):
            np.testing.assert_allclose(many[row, : len(one) - 2], alone[0], atol=1e-12)
            assert (many[row, len(one) - 2 :] == 0).all()


def test_attention_is_a_distribution_over_tokens():
    weights = attention(make(), documents(4, 11))
    assert weights.shape == (2, 11)  # no column for a marker
    np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_without_encoder_importance_moves_with_the_tokens():
    classifier, (ids,) = make("none"), documents(8)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    moved = torch.cat([ids[:1], ids[1:-1][order], ids[-1:]])
    for measure in (attention, gradient_importance, leave_one_out):
        np.testing.assert_allclose(
            measure(classifier, [moved])[0], measure(classifier, [ids])[0][order], atol=1e-12
        )


@pytest.mark.parametrize("encoder", ENCODERS)
def test_documents_without_tokens_have_nothing(encoder):
    classifier = make(encoder)
    assert attention(classifier, []).shape == (0, 0)
    empty, one = torch.tensor([BEGIN, END]), documents(1)[0]
    full, without = logits_without_each(classifier, [empty, one])
    bias = classifier.decoder.bias.item()
    np.testing.assert_allclose([full[0], without[1, 0]], bias)  # nothing left to attend to
    for measure in (attention, gradient_importance, leave_one_out):
        assert (measure(classifier, [empty, one])[0] == 0).all()


def test_unknown_names_are_answered():
    classifier, ids = make(), documents(2)
    with pytest.raises(UserError, match=r"'of' was 'input'.*Did you mean 'inputs'"):
        gradient_importance(classifier, ids, of="input")
    with pytest.raises(UserError, match=r"'of' was 'state'.*inputs, hidden"):
        leave_one_out(classifier, ids, of="state")
    with pytest.raises(UserError, match=r"'scale' was 'logits'.*Did you mean 'logit'"):
        leave_one_out(classifier, ids, scale="logits")


@examples(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(4, 8), st.integers(1, 4)), min_size=1, max_size=12),
    st.sampled_from(ENCODERS),
    st.sampled_from(["softmax", "sparsemax"]),
    st.sampled_from([None, 1, 5000]),
)
def test_equal_texts_get_equal_logits(runs, encoder, projection, memory):
    classifier = make(encoder, dtype=torch.float32, projection=projection)
    tokens = [token for token, times in runs for _ in range(times)]
    ids = torch.tensor([BEGIN, *tokens, END])
    _, without = logits_without_each(classifier, [ids], memory=memory)
    kept = {}
    for place, logit in enumerate(without[0].tolist()):
        text = tuple(tokens[:place] + tokens[place + 1 :])
        text = tuple(sorted(text)) if encoder == "none" else text
        assert kept.setdefault(text, logit) == logit
    np.testing.assert_allclose(without[0], without_each_input(classifier, ids), atol=1e-4)


@pytest.mark.parametrize("tokens", [2, 30])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_one_word_repeated_is_ranked_by_nothing(encoder, tokens):
    classifier = make(encoder, dtype=torch.float32)
    ids = [torch.tensor([BEGIN, *[7] * tokens, END])]
    change, lengths = leave_one_out(classifier, ids), np.array([tokens])
    assert np.unique(change).size == 1
    assert np.isnan(kendall_tau(attention(classifier, ids), change, lengths)).all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_states_of_equal_words_are_left_out_each_by_itself(encoder):
    """They differ by what stands around them; without an encoder they are equal, to the bit."""
    classifier = make(encoder, dtype=torch.float32)
    ids = torch.tensor([BEGIN, 5, 7, 7, 7, 6, END])
    _, without = logits_without_each(classifier, [ids], "hidden")
    np.testing.assert_allclose(without[0], without_each_hidden(classifier, ids), rtol=1e-5)
    assert np.unique(without[0, 1:4]).size == (1 if encoder == "none" else 3)

"""The classifier against torch's own layers; what must not change it; what its settings refuse."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sparseattn.data.words import BEGIN, END, PAD
from sparseattn.errors import UserError, validate
from sparseattn.models.batches import collate
from sparseattn.models.classifier import BiLSTM, Classifier, ModelSettings, Transformer

ENCODERS = ("none", "bilstm", "transformer")
WORDS = 40


def make(encoder="bilstm", **settings):
    torch.manual_seed(1)
    settings = ModelSettings(encoder=encoder, embedding_size=10, hidden_size=6, **settings)
    return Classifier(settings, WORDS).double().eval()


def documents(*lengths):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.tensor([BEGIN, *torch.randint(4, WORDS, (n,), generator=generator).tolist(), END])
        for n in lengths
    ]


@pytest.mark.parametrize("alignment", ["additive", "dot"])
@pytest.mark.parametrize("projection", ["softmax", "sparsemax", "entmax"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_padding_changes_nothing(encoder, projection, alignment):
    classifier = make(encoder, projection=projection, alignment=alignment)
    with torch.no_grad():  # were padding to leak, it should be noticed
        classifier.embedding.weight[PAD] = 5
    ids = documents(4, 9, 1)
    together = classifier(collate(ids))
    for row, one in enumerate(ids):
        alone = classifier(collate([one]))
        for many, single in zip(together[1:4], alone[1:4], strict=True):  # hidden … attention
            torch.testing.assert_close(many[row, : len(one)], single[0], atol=1e-12, rtol=0)
        torch.testing.assert_close(together.logit[row], alone.logit[0], atol=1e-12, rtol=0)
        assert (together.attention[row, len(one) :] == 0).all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_markers_are_never_attended_to(encoder):
    classifier = make(encoder)
    with torch.no_grad():  # however much they ask for it
        classifier.embedding.weight[[BEGIN, END]] *= 100
    batch = collate(documents(3, 1))
    attention = classifier(batch).attention
    assert (attention[~batch.tokens] == 0).all()
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, dtype=torch.float64))


def test_masks_and_lengths():
    batch = collate(documents(2, 1))
    assert batch.lengths.tolist() == [4, 3]
    assert batch.padded.tolist() == [[True] * 4, [True, True, True, False]]
    assert batch.tokens.tolist() == [[False, True, True, False], [False, True, False, False]]
    assert batch.ids[1, 3] == PAD


def test_bilstm_is_torchs_on_packed_sequences():
    ours = BiLSTM(5, 4).double()
    theirs = nn.LSTM(5, 4, bidirectional=True, batch_first=True).double()
    weights = {
        f"{name}{suffix}": weight
        for suffix, lstm in (("", ours.forwards), ("_reverse", ours.backwards))
        for name, weight in lstm.state_dict().items()
    }
    theirs.load_state_dict(weights)
    batch = collate(documents(5, 1, 8))
    embedded = torch.randn(3, 10, 5, dtype=torch.float64)
    packed = pack_padded_sequence(embedded, batch.lengths, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(theirs(packed)[0], batch_first=True)
    found = ours(embedded, batch)
    torch.testing.assert_close(found[batch.padded], expected[batch.padded])


def test_transformer_is_torchs_layers():
    ours = Transformer(10, 8).double()
    batch = collate(documents(5, 1, 8))
    embedded = torch.randn(3, 10, 10, dtype=torch.float64)
    expected = ours.project(embedded) + ours.positions(10, embedded)
    for layer in ours.layers:
        theirs = nn.TransformerEncoderLayer(
            8, nhead=1, dim_feedforward=16, dropout=0.0, batch_first=True, norm_first=False
        ).double()
        theirs.load_state_dict(
            {
                "self_attn.in_proj_weight": layer.qkv.weight,
                "self_attn.in_proj_bias": layer.qkv.bias,
                "self_attn.out_proj.weight": layer.out.weight,
                "self_attn.out_proj.bias": layer.out.bias,
                "linear1.weight": layer.expand.weight,
                "linear1.bias": layer.expand.bias,
                "linear2.weight": layer.contract.weight,
                "linear2.bias": layer.contract.bias,
                **{
                    f"norm{k}.{name}": getattr(getattr(layer, f"norm{k}"), name)
                    for k in (1, 2)
                    for name in ("weight", "bias")
                },
            }
        )
        expected = theirs(expected, src_key_padding_mask=~batch.padded)
    found = ours(embedded, batch)
    torch.testing.assert_close(found[batch.padded], expected[batch.padded])


def test_positions_are_sinusoids():
    found = Transformer(3, 6).positions(4, torch.zeros(1))
    for time in range(4):
        for k in range(3):
            angle = time / 10_000 ** (2 * k / 6)
            assert found[time, 2 * k].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert found[time, 2 * k + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_stages_follow_their_formulas():
    classifier = make(alignment="additive")
    out = classifier(collate(documents(4)))
    hidden, inner, outer = out.hidden[0], classifier.alignment.inner, classifier.alignment.outer
    scores = torch.tanh(hidden @ inner.weight.T + inner.bias) @ outer.weight[0]
    torch.testing.assert_close(out.scores[0], scores)
    torch.testing.assert_close(out.attention[0, 1:-1], torch.softmax(scores[1:-1], dim=0))
    context = out.attention[0] @ hidden
    logit = classifier.decoder.weight[0] @ context + classifier.decoder.bias[0]
    torch.testing.assert_close(out.logit[0], logit)
    dot = make(alignment="dot")
    out = dot(collate(documents(4)))
    expected = out.hidden[0] @ dot.alignment.weight.weight[0] / math.sqrt(12)
    torch.testing.assert_close(out.scores[0], expected)


def test_held_attention_stops_gradients_through_scores():
    classifier, batch = make(), collate(documents(4))
    out = classifier(batch)
    logit = classifier.from_hidden(out.hidden, batch, out.attention.detach())[2]
    torch.testing.assert_close(logit, out.logit)
    logit.sum().backward()
    assert all(weight.grad is None for weight in classifier.alignment.parameters())


def test_initial_vectors_are_taken_and_padding_is_zero():
    vectors = torch.randn(WORDS, 10)
    classifier = Classifier(ModelSettings(embedding_size=10, hidden_size=6), WORDS, vectors)
    assert torch.equal(classifier.embedding.weight[1:], vectors[1:])
    assert (classifier.embedding.weight[PAD] == 0).all()


def test_one_function_has_one_name():
    sparsegen = ModelSettings(projection="sparsegen", lam=0)
    assert sparsegen == ModelSettings(projection="sparsemax")
    assert sparsegen.lam == 0.0
    assert ModelSettings(projection="entmax").alpha == 1.5
    assert ModelSettings(projection="entmax", alpha=2) == ModelSettings(
        projection="entmax", alpha=2.0
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"encoder": "lstm"}, "'encoder' was 'lstm'.*Did you mean 'bilstm'"),
        ({"aligment": "dot"}, "Unknown parameter 'aligment'. Did you mean 'alignment'"),
        ({"projection": "sparsegen"}, "needs 'lam', a number below 1"),
        ({"projection": "sparsegen", "lam": 1}, "'lam' was 1.0.*less than 1"),
        ({"projection": "sparsegen", "lam": "0.5"}, "'lam' was '0.5'.*valid number"),
        ({"projection": "sparsegen", "lam": float("nan")}, "'lam' was nan.*finite"),
        ({"projection": "sparsemax", "lam": 0.5}, "use 'sparsegen'"),
        ({"projection": "softmax", "lam": 0.5}, "'lam' belongs to sparsegen"),
        ({"projection": "softmax", "alpha": 1.5}, "'alpha' belongs to entmax"),
        ({"projection": "entmax", "alpha": 0.5}, "'alpha' of entmax is at least 1; got 0.5"),
        ({"projection": "entmax", "alpha": 1e30}, "'alpha' of entmax is at most 3; got 1e\\+30"),
        ({"projection": "entmax", "alpha": "learnt"}, "'alpha' was 'learnt'.*learned"),
        ({"hidden_size": 7}, "'hidden_size' was 7.*multiple of 2"),
        ({"hidden_size": 0}, "'hidden_size' was 0"),
        ({"embedding_size": 12.5}, "'embedding_size' was 12.5.*integer"),
    ],
)
def test_settings_answer_mistakes(values, message):
    with pytest.raises(UserError, match=message):
        validate(ModelSettings, values)

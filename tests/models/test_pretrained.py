"""The pretrained encoder: its layers against torch's own, its words, and what a run keeps."""

import json

import pytest
import torch
from networks import document
from pretrained import VOCABULARY, make, needed
from safetensors import safe_open
from torch import nn

from sparseattn.data.tasks import load_task
from sparseattn.errors import UserError, validate
from sparseattn.experiments.making import reproducible
from sparseattn.experiments.specs import Spec
from sparseattn.experiments.store import Store
from sparseattn.files import WEIGHTS
from sparseattn.models import pretrained
from sparseattn.models.adversary import AdversarySettings, diverge
from sparseattn.models.batches import collate
from sparseattn.models.classifier import Classifier
from sparseattn.models.products import linear
from sparseattn.models.training import TrainingSettings, fit, predict

TEXTS = [document(4, 5, 11, 7, 10, 6), document(4, 12, 5), document(*range(4, 16))]


def torchs_own(ids):
    """Run word pieces through torch's layers with the file's weights."""
    with safe_open(pretrained.model_folder() / pretrained.WEIGHTS, "pt") as file:
        held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    embedded = held["embeddings.word_embeddings.weight"][ids]
    embedded = embedded + held["embeddings.position_embeddings.weight"][: len(ids)]
    embedded = embedded + held["embeddings.token_type_embeddings.weight"][0]
    norm = [held[f"embeddings.LayerNorm.{kind}"] for kind in ("weight", "bias")]
    states = nn.functional.layer_norm(embedded, (384,), *norm, 1e-12)[None]
    for number in range(6):
        layer = nn.TransformerEncoderLayer(
            384, 12, 1536, 0.0, nn.functional.gelu, 1e-12, batch_first=True
        )
        prefix = f"encoder.layer.{number}."
        attention = [f"{prefix}attention.self.{name}" for name in ("query", "key", "value")]
        names = {
            "self_attn.out_proj": "attention.output.dense",
            "linear1": "intermediate.dense",
            "linear2": "output.dense",
            "norm1": "attention.output.LayerNorm",
            "norm2": "output.LayerNorm",
        }
        layer.load_state_dict(
            {
                f"self_attn.in_proj_{kind}": torch.cat([held[f"{a}.{kind}"] for a in attention])
                for kind in ("weight", "bias")
            }
            | {
                f"{ours}.{kind}": held[f"{prefix}{theirs}.{kind}"]
                for ours, theirs in names.items()
                for kind in ("weight", "bias")
            }
        )
        states = layer.eval()(states)
    return states[0]


@needed
@torch.no_grad()
@pytest.mark.parametrize("text", TEXTS)
def test_states_are_means_of_those_of_torchs_own_layers(text):
    pieces = [one[one > 0] for one in pretrained.word_pieces(VOCABULARY)[text]]
    states = torchs_own(torch.cat(pieces))
    expected = torch.stack([part.mean(dim=0) for part in states.split([*map(len, pieces)])])
    found = make()(collate([text])).hidden[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@needed
def test_words_are_parted_as_the_models_vocabulary_says():
    table = pretrained.word_pieces(VOCABULARY)
    lines = (pretrained.model_folder() / "vocab.txt").read_text().splitlines()
    held = {word: [lines[i] for i in row if i] for word, row in zip(VOCABULARY, table, strict=True)}
    assert held["uninspired"] == ["un", "##ins", "##pired"]
    assert held["film"] == ["film"]
    assert held["<begin>"] == ["[CLS]"]
    assert held["<end>"] == ["[SEP]"]
    assert held["<pad>"] == []
    assert held["<unknown>"] == held["qqq"] == held["☃"] == ["[UNK]"]


@needed
@torch.no_grad()
def test_neither_padding_nor_other_documents_matter():
    classifier = make()
    together = classifier(collate(TEXTS))
    for row, text in enumerate(TEXTS):
        alone = classifier(collate([text]))
        torch.testing.assert_close(
            together.hidden[row, : len(text)], alone.hidden[0], rtol=1e-4, atol=1e-5
        )
        torch.testing.assert_close(together.logit[row], alone.logit[0], rtol=1e-4, atol=1e-5)


def test_linear_layer_and_its_gradients_are_torchs():
    torch.manual_seed(0)
    inputs, weight, bias = torch.randn(2, 3, 8), torch.randn(5, 8), torch.randn(5)
    found, expected = [], []
    for layer, into in ((linear, found), (nn.functional.linear, expected)):
        parts = [part.clone().requires_grad_() for part in (inputs, weight, bias)]
        out = layer(*parts)
        into += [out, *torch.autograd.grad(out.square().sum(), parts)]
    torch.testing.assert_close(found, expected)
    frozen = inputs.clone().requires_grad_()
    (slope,) = torch.autograd.grad(linear(frozen, weight, bias).square().sum(), frozen)
    torch.testing.assert_close(slope, expected[1])


def _settings(encoder, **more):
    return {
        "task_options": {"length": [4, 6], "cues": 1, "documents": [32, 16, 16]},
        "encoder": encoder, "epochs": 1, "device": "cpu", **more,
    }  # fmt: skip


@needed
@pytest.mark.parametrize("encoder", ["minilm", "minilm_tuned"])
def test_a_run_keeps_what_was_trained_and_no_more(encoder, tmp_path):
    spec = validate(Spec, _settings(encoder, observed=3))
    task = load_task("planted", spec.task_options)
    run = Store(tmp_path).compute(spec, task)
    with safe_open(run.path / WEIGHTS, "np") as file:
        names = [*file.keys()]
    layers = {name.split(".")[2] for name in names if name.startswith("encoder.layers")}
    assert layers == ({"4", "5"} if encoder == "minilm_tuned" else set())
    assert not {"embedding.weight", "encoder.positions"} & {*names}
    documents = run.documents(task)
    with reproducible():
        logits = predict(run.classifier(), documents)
    torch.testing.assert_close(logits.numpy(), run.traces["logit"], rtol=0, atol=0)


@needed
def test_only_the_last_layers_are_trained():
    settings = validate(TrainingSettings, {"encoder": "minilm_tuned", "epochs": 1, "device": "cpu"})
    task = load_task("planted", {"length": [4, 6], "cues": 1, "documents": [32, 16, 16]})
    encoder = fit(settings, task).classifier.encoder
    file = pretrained.model_folder() / pretrained.WEIGHTS
    with safe_open(file, "pt") as held:
        for number, layer in enumerate(encoder.layers):
            before = held.get_tensor(f"encoder.layer.{number}.output.dense.weight")
            assert torch.equal(layer.output_dense.weight, before) == (number < 4)


@needed
@pytest.mark.parametrize("variant", ["frozen", "unfrozen"])
def test_adversaries_leave_what_is_not_trained(variant):
    planted = load_task("planted", {"documents": [12, 6, 6], "length": [6, 8]})
    own = validate(TrainingSettings, {"encoder": "minilm_tuned", "epochs": 1, "device": "cpu"})
    base = fit(own, planted).classifier
    aim = validate(AdversarySettings, {"variant": variant, "epochs": 1})
    theirs = diverge(base, own, planted, aim).classifier
    pairs = zip(base.named_parameters(), theirs.parameters(), strict=True)
    moved = {name.partition(".")[0] for (name, one), two in pairs if not torch.equal(one, two)}
    assert moved == {
        "frozen": {"alignment"}, "unfrozen": {"alignment", "encoder", "decoder"}
    }[variant]  # fmt: skip
    for name, one in base.encoder.named_buffers():
        assert torch.equal(one, theirs.encoder.get_buffer(name)), name


@needed
def test_another_file_under_the_models_name_is_refused(tmp_path, monkeypatch):
    (tmp_path / pretrained.TOKENIZER).write_text(json.dumps({}))
    monkeypatch.setenv(pretrained.FOLDER, str(tmp_path))
    with pytest.raises(UserError, match=r"needs model\.safetensors, and .* has none\. Install"):
        pretrained.model_folder()
    (tmp_path / pretrained.WEIGHTS).write_bytes(b"another")
    with pytest.raises(UserError, match="is not the model that 'minilm' names: its SHA-256"):
        pretrained.model_folder()


@needed
def test_a_folder_of_the_hub_is_read(tmp_path, monkeypatch):
    packaged = pretrained.model_folder()
    for name in (pretrained.TOKENIZER, pretrained.WEIGHTS):
        (tmp_path / name).symlink_to(packaged / name)
    monkeypatch.setenv(pretrained.FOLDER, str(tmp_path))
    assert pretrained.model_folder() == tmp_path


def test_what_is_not_installed_is_said(monkeypatch):
    monkeypatch.delenv(pretrained.FOLDER, raising=False)
    monkeypatch.setattr(pretrained, "PACKAGE", "a-package-that-nobody-made")
    with pytest.raises(UserError, match=r"'minilm' is not installed\. Install it with 'make pre"):
        pretrained.model_folder()


@needed
def test_a_text_longer_than_the_model_reads_is_said():
    with pytest.raises(UserError, match=r"600 words has 602 word pieces; .* at most 512.*'words'"):
        make()(collate([document(*[5] * 600)]))


@needed
def test_longest_text_is_read():
    assert make()(collate([document(*[5] * 510)])).hidden.isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hidden_size": 64}, "is pretrained with 'embedding_size' and 'hidden_size' 384; got"),
        ({"vectors": "task"}, "brings its own vectors; got 'task'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        validate(TrainingSettings, {"encoder": "minilm", **wrong})


def test_keys_of_other_encoders_do_not_know_of_it():
    held = json.loads(validate(Spec, {"encoder": "bilstm"}).canonical())
    assert set(held) == {
        "encoder", "alignment", "projection", "lam", "alpha", "embedding_size", "hidden_size",
        "batch_size", "epochs", "patience", "learning_rate", "weight_decay", "vectors", "seed",
        "device", "task", "task_options", "observed",
    }  # fmt: skip


@needed
def test_a_classifier_is_drawn_by_its_seed_alone():
    one, two = make("minilm_tuned"), make("minilm_tuned")
    assert isinstance(one, Classifier)
    assert all(torch.equal(*both) for both in zip(one.parameters(), two.parameters(), strict=True))

"""Explainers against captum, cases to check by hand, slow loops, noise and a planted truth."""

import itertools

import networks
import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import Lime, ShapleyValues
from networks import WORDS
from networks import document as text
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from sparseattn.attribution import explainers
from sparseattn.attribution.explainers import (
    EXPLAINERS,
    alignment_scores,
    attention_norm,
    integrated_gradients,
    leave_one_out,
    lime,
    mean_addition,
    random_importance,
    rollout,
    shapley,
)
from sparseattn.attribution.importance import attention
from sparseattn.attribution.removal import Removals
from sparseattn.bench import peers
from sparseattn.data.tasks import load_task
from sparseattn.errors import UserError
from sparseattn.experiments.specs import Spec
from sparseattn.models.batches import collate
from sparseattn.models.training import fit
from sparseattn.wording import label

ENCODERS = ("none", "bilstm", "transformer")
PROJECTIONS = ("softmax", "sparsemax")


def make(encoder="bilstm", projection="softmax", alignment="additive"):
    return networks.make(encoder, alignment, torch.float32, projection=projection)


def texts(*lengths):
    rng = np.random.default_rng(0)
    return [text(*rng.integers(4, WORDS, n).tolist()) for n in lengths]


def bag_of_words():
    """Uniform attention without an encoder: f is the bias and the mean of the words' weights."""
    classifier = make("none", alignment="dot")
    with torch.no_grad():
        classifier.alignment.weight.weight.zero_()
        weights = classifier.embedding.weight @ classifier.decoder.weight[0]
    return classifier, weights.numpy().astype(np.float64)


@torch.no_grad()
def logit(classifier, document):
    return classifier(collate([document])).logit.item()


@torch.no_grad()
def logit_of_zeros(classifier, document):
    batch = collate([document])
    embedded = classifier.embedding(batch.ids)
    embedded[:, 1:-1] = 0
    return classifier.from_embedded(embedded, batch).logit.item()


def masked(classifier, document):
    """The logit as captum asks for it: of rows of zeros and ones."""
    return lambda mask: torch.from_numpy(Removals(classifier, document).logits(mask.bool().numpy()))


def near(found, expected, tolerance=1e-5):
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())


# By hand


def test_a_bag_of_words_by_hand():
    classifier, weights = bag_of_words()
    a, b = weights[[7, 11]]
    ids = [text(7, 11)]
    near(integrated_gradients(classifier, ids)[0], [a / 2, b / 2])
    # a alone adds a; to b it adds (a + b)/2 − b.
    near(shapley(classifier, ids)[0], [(3 * a - b) / 4, (3 * b - a) / 4])
    lengths = classifier.embedding.weight[[7, 11]].norm(dim=-1).detach().numpy()
    near(attention_norm(classifier, ids)[0], lengths / 2)
    assert (alignment_scores(classifier, ids) == 0).all()
    full, *less = expit(classifier.decoder.bias.item() + np.array([(a + b) / 2, b, a]))
    near(leave_one_out(classifier, ids)[0], np.abs(full - less))


def test_limes_regression_by_hand():
    """Where the logit is a sum over tokens, its terms, but for the penalty."""
    keep = np.random.default_rng(0).random((100_000, 3)) < 0.5
    near(explainers._ridge(keep, 7 + keep @ [3.0, -2.0, 0.5]), [3, -2, 0.5], 1e-3)
    assert (explainers._ridge(keep, np.full(len(keep), 4.0)).round(9) == 0).all()


def test_scores_are_what_the_projection_reads():
    classifier, ids = make(), texts(6, 3)
    scores = alignment_scores(classifier, ids)
    for row, n in enumerate((6, 3)):
        exponentials = np.exp(scores[row, :n].astype(np.float64))
        near(attention(classifier, ids)[row, :n], exponentials / exponentials.sum())
    assert scores.min() < 0  # their sign is kept


# Against captum


@pytest.mark.parametrize("steps", [1, 16])
@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_integrated_gradients_are_captums(encoder, projection, steps):
    classifier, ids = make(encoder, projection), texts(6, 1, 11)
    found = integrated_gradients(classifier, ids, steps)
    for row, document in enumerate(ids):
        n = len(document) - 2
        near(found[row, :n], peers.integrated_by_captum(classifier, document, steps).numpy())
        assert (found[row, n:] == 0).all()


@pytest.mark.filterwarnings("ignore")  # captum's own
@pytest.mark.parametrize("encoder", ENCODERS)
def test_all_permutations_give_captums_shapley_values(encoder):
    classifier, document = make(encoder), text(5, 9, 7, 9)
    every = np.array(list(itertools.permutations(range(4))))
    found = mean_addition(classifier, document, every, None)
    exact = ShapleyValues(masked(classifier, document)).attribute(torch.ones(1, 4))
    near(found, exact[0].numpy())


@pytest.mark.filterwarnings("ignore")
def test_the_same_permutations_give_captums_sampled_values():
    classifier, (document,) = make("transformer"), texts(9)
    orders = np.random.default_rng(3).permuted(np.tile(np.arange(9), (6, 1)), axis=1)
    expected = peers.shapley_by_captum(classifier, document, orders)
    near(mean_addition(classifier, document, orders, None), expected.numpy())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("samples", [4, 120])
def test_limes_coefficients_are_captums(samples):
    classifier, (document,) = make(), texts(9)
    keep = explainers._draws(document, explainers._SUBSETS).random((samples, 9)) < 0.5
    rows = iter(torch.from_numpy(keep[:, None].astype(np.int64)))
    expected = Lime(
        masked(classifier, document),
        interpretable_model=SkLearnRidge(alpha=1.0),
        perturb_func=lambda *_, **__: next(rows),
    ).attribute(torch.ones(1, 9), n_samples=samples)
    near(lime(classifier, [document], samples)[0], expected[0].numpy(), 1e-4)


# Laws


@pytest.mark.parametrize("encoder", ENCODERS)
def test_integrated_gradients_are_complete(encoder):
    ids = texts(6, 1, 11)
    for projection in PROJECTIONS:
        # Sparsemax has kinks, and a layer norm turns fast where all tokens are near zero.
        tolerance = (
            0.05 if projection == "sparsemax" else 1e-2 if encoder == "transformer" else 1e-4
        )
        classifier = make(encoder, projection)
        sums = integrated_gradients(classifier, ids, 64).sum(axis=1)
        change = [logit(classifier, one) - logit_of_zeros(classifier, one) for one in ids]
        near(sums, change, tolerance)


@pytest.mark.parametrize("permutations", [2, None])
@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_shapley_values_share_out_the_whole(encoder, projection, permutations):
    classifier, ids = make(encoder, projection), texts(6, 1, 11)
    sums = shapley(classifier, ids, permutations).sum(axis=1)
    bias = classifier.decoder.bias.item()
    near(sums, [logit(classifier, one) - bias for one in ids])


def test_more_draws_come_nearer():
    """To the values over all permutations, and LIME to itself with many samples."""
    classifier, (document,) = make("transformer"), texts(6)
    every = np.array(list(itertools.permutations(range(6))))
    exact = mean_addition(classifier, document, every, None)
    far, close = (
        np.abs(shapley(classifier, [document], count)[0] - exact).mean() for count in (2, 400)
    )
    assert close < far / 3
    many = lime(classifier, [document], 20_000)
    far, close = (np.abs(lime(classifier, [document], s) - many).mean() for s in (20, 2000))
    assert close < far / 3


def test_default_permutations_fall_with_the_length(monkeypatch):
    seen = []
    monkeypatch.setattr(
        explainers, "mean_addition", lambda _, __, orders, ___: seen.append(orders) or 0
    )
    shapley(make("none"), texts(1, 36, 90, 500))
    assert [len(orders) for orders in seen] == [20, 20, 8, 4]
    for orders in seen:
        assert (np.sort(orders, axis=1) == np.arange(orders.shape[1])).all()
        half = len(orders) // 2
        assert (orders[half:] == orders[:half, ::-1]).all()  # each with its reverse
    with pytest.raises(UserError, match="'permutations' was 3"):
        shapley(make("none"), texts(2), permutations=3)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_rollout_is_a_slow_loops(encoder):
    classifier, ids = make(encoder), texts(6, 1, 11)
    found = rollout(classifier, ids)
    for row, document in enumerate(ids):
        n = len(document) - 2
        if encoder == "bilstm":
            assert np.isnan(found[row, :n]).all()
        elif encoder == "none":
            np.testing.assert_array_equal(found[row, :n], attention(classifier, ids)[row, :n])
        else:
            near(found[row, :n], rolled_out(classifier, document)[1:-1])
            assert 0 < found[row].sum() < 1  # the markers have the rest
        assert (found[row, n:] == 0).all()


@torch.no_grad()
def rolled_out(classifier, document):
    batch = collate([document])
    out, encoder = classifier(batch), classifier.encoder
    product = np.eye(len(document))
    states = (encoder.project(out.embedded) + encoder.positions(len(document), out.embedded))[0]
    for layer in encoder.layers:
        query, key, _ = np.split(layer.qkv(states).numpy().astype(np.float64), 3, axis=-1)
        weights = np.exp(query @ key.T / np.sqrt(query.shape[-1]))
        weights /= weights.sum(axis=1, keepdims=True)
        product = (weights + np.eye(len(weights))) / 2 @ product
        states = layer(states[None], batch.padded)[0]
    return out.attention[0].numpy() @ product


@pytest.mark.parametrize("name", EXPLAINERS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_stands_beside_a_document_does_not_matter(encoder, name):
    """To the bit where documents are worked on alone, else within 1e-5 of the largest value."""
    classifier, ids = make(encoder), texts(6, 1, 11, 6)
    ids = [text(), *ids, ids[0]]
    explainer = EXPLAINERS[name]
    together = explainer.function(classifier, ids)
    assert together.shape == (6, 11)
    assert together.dtype == np.float32
    assert (together[0] == 0).all()
    batched = name == "attention" or (name.startswith("inputs_") and not explainer.costly)
    for row, document in enumerate(ids):
        n = len(document) - 2
        assert (together[row, n:] == 0).all()
        alone = explainer.function(classifier, [document])[0]
        scale = np.abs(alone).max(initial=0)
        tolerance = 1e-5 * scale if batched and scale > 0 else 0
        np.testing.assert_allclose(together[row, :n], alone, rtol=0, atol=tolerance)
        undefined = np.isnan(alone)
        assert undefined.all() if encoder in explainer.undefined_for else not undefined.any()
    np.testing.assert_array_equal(together[1], together[5])
    known = together[1:][~np.isnan(together[1:])]
    if not explainer.signed:
        assert (known >= 0).all()
    assert explainer.function(classifier, []).shape == (0, 0)


def test_little_memory_changes_nothing_that_counts():
    for encoder in ENCODERS:
        classifier, ids = make(encoder), texts(3, 5)
        for measure in (integrated_gradients, shapley, lime):
            near(measure(classifier, ids, memory=1), measure(classifier, ids))


def test_global_randomness_is_neither_used_nor_moved():
    classifier, ids = make(), texts(6)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    first = [measure(classifier, ids) for measure in (shapley, lime)]
    assert torch.initial_seed() == 0
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    state = torch.get_rng_state()
    for before, measure in zip(first, (shapley, lime), strict=True):
        np.testing.assert_array_equal(measure(classifier, ids), before)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_explainer_has_a_name_in_words():
    for name in EXPLAINERS:
        code = name.removeprefix("inputs_")
        assert "_" not in label(code)
    assert label("lime") == "LIME"


# Where the truth is known


def auc(values, evidence):
    return np.mean(
        [
            roc_auc_score(known.numpy(), row[: len(known)])
            for row, known in zip(values, evidence, strict=True)
        ]
    )


def test_noise_finds_nothing():
    documents = load_task("planted", {"documents": [4, 4, 500]}).test
    values = random_importance(documents.ids)
    inside = values[values != 0]
    assert 0 < inside.min() < inside.max() < 1
    assert inside.mean() == pytest.approx(0.5, abs=0.02)
    assert auc(values, documents.evidence) == pytest.approx(0.5, abs=0.03)


@pytest.fixture(scope="module", params=["none", "bilstm", "transformer"])
def trained(request):
    """A classifier of the planted task that decides by its cues."""
    options = {"documents": [800, 100, 30]}
    task = load_task("planted", options)
    settings = Spec(
        task_options=options, encoder=request.param, embedding_size=16, hidden_size=16,
        epochs=12, learning_rate=0.01, device="cpu",
    )  # fmt: skip
    fitted = fit(settings, task)
    assert fitted.curve["dev_auc"].max() > 0.99
    return fitted.classifier.eval(), task.test


@pytest.mark.parametrize("name", ["inputs_integrated", "inputs_shapley", "inputs_lime"])
def test_planted_evidence_is_found(trained, name):
    classifier, documents = trained
    values = EXPLAINERS[name].function(classifier, list(documents.ids))
    assert auc(np.abs(values), documents.evidence) > 0.8
    # Signed: what decides speaks more for the class that it decides for.
    sums = [
        row[: len(known)][known.numpy()].sum()
        for row, known in zip(values, documents.evidence, strict=True)
    ]
    assert roc_auc_score(documents.labels.numpy(), sums) > 0.9

"""Both norms against a loop of automatic differentiation; what is published comes back, once."""

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from scipy.stats import kendalltau

from sparseattn import paths
from sparseattn.data.words import BEGIN, END
from sparseattn.errors import UserError
from sparseattn.experiments.store import Store
from sparseattn.models.batches import collate
from sparseattn.models.classifier import Classifier, ModelSettings
from sparseattn.results import jacobians, published, publishing


def make(encoder, dtype=torch.float64):
    torch.manual_seed(3)
    settings = ModelSettings(encoder=encoder, embedding_size=7, hidden_size=6)
    classifier = Classifier(settings, 30)
    with torch.no_grad():
        classifier.embedding.weight.mul_(10)
        for name, weight in classifier.encoder.named_parameters():
            if "norm" in name:
                weight.add_(torch.randn_like(weight), alpha=0.3)
    return classifier.to(dtype).eval()


def document(length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(4, 30, (length,), generator=generator).tolist()
    return torch.tensor([BEGIN, *words, END])


def by_hand(classifier, ids):
    """One backward pass for each unit of each state, and the definitions, one by one."""
    batch = collate([ids])
    embedded = classifier.embedding(batch.ids).detach().requires_grad_()
    hidden = classifier.encoder(embedded, batch)[0, 1:-1]
    n, size = hidden.shape
    whole, along = np.zeros((n, n)), np.zeros((n, n))
    for p, state in enumerate(hidden):
        rows = [
            torch.autograd.grad(unit, embedded, retain_graph=True)[0][0, 1:-1].numpy()
            for unit in state
        ]
        jacobian = np.stack(rows)  # (d, n, embedding)
        direction = (state / state.norm()).detach().numpy()
        whole[p] = np.sqrt((jacobian**2).sum(axis=(0, 2)))
        along[p] = np.sqrt((np.tensordot(direction, jacobian, 1) ** 2).sum(axis=1))
    lengths = hidden.norm(dim=1).detach().numpy()
    found = {
        "length": n,
        "state_size": size,
        "norm_variation": np.std(lengths) / np.mean(lengths),
        "seen_share": np.mean([(a @ a) / (w @ w) for a, w in zip(along, whole, strict=True)]),
        "norms_tau": np.mean([kendalltau(a, w)[0] for a, w in zip(along, whole, strict=True)]),
        "norms_same_top": np.mean(along.argmax(axis=1) == whole.argmax(axis=1)),
    }
    for norm, matrix in (("influence", along), ("jacobian", whole)):
        shares = matrix / matrix.sum(axis=1, keepdims=True)
        entropies = -(shares * np.log(shares)).sum(axis=1)
        ranks = [1 + (row > row[p]).sum() for p, row in enumerate(shares)]
        found |= {
            f"{norm}_dispersion": np.mean(entropies / np.log(n)),
            f"{norm}_self_share": np.mean(np.diag(shares)),
            f"{norm}_self_rank": np.mean(ranks),
            f"{norm}_window_share": np.mean(
                [row[max(p - 2, 0) : p + 3].sum() for p, row in enumerate(shares)]
            ),
            f"{norm}_top1": np.mean(np.array(ranks) == 1),
        }
    return found


@pytest.mark.parametrize("encoder", ["bilstm", "transformer"])
def test_as_by_hand(encoder):
    classifier, ids = make(encoder), [document(6), document(9, seed=1)]
    frame = jacobians.compare_norms(classifier, ids)
    assert tuple(frame) == jacobians.QUANTITIES
    for row, one in zip(frame.to_dict("records"), ids, strict=True):
        expected = by_hand(classifier, one)
        assert row == pytest.approx(expected, rel=1e-8)


def test_without_an_encoder_both_see_one_input():
    (row,) = jacobians.compare_norms(make("none"), [document(5)]).to_dict("records")
    for norm in ("influence", "jacobian"):
        assert row[f"{norm}_dispersion"] == pytest.approx(0, abs=1e-12)
        assert row[f"{norm}_self_share"] == row[f"{norm}_top1"] == 1
    assert row["norms_tau"] == pytest.approx(1)
    assert row["seen_share"] == pytest.approx(1 / 7)  # J is the identity: one of d directions


def test_normalised_states_have_one_length_which_sees_nothing():
    """The law behind the page's finding: γ = 1 and β = 0 leave the length no slope."""
    classifier = make("transformer")
    with torch.no_grad():
        for name, weight in classifier.encoder.named_parameters():
            if "norm2" in name:
                weight.fill_(1 if name.endswith("weight") else 0)
    (row,) = jacobians.compare_norms(classifier, [document(8)]).to_dict("records")
    assert row["norm_variation"] < 1e-4
    assert row["seen_share"] < 1e-6
    assert row["jacobian_self_share"] > 1 / 8


def test_short_and_no_documents():
    frame = jacobians.compare_norms(make("bilstm"), [document(1), document(0)])
    assert frame.loc[0, "jacobian_top1"] == 1
    assert np.isnan(frame.loc[0, ["norms_tau", "jacobian_dispersion"]].astype(float)).all()
    assert frame.loc[1].drop(["length", "state_size"]).isna().all()
    assert jacobians.compare_norms(make("bilstm"), []).empty


def test_single_precision_is_enough():
    exact = jacobians.compare_norms(make("transformer"), [document(9)])
    found = jacobians.compare_norms(make("transformer", torch.float32), [document(9)])
    np.testing.assert_allclose(found, exact, rtol=1e-3)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    return store, store.compute(tiny.spec(projection="sparsemax"), tiny.task())


class TestPublished:
    def test_once_published_the_same_comes_back(self, stored, tmp_path):
        _, run = stored
        with pytest.raises(UserError, match=f"sparseattn publish {run.key}"):
            jacobians.compare_published(run, 3, tmp_path)
        publishing.publish([run], tmp_path)
        assert len(jacobians.compare_published(run, 3, tmp_path)) == 2
        assert jacobians.compare_published(run, 3, tmp_path) == []
        got = jacobians.in_one(published.comparisons(["planted"], tmp_path))
        expected = jacobians.sample([run], 3)
        pd.testing.assert_frame_equal(got, expected, rtol=2.0**-13, check_dtype=False)
        # It is no run of its own, and does not change those that are.
        assert [one.key for one in published.runs(folder=tmp_path)] == [run.key]

    def test_more_documents_replace_fewer(self, stored, tmp_path):
        _, run = stored
        publishing.publish([run], tmp_path)
        jacobians.compare_published(run, 2, tmp_path)
        assert jacobians.compare_published(run, 4, tmp_path)
        assert jacobians.compare_published(run, 3, tmp_path) == []
        assert len(jacobians.in_one(published.comparisons(folder=tmp_path))) == 4

    def test_other_numbers_are_flagged(self, stored, tmp_path, monkeypatch):
        _, run = stored
        publishing.publish([run], tmp_path)
        jacobians.compare_published(run, 2, tmp_path)
        measured = jacobians.compare_norms

        def otherwise(*given):
            return measured(*given).assign(seen_share=0.5)

        monkeypatch.setattr(jacobians, "compare_norms", otherwise)
        with pytest.raises(UserError, match="other numbers: seen_share"):
            jacobians.compare_published(run, 2, tmp_path)

    def test_a_run_no_longer_published_is_not_shown(self, stored, tmp_path):
        _, run = stored
        publishing.publish([run], tmp_path)
        jacobians.compare_published(run, 2, tmp_path)
        for path in (tmp_path / "planted").glob(f"{run.key}.*"):
            path.unlink()
        assert jacobians.in_one(published.comparisons(folder=tmp_path)).empty

    def test_none_is_left_behind_by_a_run_that_was_replaced(self):
        compared = list(paths.results().glob("*/jacobian/*.json"))
        assert compared
        assert [path for path in compared if not (path.parents[1] / path.name).exists()] == []

    def test_nothing_published(self, tmp_path):
        nothing = jacobians.in_one(published.comparisons(folder=tmp_path / "none"))
        assert set(jacobians.QUANTITIES) < set(nothing)
        assert list(nothing) == list(jacobians.sample([], 3))


class TestComparable:
    def test_published_and_in_the_store(self, stored, tmp_path, monkeypatch):
        store, run = stored
        monkeypatch.setattr("sparseattn.paths.results", lambda: tmp_path)
        with pytest.raises(UserError, match="publish them"):
            jacobians.comparable(store, keys=[run.key[:5]])
        publishing.publish([run], tmp_path)
        (found,) = jacobians.comparable(store, keys=[run.key[:5]])
        assert found.key == run.key
        with pytest.raises(UserError, match="with its weights"):  # not a cell of the paper
            jacobians.comparable(store)
        with pytest.raises(UserError, match="with its weights"):
            jacobians.comparable(Store(tmp_path / "other"), keys=[run.key])

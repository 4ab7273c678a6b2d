"""The divergence is exact and safe at zero; adversaries freeze what they say, and see no test."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon

from sparseattn.adversary import (
    CEILING,
    AdversarySettings,
    disjoint_part,
    diverge,
    divergence_ceiling,
    hold_against,
    jensen_shannon,
    respond,
    scores,
    uniform,
)
from sparseattn.errors import UserError, validate
from sparseattn.projections import project
from sparseattn.tasks import Documents, Task, load_task
from sparseattn.training import TrainingSettings, evaluate, fit

SIZES = {"embedding_size": 12, "hidden_size": 8, "device": "cpu"}
WEIGHTS = arrays(np.float64, (2, 6), elements=st.floats(0, 1).map(lambda x: x * (x > 0.3)))


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("planted", {"documents": [120, 40, 40], "length": [6, 12]})


def settings(**values):
    values = {"epochs": 3, "learning_rate": 0.01, "batch_size": 16, **SIZES, **values}
    return validate(TrainingSettings, values)


@pytest.fixture(scope="module", params=["softmax", "sparsemax"])
def base(task, request):
    own = settings(projection=request.param)
    return own, fit(own, task).classifier


def aim(variant, **values):
    values = {"epochs": 3, "learning_rate": 0.05, "variant": variant, **values}
    return validate(AdversarySettings, values)


def pair(weights):
    rows = torch.as_tensor(weights)
    rows = rows + torch.eye(6)[:2] * (rows.sum(dim=-1, keepdim=True) == 0)
    return rows / rows.sum(dim=-1, keepdim=True)


class TestDivergence:
    @examples(deadline=None)
    @given(WEIGHTS)
    def test_is_the_square_of_scipy_s_distance(self, weights):
        p, q = pair(weights)
        expected = jensenshannon(p.numpy(), q.numpy()) ** 2
        assert jensen_shannon(p, q).item() == pytest.approx(np.nan_to_num(expected), abs=1e-12)

    @examples(deadline=None)
    @given(WEIGHTS)
    def test_laws(self, weights):
        p, q = pair(weights)
        found = jensen_shannon(p, q)
        assert -1e-12 <= found <= math.log(2) + 1e-12
        torch.testing.assert_close(found, jensen_shannon(q, p))
        assert jensen_shannon(p, p).item() == pytest.approx(0, abs=1e-12)
        part = disjoint_part(p, q)
        assert -1e-12 <= part <= found + 1e-12 or not ((p > 0) & (q > 0)).any()
        ceiling = divergence_ceiling(q, torch.ones(6, dtype=torch.bool))
        assert found <= ceiling + 1e-12

    def test_by_hand(self):
        p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.0, 0.5, 0.5])
        assert jensen_shannon(p, q).item() == pytest.approx(math.log(2) / 2)
        assert disjoint_part(p, q).item() == pytest.approx(math.log(2) / 2)
        assert jensen_shannon(torch.eye(2)[0], torch.eye(2)[1]).item() == pytest.approx(CEILING)
        even = torch.full((4,), 0.25)
        # m is .625 on the chosen item and .125 on the three others.
        at_most = (math.log(1 / 0.625) + 0.25 * math.log(0.4) + 0.75 * math.log(2)) / 2
        found = divergence_ceiling(even, torch.ones(4, dtype=torch.bool))
        assert found.item() == pytest.approx(at_most)

    def test_what_is_not_inside_is_no_place_to_go(self):
        q = torch.tensor([[0.0, 0.5, 0.5, 0.0]])
        inside = torch.tensor([[False, True, True, False]])
        assert divergence_ceiling(q, inside) < CEILING - 0.2
        assert divergence_ceiling(torch.zeros(1, 4), torch.zeros(1, 4, dtype=torch.bool)) == 0

    def test_slope_is_right_where_it_is_smooth(self):
        generator = torch.Generator().manual_seed(0)
        drawn = torch.rand(2, 3, 5, dtype=torch.float64, generator=generator) + 0.1
        p, q = drawn.softmax(dim=-1).unbind()
        assert torch.autograd.gradcheck(jensen_shannon, (p.requires_grad_(), q.requires_grad_()))
        scores = drawn[0].clone().requires_grad_()
        mask = torch.ones(3, 5, dtype=torch.bool)
        for projection in ("softmax", "sparsemax"):
            assert torch.autograd.gradcheck(
                lambda a, name=projection: jensen_shannon(project(a, mask, name), q.detach()),
                scores,
            )

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_slope_is_finite_at_exact_zeros(self, dtype):
        p = torch.tensor([[0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 0]], dtype=dtype)
        q = torch.tensor([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 0]], dtype=dtype)
        tiny = torch.finfo(dtype).tiny / 4  # half of which is zero, or nearly
        p[1, 3] = tiny
        p.requires_grad_(), q.requires_grad_()
        total = jensen_shannon(p, q).sum()
        assert total.isfinite()
        total.backward()
        assert p.grad.isfinite().all()
        assert q.grad.isfinite().all()

    def test_kullback_leibler_would_not_do(self):
        p, q = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])
        assert (p * (p / q).log()).sum() == math.inf
        assert jensen_shannon(p, q) < CEILING


class TestTraining:
    def test_frozen_changes_the_attention_alone(self, base, task):
        own, classifier = base
        before = {name: one.clone() for name, one in classifier.state_dict().items()}
        found = diverge(classifier, own, task, aim("frozen")).classifier
        after = found.state_dict()
        assert set(after) == set(before)
        for name, weight in before.items():
            assert torch.equal(classifier.state_dict()[name], weight), name  # the base is unharmed
            moved = name.startswith(("alignment.", "projection."))
            assert torch.equal(after[name], weight) != moved, name

    @pytest.mark.parametrize("variant", ["frozen", "unfrozen"])
    def test_it_diverges_under_pressure(self, base, task, variant):
        own, classifier = base
        wanted = aim(variant, pressure=10.0, epochs=6)
        fitted = diverge(classifier, own, task, wanted)
        jsd = scores(respond(fitted.classifier, task.dev), respond(classifier, task.dev), task.dev)
        best = fitted.curve.set_index("epoch").loc[fitted.best_epoch]
        assert jsd["jsd"] == pytest.approx(best["dev_jsd"], abs=1e-6)
        assert jsd["accuracy"] == best["dev_accuracy"]
        assert jsd["jsd"] > 0.2
        assert best["dev_loss"] == fitted.curve["dev_loss"].min()
        assert not fitted.classifier.training

    def test_without_pressure_predictions_are_learned_back(self, base, task):
        own, classifier = base
        wanted = aim("unfrozen", pressure=0.0, epochs=15, patience=15, learning_rate=0.01)
        curve = diverge(classifier, own, task, wanted).curve
        assert curve["dev_distance"].min() < 0.5 * curve["dev_distance"].iloc[0]

    @pytest.mark.parametrize("variant", ["frozen", "unfrozen"])
    def test_same_settings_same_bits(self, base, task, variant):
        own, classifier = base
        torch.manual_seed(1)
        one = diverge(classifier, own, task, aim(variant, epochs=2))
        torch.manual_seed(2)
        state = torch.random.get_rng_state()
        other = diverge(classifier, own, task, aim(variant, epochs=2))
        assert torch.equal(torch.random.get_rng_state(), state)
        curves = [fitted.curve.drop(columns="seconds") for fitted in (one, other)]
        pd.testing.assert_frame_equal(*curves)
        for name, weight in one.classifier.state_dict().items():
            assert torch.equal(weight, other.classifier.state_dict()[name]), name
        third = diverge(classifier, own, task, aim(variant, epochs=2, seed=5))
        assert not torch.equal(
            third.classifier.alignment.outer.weight, one.classifier.alignment.outer.weight
        )

    def test_states_kept_or_computed_again_make_no_difference(self, base, task, monkeypatch):
        own, classifier = base
        kept = diverge(classifier, own, task, aim("frozen", epochs=2))
        monkeypatch.setattr("sparseattn.adversary.CACHE", 0)
        again = diverge(classifier, own, task, aim("frozen", epochs=2))
        np.testing.assert_allclose(kept.curve["dev_loss"], again.curve["dev_loss"], atol=1e-4)

    @pytest.mark.parametrize("variant", ["frozen", "unfrozen"])
    def test_a_flat_start_is_left(self, task, variant):
        # A base whose attention is the same everywhere: there the divergence has no slope.
        own = settings()
        even = uniform(fit(own, task).classifier)
        jsd = diverge(even, own, task, aim(variant, epochs=6)).curve["dev_jsd"]
        assert jsd.iloc[-1] > 0.1

    def test_only_a_flat_start_is_warmed_up(self, base, task, monkeypatch):
        """Elsewhere all steps of an adversary that trains everything are after the same loss."""
        own, trained = base
        classifier = copy.deepcopy(trained)
        with torch.no_grad():  # far from uniform
            classifier.alignment.outer.weight.mul_(100)
        one = diverge(classifier, own, task, aim("unfrozen", epochs=2)).curve
        monkeypatch.setattr("sparseattn.adversary.FLAT", 0.0)
        other = diverge(classifier, own, task, aim("unfrozen", epochs=2)).curve
        pd.testing.assert_frame_equal(one.drop(columns="seconds"), other.drop(columns="seconds"))
        monkeypatch.setattr("sparseattn.adversary.FLAT", 1.0)
        warm = diverge(classifier, own, task, aim("unfrozen", epochs=2)).curve
        assert not np.allclose(one["train_loss"], warm["train_loss"])

    @pytest.mark.parametrize("variant", ["frozen", "unfrozen"])
    def test_neither_test_split_nor_labels_are_read(self, base, task, variant):
        class Sealed(Task):
            @property
            def test(self) -> Documents:
                raise AssertionError("the test split was read")

        own, classifier = base
        sealed = object.__new__(Sealed)  # past the constructor, which would open it
        for name in ("name", "train", "dev", "vocabulary", "deviations"):
            object.__setattr__(sealed, name, getattr(task, name))
        expected = diverge(classifier, own, task, aim(variant, epochs=1)).curve["dev_loss"]
        turned = Documents(task.train.ids, 1 - task.train.labels, task.train.keys)
        object.__setattr__(sealed, "train", turned)
        found = diverge(classifier, own, sealed, aim(variant, epochs=1)).curve["dev_loss"]
        pd.testing.assert_series_equal(found, expected)

    def test_a_loss_that_is_no_number_is_explained(self, task):
        own = settings(epochs=1)
        classifier = fit(own, task).classifier
        with pytest.raises(UserError, match=r"not a number in epoch 1 .*Try a lower one"):
            diverge(classifier, own, task, aim("unfrozen", learning_rate=1e30))


def test_uniform_attention(base, task):
    _, classifier = base
    flat = uniform(classifier)
    attention = respond(flat, task.test).attention
    for row, ids in enumerate(task.test.ids):
        inner = attention[row, 1 : len(ids) - 1]
        torch.testing.assert_close(inner, torch.full_like(inner, 1 / len(inner)))
    assert attention.count_nonzero() == sum(len(ids) - 2 for ids in task.test.ids)
    assert torch.equal(flat.decoder.weight, classifier.decoder.weight)


def test_numbers_of_each_document(base, task):
    _, classifier = base
    one, other = respond(uniform(classifier), task.test), respond(classifier, task.test)
    columns = hold_against(one, other, task.test)
    for row in range(len(task.test)):
        p, q = (side.attention[row].double().numpy() for side in (one, other))
        assert columns["jsd"][row] == pytest.approx(jensenshannon(p, q) ** 2, abs=1e-6)
        assert columns["jsd"][row] <= columns["jsd_ceiling"][row] + 1e-6
        assert columns["length"][row] == len(task.test.ids[row]) - 2
    found = scores(one, other, task.test)
    assert found["base_accuracy"] == evaluate(classifier, task.test)["accuracy"]
    assert found["accuracy_change"] == found["accuracy"] - found["base_accuracy"]
    assert found["jsd"] == pytest.approx(columns["jsd"].mean(), abs=1e-6)
    assert scores(other, other, task.test)["agreement"] == 1

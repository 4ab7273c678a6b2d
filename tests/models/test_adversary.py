"""Adversaries move only what they may, keep predictions in view, see neither test nor labels."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from sparseattn.data.tasks import Documents, Task, load_task
from sparseattn.errors import UserError, validate
from sparseattn.models.adversary import (
    AdversarySettings,
    _cross_entropy,
    _distance,
    diverge,
    hold_against,
    respond,
    scores,
    uniform,
)
from sparseattn.models.training import TrainingSettings, evaluate, fit

SIZES = {"embedding_size": 12, "hidden_size": 8, "device": "cpu"}


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
        assert best["aim"] == "both"
        both = fitted.curve[fitted.curve["aim"] == "both"]
        assert best["dev_loss"] == both["dev_loss"].min()
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
        monkeypatch.setattr("sparseattn.models.adversary.CACHE", 0)
        again = diverge(classifier, own, task, aim("frozen", epochs=2))
        np.testing.assert_allclose(kept.curve["dev_loss"], again.curve["dev_loss"], atol=1e-4)

    @pytest.mark.parametrize("variant", ["frozen", "unfrozen"])
    def test_a_flat_start_is_left(self, task, variant):
        # A base whose attention is the same everywhere: there the divergence has no slope.
        own = settings()
        even = uniform(fit(own, task).classifier)
        jsd = diverge(even, own, task, aim(variant, epochs=6)).curve["dev_jsd"]
        assert jsd.iloc[-1] > 0.1

    def test_predictions_come_first(self, base, task):
        """Diverging from the beginning, an adversary may never learn them."""
        own, classifier = base
        fitted = diverge(classifier, own, task, aim("unfrozen", learning_rate=0.01))
        curve = fitted.curve
        assert list(curve["epoch"]) == list(range(1, len(curve) + 1))
        first = curve[curve["aim"] == "predictions"]
        assert list(curve["aim"]) == ["predictions"] * len(first) + ["both"] * (
            len(curve) - len(first)
        )
        assert len(first) <= own.epochs
        assert first["dev_distance"].min() < first["dev_distance"].iloc[0]
        assert fitted.best_epoch > len(first)
        assert set(diverge(classifier, own, task, aim("frozen")).curve["aim"]) == {"both"}

    @pytest.mark.parametrize("logit", [-20.0, -3.0, 0.0, 3.0, 20.0])
    def test_what_stands_for_the_distance(self, logit):
        """Cross-entropy pulls where a sure and wrong prediction leaves the distance flat."""
        before = torch.tensor([5.0], dtype=torch.float64)
        slopes = []
        for gap in (_distance, _cross_entropy):
            own = torch.tensor([logit], dtype=torch.float64, requires_grad=True)
            (slope,) = torch.autograd.grad(gap(own, before).sum(), own)
            slopes.append(float(slope))
        p, q = (1 / (1 + math.exp(-one)) for one in (logit, 5.0))
        assert slopes == pytest.approx([math.copysign(p * (1 - p), p - q), p - q])
        assert _cross_entropy(before, before) <= _cross_entropy(before + logit, before)

    def test_each_part_ends_when_it_no_longer_falls(self, base, task):
        own, classifier = base
        own = own.model_copy(update={"epochs": 30})
        wanted = aim("unfrozen", epochs=30, patience=1)
        for name, part in diverge(classifier, own, task, wanted).curve.groupby("aim"):
            falling = part["dev_distance" if name == "predictions" else "dev_loss"].to_numpy()
            assert (np.diff(falling[:-1]) < 0).all()
            assert len(part) == 30 or falling[-1] >= falling[-2]

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

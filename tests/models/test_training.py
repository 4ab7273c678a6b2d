"""Training is reproducible, keeps the best epoch by dev, and never looks at test."""

import math

import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from sparseattn.data.tasks import Documents, Task, load_task
from sparseattn.errors import UserError, validate
from sparseattn.models import training
from sparseattn.models.batches import collate
from sparseattn.models.classifier import Classifier
from sparseattn.models.pretrained import PRETRAINED
from sparseattn.models.training import (
    LEARNING_RATES,
    TrainingSettings,
    batches,
    evaluate,
    fit,
    predict,
    resolve_device,
    roc_auc,
)

SMALL = {"embedding_size": 16, "hidden_size": 16, "device": "cpu"}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("planted", {"documents": [300, 80, 60]})


def settings(**values: object) -> TrainingSettings:
    return validate(TrainingSettings, {**SMALL, **values})


def without_seconds(curve: pd.DataFrame) -> pd.DataFrame:
    return curve.drop(columns="seconds")


@pytest.mark.parametrize("encoder", ["none", "bilstm", "transformer"])
def test_two_fits_are_equal_to_the_last_bit(task: Task, encoder: str) -> None:
    torch.manual_seed(1)
    first = fit(settings(encoder=encoder, epochs=2, seed=3), task)
    torch.manual_seed(2)  # what the caller did with torch's own generator must not matter
    state = torch.random.get_rng_state()
    second = fit(settings(encoder=encoder, epochs=2, seed=3), task)
    assert torch.equal(torch.random.get_rng_state(), state)
    other = fit(settings(encoder=encoder, epochs=2, seed=4), task)
    pd.testing.assert_frame_equal(without_seconds(first.curve), without_seconds(second.curve))
    for name, weight in first.classifier.state_dict().items():
        assert torch.equal(weight, second.classifier.state_dict()[name]), name
    assert not torch.equal(first.classifier.decoder.weight, other.classifier.decoder.weight)


@pytest.mark.parametrize(
    ("encoder", "rate"), [("none", 0.02), ("bilstm", 0.01), ("transformer", 3e-3)]
)
def test_it_learns(encoder: str, rate: float) -> None:
    task = load_task("planted", {"documents": [800, 80, 200]})
    fitted = fit(settings(encoder=encoder, epochs=6, patience=6, learning_rate=rate), task)
    losses = fitted.curve["train_loss"]
    assert losses.iloc[-1] < 0.5 * losses.iloc[0]
    assert evaluate(fitted.classifier, task.test)["accuracy"] > 0.9


def test_only_context_tells_the_contextual_variant() -> None:
    task = load_task("planted", {"context": True, "documents": [400, 200, 200]})
    fitted = fit(settings(encoder="none", epochs=6, patience=6, learning_rate=0.02), task)
    assert evaluate(fitted.classifier, task.dev)["accuracy"] < 0.65


def scripted(monkeypatch: pytest.MonkeyPatch, aucs: list[float], losses: list[float]) -> list:
    """Let dev evaluate to these; record the decoder's weights at each evaluation."""
    seen: list[torch.Tensor] = []

    def evaluate(classifier: Classifier, documents: Documents) -> dict[str, float]:
        seen.append(classifier.decoder.weight.detach().clone())
        epoch = len(seen) - 1
        return {"accuracy": 0.5, "auc": aucs[epoch], "loss": losses[epoch]}

    monkeypatch.setattr(training, "evaluate", evaluate)
    return seen


@pytest.mark.parametrize(
    ("aucs", "losses", "best", "ran"),
    [
        ([0.6, 0.8, 0.7, 0.7, 0.9], [1, 1, 1, 1, 1], 2, 4),  # the late rise comes too late
        ([0.6, 0.8, 0.7, 0.9, 0.7], [1, 1, 1, 1, 1], 4, 5),
        ([0.6, 1.0, 1.0, 1.0, 1.0], [1, 0.3, 0.2, 0.4, 0.1], 3, 4),  # ties: the lowest loss
        ([0.6, 0.8, 0.7, 0.8, 0.8], [1, 0.3, 0.1, 0.3, 0.1], 2, 4),  # ties in both: the first
    ],
)
def test_the_best_epoch_by_dev_is_kept(
    task: Task,
    monkeypatch: pytest.MonkeyPatch,
    aucs: list[float],
    losses: list[float],
    best: int,
    ran: int,
) -> None:
    seen = scripted(monkeypatch, aucs, losses)
    calls: list[tuple[int, int, float]] = []
    fitted = fit(
        settings(encoder="none", epochs=5, patience=2, learning_rate=0.1),
        task,
        progress=lambda epoch, epochs, row: calls.append((epoch, epochs, row["dev_auc"])),
    )
    assert (fitted.best_epoch, len(fitted.curve)) == (best, ran)
    assert torch.equal(fitted.classifier.decoder.weight, seen[best - 1])
    assert not fitted.classifier.training
    assert calls == [(i + 1, 5, aucs[i]) for i in range(ran)]
    assert list(fitted.curve) == [
        "epoch", "train_loss", "dev_loss", "dev_accuracy", "dev_auc", "seconds",
    ]  # fmt: skip
    assert list(fitted.curve["epoch"]) == list(range(1, ran + 1))


def test_patience_is_not_tried_on_a_plateau(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.9] + [0.5] * 5, [1.0] * 6)
    still = settings(encoder="none", epochs=6, patience=2, learning_rate=1e-9)
    fitted = fit(still, task)
    assert (fitted.best_epoch, len(fitted.curve)) == (1, 6)


class Sealed(Task):
    """A task whose test split must not be opened."""

    @property
    def test(self) -> Documents:
        raise AssertionError("the test split was read")


def test_the_test_split_is_never_read(task: Task) -> None:
    sealed = object.__new__(Sealed)  # past the constructor, which would open it
    for name in ("name", "train", "dev", "vocabulary", "deviations"):
        object.__setattr__(sealed, name, getattr(task, name))
    fit(settings(encoder="none", epochs=1), sealed)
    with pytest.raises(AssertionError, match="was read"):
        len(sealed.test)


def test_padding_row_stays_zero_and_attention_is_not_decayed(task: Task) -> None:
    fitted = fit(settings(encoder="transformer", alignment="dot", epochs=2), task)
    assert not fitted.classifier.embedding.weight[0].any()
    adam, rows = training.optimisers(fitted.classifier, settings(weight_decay=0.5))
    decays = {p: g["weight_decay"] for g in adam.param_groups for p in g["params"]}
    for name, parameter in fitted.classifier.named_parameters():
        if name != "embedding.weight":
            assert decays[parameter] == (0.0 if name.startswith("alignment") else 0.5), name
    assert rows.weight_decay == 0.5


@pytest.mark.parametrize("encoder", ["none", "bilstm", "transformer"])
def test_predictions_come_in_order_whatever_the_batches(task: Task, encoder: str) -> None:
    torch.manual_seed(0)
    classifier = Classifier(settings(encoder=encoder), len(task.vocabulary)).eval()
    alone = torch.cat([classifier(collate([ids])).logit.detach() for ids in task.test.ids])
    for size in (1, 7, 1000):
        torch.testing.assert_close(predict(classifier, task.test, size), alone)
    backwards = task.test.select(range(len(task.test) - 1, -1, -1))
    torch.testing.assert_close(predict(classifier, backwards, 7), alone.flip(0))


def test_evaluate(task: Task) -> None:
    torch.manual_seed(0)
    classifier = Classifier(settings(), len(task.vocabulary))
    logits, labels = predict(classifier, task.dev), task.dev.labels
    found = evaluate(classifier, task.dev)
    chance = torch.sigmoid(logits.double())
    losses = -(labels * chance.log() + (1 - labels) * (1 - chance).log())
    assert found["accuracy"] == pytest.approx(
        ((chance > 0.5) == labels.bool()).double().mean().item()
    )
    assert found["loss"] == pytest.approx(losses.mean().item(), rel=1e-5)
    assert found["auc"] == pytest.approx(roc_auc_score(labels, logits), abs=1e-12)


def test_roc_auc() -> None:
    torch.manual_seed(0)
    for _ in range(20):
        labels = torch.cat([torch.tensor([0.0, 1.0]), torch.randint(0, 2, (30,)).float()])
        scores = torch.randint(0, 8, (32,)).float()  # with ties
        assert roc_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert math.isnan(roc_auc(torch.randn(3), torch.ones(3)))


@pytest.mark.parametrize("bucketed", [True, False])
@pytest.mark.parametrize("shuffled", [True, False])
def test_batches_hold_each_document_once(bucketed: bool, shuffled: bool) -> None:
    lengths = torch.randint(2, 90, (5003,)).tolist()
    generator = torch.Generator().manual_seed(0) if shuffled else None
    cut = list(batches(lengths, 32, generator, bucketed))
    assert sorted(i for index in cut for i in index) == list(range(5003))
    assert len(cut) == math.ceil(5003 / 32)
    assert max(map(len, cut)) == 32
    if shuffled:
        assert cut != list(batches(lengths, 32, generator, bucketed))  # another order next time
    padded = sum(len(index) * max(lengths[i] for i in index) for index in cut)
    assert (padded < 1.05 * sum(lengths)) == bucketed


def test_learning_rate_is_concrete() -> None:
    for encoder, rate in LEARNING_RATES.items():
        own = {"encoder": encoder} | dict.fromkeys(
            ("embedding_size", "hidden_size"), 384 if encoder in PRETRAINED else 16
        )
        assert settings(**own).learning_rate == rate
        assert settings(**own, learning_rate=None).learning_rate == rate
        assert settings(**own, learning_rate=0.5).learning_rate == 0.5
    # So a spec read back from its own JSON is the same spec.
    one = settings(encoder="transformer")
    assert TrainingSettings.model_validate_json(one.model_dump_json()) == one


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seed": -1}, "seed"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": 2.5}, "epochs"),
        ({"batch_size": "32"}, "batch_size"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"device": "gpu"}, "'cpu'"),
        ({"patiense": 3}, "Did you mean 'patience'"),
        ({"learning_rat": 1.0}, "Did you mean 'learning_rate'"),
        ({"encoder": ["bilstm"]}, "encoder"),
        ({"vectors": "ramdom"}, "Did you mean 'random'"),
    ],
)
def test_bad_settings_are_refused(values: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        settings(**values)


def test_a_loss_that_is_no_number_says_what_to_try(task: Task) -> None:
    with pytest.raises(UserError, match=r"epoch \d+.*lower.*learning_rate"):
        fit(settings(encoder="none", learning_rate=1e30), task)


def test_a_dev_split_of_one_class_is_refused(task: Task) -> None:
    positive = [i for i, label in enumerate(task.dev.labels.tolist()) if label == 1]
    broken = Task("mine", task.train, task.dev.select(positive), task.test, task.vocabulary)
    with pytest.raises(UserError, match="both classes"):
        fit(settings(), broken)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_absent_cuda_is_said() -> None:
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(UserError, match="'cpu'"):
        resolve_device("cuda")


def test_interrupt_is_passed_on(task: Task) -> None:
    def interrupt(epoch: int, epochs: int, row: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(settings(encoder="none"), task, interrupt)

"""The numbers of each stage on a fixed small input, recorded with the stage's version.

After a change that is meant to change a stage's numbers, raise the stage's version in `src/` and
run ``python tests/golden.py`` to record the new ones.
"""

import json
from pathlib import Path

from sparseattn import arithmetic  # before numpy and torch

# isort: split
import numpy as np
import torch

from sparseattn.attribution.importance import IMPORTANCE_VERSION
from sparseattn.attribution.influence import INFLUENCE_VERSION, influence, jacobian_influence
from sparseattn.data.tasks import Documents, Task, load_task
from sparseattn.data.vectors import VECTORS_VERSION, train_vectors
from sparseattn.data.words import BEGIN, END
from sparseattn.experiments.examinations import examine
from sparseattn.experiments.making import observe, reproducible
from sparseattn.experiments.specs import EXAMINATION_VERSION, OBSERVATION_VERSION
from sparseattn.models.adversary import ADVERSARY_VERSIONS, AdversarySettings, diverge, respond
from sparseattn.models.classifier import Classifier, ModelSettings
from sparseattn.models.training import TRAINING_VERSION, TrainingSettings, fit, predict

FOLDER = Path(__file__).parent / "golden"
# Relative. Where the arithmetic is not portable, processors add in different orders, and training
# magnifies that.
TOLERANCE = 1e-8 if arithmetic.device("cpu") == "cpu" else 0.002
VERSIONS = {
    "training": TRAINING_VERSION,
    "importance": IMPORTANCE_VERSION,
    "influence": INFLUENCE_VERSION,
    "observation": OBSERVATION_VERSION,
    "vectors": VECTORS_VERSION,
    "examination": EXAMINATION_VERSION,
    **{f"adversary_{variant}": number for variant, number in ADVERSARY_VERSIONS.items()},
}
ENCODERS = ("none", "bilstm", "transformer")
SIZES = {"embedding_size": 8, "hidden_size": 6}


def stages() -> dict[str, dict[str, float]]:
    """Compute every stage's numbers, each independent of the stages before it."""
    found: dict[str, dict[str, float]] = {stage: {} for stage in VERSIONS}
    task = load_task("planted", {"documents": [64, 16, 16]})
    with reproducible():
        for encoder in ENCODERS:
            settings = TrainingSettings(
                encoder=encoder, epochs=3, learning_rate=0.01, device="cpu", **SIZES
            )
            fitted = fit(settings, task)
            logits = predict(fitted.classifier, task.test)
            found["training"] |= {
                f"{encoder}_train_loss": float(fitted.curve["train_loss"].iloc[-1]),
                f"{encoder}_dev_loss": float(fitted.curve["dev_loss"].iloc[-1]),
                f"{encoder}_logits": float(logits.norm()),
            }
            classifier, documents = _formula(encoder), _documents()
            for name, values in observe(classifier, documents).items():
                if name not in ("labels", "lengths"):
                    # The summaries of the influences are the observation's own work.
                    stage = "observation" if name.startswith("influence") else "importance"
                    found[stage][f"{encoder}_{name}"] = _weighted(values)
            for kind in (influence, jacobian_influence):
                matrices = [one.ravel() for one in kind(classifier, documents.ids)]
                found["influence"][f"{encoder}_{kind.__name__}"] = _weighted(
                    np.concatenate(matrices)
                )
        for encoder in ("bilstm", "transformer"):
            classifier, observed = _formula(encoder, len(task.vocabulary)), task.test.sample(5)
            asked = examine(classifier, task, observed, observe(classifier, observed), 4)
            found["examination"] |= {
                f"{encoder}_{name}": _weighted(values)
                for name, values in asked.items()
                if not np.isnan(values).all()
            }
        for variant in ADVERSARY_VERSIONS:
            found[f"adversary_{variant}"] = _adversary(variant, task)
        vectors = train_vectors(task.train.ids, task.vocabulary, 8)
        found["vectors"]["dot_products"] = float((vectors @ vectors.T).norm())
    return found


def _adversary(variant: str, task: Task) -> dict[str, float]:
    settings = TrainingSettings(epochs=2, learning_rate=0.01, batch_size=16, device="cpu", **SIZES)
    base = _formula("bilstm", len(task.vocabulary))
    aim = AdversarySettings(variant=variant, epochs=3, learning_rate=0.01)
    fitted = diverge(base, settings, task, aim)
    attention, logit = respond(fitted.classifier, task.dev)
    return {
        "dev_loss": float(fitted.curve["dev_loss"].iloc[-1]),
        "attention": _weighted(attention.numpy()),
        "logits": float(logit.norm()),
    }


def _weighted(values: np.ndarray) -> float:
    """Return a mean whose weights differ from place to place, so that order matters too."""
    weights = 1 + np.cos(np.arange(values.size)).reshape(values.shape)
    return float(np.nanmean(np.abs(values.astype(np.float64)) * weights))


def _formula(encoder: str, words: int = 20) -> Classifier:
    """Return a classifier whose weights follow from a formula, not from training."""
    classifier = Classifier(ModelSettings(encoder=encoder, projection="sparsemax", **SIZES), words)
    with torch.no_grad():
        for number, weight in enumerate(classifier.parameters()):
            steps = torch.arange(weight.numel(), dtype=torch.float64)
            weight.copy_(torch.sin(1.7 * steps + number).reshape(weight.shape))
    return classifier.eval()


def _documents() -> Documents:
    lengths = (1, 2, 7, 12)
    ids = tuple(
        torch.tensor([BEGIN, *(4 + (3 * i + n) % 16 for i in range(n)), END]) for n in lengths
    )
    return Documents(ids, torch.tensor([0.0, 1.0, 0.0, 1.0]), tuple("abcd"))


def recorded(stage: str) -> dict:
    """Return what is recorded of a stage: ``version`` and ``numbers``."""
    path = FOLDER / f"{stage}.json"
    return json.loads(path.read_text()) if path.is_file() else {"version": None, "numbers": {}}


def differences(old: dict[str, float], new: dict[str, float]) -> list[str]:
    """Say which numbers differ by more than the tolerance."""
    return [
        f"{name}: recorded {old.get(name)}, now {new.get(name)}"
        for name in sorted(old | new)
        if name not in old
        or name not in new
        or not np.isclose(old[name], new[name], rtol=TOLERANCE, atol=1e-9)
    ]


def record() -> None:
    """Record the numbers of the stages whose version was raised."""
    FOLDER.mkdir(exist_ok=True)
    for stage, numbers in stages().items():
        before = recorded(stage)
        if before["version"] == VERSIONS[stage]:
            changed = differences(before["numbers"], numbers)
            print(f"{stage}: version {VERSIONS[stage]}, {'CHANGED' if changed else 'unchanged'}")
            if changed:
                print("  raise its version first:\n  " + "\n  ".join(changed))
            continue
        rounded = {name: float(f"{value:.10g}") for name, value in numbers.items()}
        content = {"version": VERSIONS[stage], "numbers": rounded}
        (FOLDER / f"{stage}.json").write_text(json.dumps(content, indent=1) + "\n")
        print(f"{stage}: version {before['version']} → {VERSIONS[stage]}, recorded")


if __name__ == "__main__":
    record()

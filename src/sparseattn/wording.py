"""How people read it: names of codes, columns and cells, lists and spans in a sentence."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, SupportsFloat, get_args

import pandas as pd
from pydantic import Field

ProjectionName = Literal["softmax", "sparsemax", "sparsegen", "entmax"]
PROJECTIONS: tuple[str, ...] = get_args(ProjectionName)
EncoderName = Literal["none", "bilstm", "transformer", "minilm", "minilm_tuned"]
Lam = Annotated[float, Field(lt=1)]
"""λ of sparsegen: larger is sparser, 0 is sparsemax."""
ALPHAS = (1.0, 3.0)
Alpha = Annotated[float, Field(ge=ALPHAS[0], le=ALPHAS[1])]
"""α of entmax: larger is sparser, 1 is softmax, 2 is sparsemax. Beyond 3 its weights lose digits in
float32: they are right to 4e-6 at α = 3, to 3e-3 at 4, on 20 scores."""

LABELS = {
    "softmax": "softmax",
    "sparsemax": "sparsemax",
    "sparsegen": "sparsegen",
    "entmax": "α-entmax",
    "none": "no encoder",
    "bilstm": "BiLSTM",
    "transformer": "Transformer",
    "minilm": "MiniLM",
    "minilm_tuned": "MiniLM tuned",
    "dot": "scaled dot",
    "planted": "Planted",
    "planted+context": "Planted in context",
    "sst": "SST",
    "newsgroups": "20News",
    "imdb": "IMDb",
    "glove": "GloVe",
    **{
        f"{code}+{kind}": f"{name} + {kind}"
        for code, name in (("sst", "SST"), ("newsgroups", "20News"), ("imdb", "IMDb"))
        for kind in ("token", "beside", "order", "thinned")
    },
    "newsgroups+first200": "20News, 200 words",
    "imdb+first200": "IMDb, 200 words",
    "gradient": "gradient",
    "gradient_fixed": "gradient, attention fixed",
    "loo": "leave-one-out",
    "loo_logit": "leave-one-out (logit)",
    "product": "gradient · embedding",
    "product_fixed": "gradient · embedding, attention fixed",
    "integrated": "integrated gradients",
    "shapley": "Shapley values",
    "lime": "LIME",
    "attention": "attention",
    "attention_norm": "attention · norm of the state",
    "attention_rollout": "attention rollout",
    "scores": "alignment scores",
    "random": "random",
    "inputs": "inputs",
    "hidden": "hidden states",
    "unfrozen": "retrained",
    "reseeded": "another seed",
    "uniform": "uniform attention",
}

TITLES = {
    "projection": "Projection",
    "encoder": "Encoder",
    "alignment": "Alignment",
    "task": "Task",
    "measure": "Importance by",
    "importance_of": "Importance of",
    "adversary": "Adversary",
    "pressure": "λ_adv",
    "lam": "λ",
    "epoch": "Epoch",
    "token": "Token",
    "seed": "Seed",
    "classifier": "Classifier",
    "shown": "Measure",
    "scale": "Scale",
    "by": "Way",
    "peer": "Peer",
    "setting": "Setting",
    "ratio": "Times faster",
    "origin": "Task",
    "norm": "Influence by",
    "null": "by chance",
    "verdict": "Verdict",
    "item": "In the paper",
    "sparsity": "Projection",
    "stage": "Stage",
}

HEADINGS = {
    "number": "claim",
    "origin": "task",
    "cell": "classifier",
    "where": "classifier",
    "sparsity": "projection",
    "lam": "λ",
    "alpha": "α",
    "pressure": "λ_adv",
    "measure": "importance by",
    "by": "measured by",
    "statement": "what is measured",
    "counts": "cells",
    "adversary": "against",
    "shown": "quantity",
    "item": "in the paper",
    "value": "paper",
    "ours": "as here",
    "mean": "here",
    "null": "by chance",
    "sd": "sd, seeds",
    "sd_documents": "sd over documents",
    "sd_seeds": "sd over seeds",
    "sentence": "numbers",
    "of": "what",
    "auc": "ROC-AUC",
    "accuracy_change": "change of accuracy",
    "ratio": "times faster",
    "temperature": "temperature 1 − λ",
    "nonzero": "non-zero weights",
    "support": "non-zero weights",
    "largest": "largest weight",
    "attention_effective": "effective tokens",
    "effective_influence": "effective inputs",
    "length": "of tokens",
    "gradient": "length of the gradient",
    "product": "gradient · embedding",
    "loo": "leave-one-out",
    "jsd": "JSD, nats",
    "jsd_ceiling": "at most, nats",
    "share_ceiling": "of the most",
    "share_disjoint": "from zeros",
    "positive_share": "share of class 1",
    "tokens_mean": "tokens, mean",
    "tokens_max": "tokens, most",
    "unknown_share": "unknown words",
    "norm_variation": "length varies",
    "times_chance": "seen ÷ chance",
    "norms_tau": "τ-b",
    "norms_same_top": "same first",
    "out_of_reach": "left out",
    "svd": "SVD",
    "gigaflop": "10⁹ operations",
    "floor_onednn": "floor (s)",
    "distance": "times the floor",
    "distance_torch": "times torch.mm's",
    "megabytes": "MB",
    "compared": "the effect",
    "figures": "numbers",
    "measured": "measured here",
    "rates": "learning rates",
    "kept": "epoch kept",
    "vectors": "initial vectors",
    "notebook": "page",
    "when": "executed",
    "changed": "parameters given",
    "pinned": "asked for",
    "agrees": "the same",
    "embedding": "in the embedding",
    "rest": "in the rest",
    "cpu": "CPU seconds",
    "dev": "accuracy, dev",
    "dev_auc": "ROC-AUC, dev",
    **{
        f"{side}_{kind}": f"{side}, {words}"
        for side in ("above", "below")
        for kind, words in (("gradient", "gradient"), ("loo", "leave-one-out"))
    },
}
"""Headings of a table's columns, where they are not the column's name."""

FORMATS = {
    **dict.fromkeys(("lam", "pressure", "smallest"), "g"),
    **dict.fromkeys(("epochs", "kept"), ".3g"),
    **dict.fromkeys(("length", "effective_influence", "tokens_mean"), ".1f"),
    **dict.fromkeys(("gigaflop", "distance", "distance_torch"), ".1f"),
    **dict.fromkeys(("accuracy", "auc", "dev", "dev_auc", "sd", "sd_seeds"), ".3f"),
    **dict.fromkeys(("largest", "jsd", "jsd_ceiling"), ".3f"),
    **dict.fromkeys(("share_ceiling", "share_disjoint", "norms_same_top"), ".0%"),
    **dict.fromkeys(("positive_share", "unknown_share", "undefined"), ".1%"),
    "accuracy_change": "+z.3f",
    "cpu": ",.0f",
    "floor_onednn": ".4f",
    "megabytes": ".0f",
    "norm_variation": ".2%",
    "times_chance": ".2g",
}
"""Formats of a table's columns, where two decimals do not suit them."""


# Controls, half characters, what is no character, what has no width (but joiners, which many
# scripts and emoji need) and what turns the direction of all that follows.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
# What a spreadsheet program would run as a formula: as in book/_static/sparseattn.js.
_FORMULA = re.compile(r"^(?=[=@]|[+-](?!\d*\.?\d+([eE][+-]?\d+)?$))")
_FILE = re.compile(r"\.(csv|jsonl?)(\.gz)?$", re.IGNORECASE)
_ROOM = 80  # characters of a name or word


def label(value: object) -> str:
    """Return the name of a code as people write it: ``bilstm`` → ``BiLSTM``.

    A path of a user's own file of texts is shortened to its file name; see `visible`.
    """
    text = str(value)
    if _FILE.search(text):
        return visible(text.replace("\\", "/").rsplit("/", 1)[-1])
    return LABELS.get(text) or visible(text, None)  # a sentence stays whole


def visible(text: str, room: int | None = _ROOM) -> str:
    """Return a name or word of a user's data so that one sees it, and it harms nothing around it.

    What is invisible, or turns the direction of what follows, is named: a NUL ``⟨U+0000⟩``. Of what
    has more characters than there is room for, the first and last stand for all.
    """
    seen = _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)
    if room is None or len(seen) <= room:
        return seen
    return f"{seen[: room // 2]} … {seen[-room // 8 :]} ({len(text):,} characters)"


def verbatim(text: object) -> str:
    """Return a text of a user's data as Markdown that shows it: no markup, HTML or formula."""
    line = visible(" ".join(str(text).split()), None)
    return re.sub(
        r"^[-%+=:]|^\d+(?=[.)])|[\\`*_{}\[\]<>#&$|~^]",
        lambda found: "".join(f"&#{ord(one)};" for one in found[0]),
        line,
    )


def as_csv(frame: pd.DataFrame) -> str:
    """Return comma-separated values, a line a row: every text `visible`, none of them a formula."""
    return frame.map(
        lambda cell: _FORMULA.sub("'", visible(cell, None)) if isinstance(cell, str) else cell
    ).to_csv(index=False)


def signed(value: SupportsFloat, form: str = "g") -> str:
    """Return a number with a true minus sign: ``−50``."""
    return format(float(value), form).replace("-", "−")


def projection_name(cell: Any) -> str:
    """Return a projection with its sparsity: ``sparsegen λ = −3``, ``α-entmax α = 1.5``.

    Of anything with ``projection``, ``lam`` and ``alpha``: a spec, a row of a frame.
    """
    if cell.projection == "sparsegen":
        return f"sparsegen λ = {signed(cell.lam)}"
    if cell.projection == "entmax":
        return f"{label('entmax')} α = {cell.alpha}"
    return label(cell.projection)


def is_sparsemax(projection: Any, lam: Any) -> Any:
    """Return whether a projection, or each of a column, is sparsemax, be it sparsegen at λ = 0."""
    return (projection == "sparsemax") | ((projection == "sparsegen") & (lam == 0))


def sparsity_rank(projection: str, lam: float | None) -> float:
    """Return where a projection stands from even to sparse: softmax, then by λ; entmax last."""
    return {"softmax": -1e9, "entmax": 1e9}.get(projection, lam or 0.0)


def classifier_names(frame: pd.DataFrame) -> pd.Series:
    """Return each row's encoder and alignment as people write them: ``BiLSTM, additive``."""
    return frame["encoder"].map(label) + ", " + frame["alignment"].map(label)


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: ``SST, 20News and IMDb``."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def sentence(words: str) -> str:
    """Return words with a capital at their beginning, the rest as it is."""
    return words[:1].upper() + words[1:]


def span(values: Iterable[SupportsFloat], form: str = ".2f") -> str:
    """Return the least and greatest of some numbers, one where they read alike: ``0.46 to 0.93``.

    Missing ones (NaN) do not count; ``undefined`` where there is none. With a true minus sign and
    no −0. The `form`, such as ``.2f``, ``.0%`` or ``.2g``, has a digit before the kind.
    """
    known = [number for number in map(float, values) if not math.isnan(number)]
    if not known:
        return "undefined"
    if form[-1] != "g":
        places = int(form[-2]) + 2 * (form[-1] == "%")
        known = [round(number, places) + 0.0 for number in known]  # zero turns −0.00 into 0.00
    ends = [signed(end, form) for end in (min(known), max(known))]
    return " to ".join(dict.fromkeys(ends))

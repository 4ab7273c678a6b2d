"""Laws that hold for whatever comes: files of texts, parameters, scores, importances.

What is read is what was written, or is refused with a `UserError`; nothing else is ever raised.
"""

import csv
import gzip
import io
import json
import re

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from trusted import record, times

from sparseattn.data.files import read_columns
from sparseattn.data.owntexts import read_own
from sparseattn.data.tasks import load_task
from sparseattn.errors import UserError
from sparseattn.measures import per_document
from sparseattn.measures.kendall import kendall_tau, tau_ceiling
from sparseattn.models.projections import project
from sparseattn.paths import notebook_names
from sparseattn.report.parameters import Parameters, declared, load_yaml, read_parameters, validated

COMMAND = "SPARSEATTN_TRUST=1 pytest tests/trust/test_properties.py"
TRIED: list[int] = []


def law(few: int, many: int) -> settings:
    """Try as many examples. A test's folder is shared by its examples: each writes its own file."""
    return settings(
        max_examples=times(few, many),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@pytest.fixture(scope="module", autouse=True)
def counted(request):
    before = request.session.testsfailed
    yield
    lost = request.session.testsfailed - before
    what = "examples of laws: files of texts, parameters, projections, measures"
    record("properties", what, len(TRIED), lost, COMMAND)


# -- files of texts --
# Half characters cannot be written as UTF-8; JSON can spell them.
SIGNS = st.characters(exclude_categories=["Cs"])
NASTY = st.sampled_from(
    [*'",;\t|\r\n\\\0\x85\u2028\ufeff\u200b\u202e ', "''", '"""', "nan", "sep=;"]
)
STRINGS = st.lists(NASTY | st.text(SIGNS, max_size=8), max_size=6).map("".join)
ROWS = st.lists(st.tuples(STRINGS, STRINGS), min_size=1, max_size=6)


def read_or_refused(path):
    return unless_refused(path.name, lambda: read_columns(path, ("text", "label")))


def unless_refused(named, work):
    """Return what work returns, None where it is refused by a message that names something."""
    try:
        return work()
    except UserError as error:
        refusal = str(error)
    assert named in refusal
    return None


@law(60, 2000)
@given(ROWS, st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_what_is_written_as_csv_is_read_so_or_refused(tmp_path, rows, separator, end, gz):
    TRIED.append(1)
    text = io.StringIO(newline="")
    written = csv.writer(text, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    written.writerows([("text", "label"), *rows])
    raw = text.getvalue().encode()
    path = tmp_path / ("texts.csv.gz" if gz else "texts.csv")
    path.write_bytes(gzip.compress(raw, 1) if gz else raw)
    found = read_or_refused(path)
    if found is None:
        assert b"\0" in raw
    else:
        assert list(zip(*found, strict=True)) == rows


@law(60, 2000)
@given(
    st.lists(st.tuples(st.text(max_size=20) | STRINGS, STRINGS), min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
)
def test_what_is_written_as_json_is_read_so_or_refused(tmp_path, rows, lines, spelled):
    TRIED.append(1)
    halved = any("\ud800" <= sign <= "\udfff" for row in rows for cell in row for sign in cell)
    objects = [{"text": text, "label": label, "more": [{}]} for text, label in rows]
    form = {"ensure_ascii": spelled or halved}
    written = "\n".join(json.dumps(one, **form) for one in objects)
    path = tmp_path / "texts.jsonl"
    path.write_text(written if lines else json.dumps(objects, **form), encoding="utf-8", newline="")
    found = read_or_refused(path)
    if found is None:
        assert halved
    else:
        assert list(zip(*found, strict=True)) == rows


@law(150, 5000)
@given(
    st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from(["x.csv", "x.json", "x.jsonl", "x.CSV.GZ", "x.json.gz"]),
    st.sampled_from(
        [b"", b"text,label\n", b'"text";"label"\r', b"\xff\xfe", b"\x1f\x8b", b"[{", b"[" * 9999]
    ),
)  # fmt: skip
def test_any_bytes_are_read_or_refused(tmp_path, content, name, before):
    TRIED.append(1)
    path = tmp_path / name
    raw = before + content
    path.write_bytes(gzip.compress(raw, 1) if name == "x.json.gz" else raw)
    found = read_or_refused(path)
    if found is not None:
        assert len(found[0]) == len(found[1]) >= 1
        unless_refused(path.name, lambda: read_own(path, "text", "label"))


@law(8, 200)
@given(
    st.lists(STRINGS, min_size=30, max_size=60),
    st.lists(STRINGS, min_size=2, max_size=2),
    st.randoms(),
)
def test_a_task_is_the_same_in_any_order_and_its_parts_share_no_text(
    tmp_path, texts, classes, random
):
    TRIED.append(1)
    rows = [
        {
            "text": f"{'abcdefghijklmnopqrstuvwxyz'[i % 26]}{'xy'[i // 26 % 2]} {text}",
            "label": classes[i % 2],
        }
        for i, text in enumerate(texts)
    ]
    found = []
    for _ in range(2):
        path = tmp_path / "texts.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        found.append(unless_refused(path.name, lambda: load_task(str(path))))  # noqa: B023
        random.shuffle(rows)
    one, other = found
    if one is None:
        assert other is None
        return
    assert one.fingerprint == other.fingerprint
    keys = [{key.partition("-")[0] for key in part.keys} for part in one.splits().values()]
    assert len(set.union(*keys)) == sum(map(len, keys))
    for part in one.splits().values():
        assert all(1 <= n <= 500 for n in part.lengths)
        assert set(part.labels.tolist()) <= {0.0, 1.0}


# -- parameters --
LOST = (
    "~nosuchuser/x.csv",
    "x" * 300 + ".csv",
    "\0.csv",
    "/x.csv/y.json",
    "\ud800.csv",
    "",
    "/",
    "..",
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates()
    | st.sampled_from(["x.csv", *LOST, "planted", "sst", "auto"])
    | st.sampled_from([10**400, -1, 0, 1, 2**63, 1e-320, 1e308])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["length", "text_column"]) | st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(sorted(Parameters.model_fields)) | st.text(max_size=8)
DECLARED = {notebook: declared(notebook) for notebook in notebook_names()}


@pytest.mark.parametrize("task", LOST)
def test_a_file_that_cannot_be_is_refused(task):
    named = "names no file" if task[:1] in ("~", "x", "\ud800") else "There is no"
    assert unless_refused(named, lambda: validated("05-agreement", {"task": task})) is None


@law(80, 2000)
@given(st.data())
def test_any_parameter_has_a_meaning_or_is_refused(data):
    TRIED.append(1)
    notebook = data.draw(st.sampled_from(sorted(DECLARED)))
    own = st.sampled_from(sorted(DECLARED[notebook])) if DECLARED[notebook] else NAMES
    values = data.draw(st.dictionaries(own | NAMES, VALUES, min_size=1, max_size=3))
    accepted = unless_refused("", lambda: validated(notebook, values))
    if accepted is None:
        return
    for name, value in values.items():
        assert name in DECLARED[notebook]
        assert getattr(accepted, name) == value
    if "encoders" in DECLARED[notebook]:
        assert len(set(map(str, accepted.specs()))) == len(accepted.specs())


# What YAML 1.1 writes without quotes and 1.2 takes for a number is left out.
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=12).filter(lambda text: not re.match(r"[-+]?[.\d]*[eE]", text)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner),
    max_leaves=6,
)


@law(80, 3000)
@given(PLAIN, st.booleans())
def test_a_file_of_parameters_says_what_was_dumped(tmp_path, value, flow):
    TRIED.append(1)
    path = tmp_path / "parameters.yml"
    written = yaml.safe_dump({"it": value}, default_flow_style=flow, sort_keys=False)
    path.write_text(written, encoding="utf-8")
    assert repr(read_parameters(path)) == repr({"it": value})


PIECES = (
    "!!", "!!int ", "!!float ", "!!timestamp ", "!!bool ", "!!binary ", "!!set ", "!!omap ",
    "!!python/name:os.system ", "&a ", "*a", "- ", "? ", ": ", "[", "]", "{", "}", "<<: ", "|", ">",
    "%", "@", "`", '"', "'", "\n", "\n  ", "#", "---", "...", "010", "1:30", "no", ".inf", "1e3",
    "9" * 5000, "&a [*a]", "&a {b: *a}",
)  # fmt: skip
YAML = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=8).map("".join)


@law(120, 5000)
@given(YAML)
def test_any_text_is_yaml_or_is_not(text):
    TRIED.append(1)
    try:
        found = load_yaml(text)
    except yaml.YAMLError:
        return
    json.dumps(found, default=str, skipkeys=True)  # finite, and holds nothing of itself


@pytest.mark.parametrize("text", ["[" * 3000, "{a: " * 3000, "a: &a [b]\nb: *a", "a: &a [*a]"])
def test_what_has_no_end_is_not_yaml(tmp_path, text):
    path = tmp_path / "parameters.yml"
    path.write_text(text)
    with pytest.raises(UserError, match="is not YAML"):
        read_parameters(path)


# -- projections, as trained: in single precision, on many scores of any size --
KINDS = (
    {"projection": "softmax"},
    {"projection": "sparsemax"},
    {"projection": "sparsegen", "lam": 0.9},
    {"projection": "sparsegen", "lam": -50.0},
    {"projection": "entmax", "alpha": 1.0},
    {"projection": "entmax", "alpha": 1.5},
    {"projection": "entmax", "alpha": 3.0},
)
SCORES = st.lists(
    st.sampled_from([0.0, 1.0, -1.0, 0.1]) | st.floats(-1e4, 1e4, width=32, allow_subnormal=False),
    min_size=1,
    max_size=40,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
@law(20, 500)
@given(given_=SCORES, padding=st.integers(0, 5), random=st.randoms())
def test_weights_in_single_precision(kind, given_, padding, random):
    TRIED.append(1)
    scores = torch.tensor([*given_, *[7.0] * padding])
    mask = torch.arange(len(scores)) < len(given_)
    weights = project(scores, mask, **kind)
    assert weights.dtype == torch.float32
    assert (weights >= 0).all()
    assert (weights[~mask] == 0).all()
    assert weights.sum().item() == pytest.approx(1, abs=2e-6 * len(given_) + 1e-5)
    # Equal scores weigh the same, to the bit; a larger one never less.
    for score in set(given_):
        assert len(weights[mask][scores[mask] == score].unique()) == 1
    assert (weights[mask][scores[mask].argsort()].diff() >= -1e-6).all()
    order = list(range(len(given_)))
    random.shuffle(order)
    moved = project(scores[mask][order], mask[mask], **kind)
    torch.testing.assert_close(moved, weights[mask][order], atol=1e-5, rtol=1e-4)
    if max(map(abs, given_)) <= 4:  # else the sum rounds the scores themselves
        shifted = project(scores + 2, mask, **kind)
        torch.testing.assert_close(shifted, weights, atol=1e-4, rtol=1e-3)


# -- measures --
# Measure → of what, and its bounds; n stands for the tokens.
MEASURES = {
    "entropy": (lambda x, y, n: per_document.entropy(x, n), 0, np.log),
    "dispersion": (lambda x, y, n: per_document.dispersion(x, n), 0, 1),
    "effective": (lambda x, y, n: per_document.effective_tokens(x, n), 1, lambda n: n),
    "support": (lambda x, y, n: per_document.support_size(x, n), 0, lambda n: n),
    "share": (lambda x, y, n: per_document.attended_share(x, n), 0, 1),
    "auc": (lambda x, y, n: per_document.attended_auc(x, y, n), 0, 1),
    "tau attended": (lambda x, y, n: per_document.tau_attended(x, y, n), -1, 1),
    "mass": (lambda x, y, n: per_document.attended_mass(x, y, n), 0, 1),
    "tau": (lambda x, y, n: kendall_tau(x, y, n), -1, 1),
    "ceiling": (lambda x, y, n: tau_ceiling(x, n, y), 0, 1),
}
WEIGHTS = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1e6, allow_subnormal=False)


@st.composite
def documents(draw):
    count, n = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    x, y = (draw(arrays(np.float64, (count, n), elements=WEIGHTS)) for _ in "xy")
    return x, y, draw(arrays(np.int64, count, elements=st.integers(0, n)))


@pytest.mark.parametrize("name", MEASURES)
@law(25, 400)
@given(given_=documents(), filling=st.sampled_from([np.nan, 1.0, 1e9]), random=st.randoms())
def test_measures_lie_in_bounds_and_do_not_depend_on_what_they_should_not(
    name, given_, filling, random
):
    TRIED.append(1)
    x, y, lengths = given_
    measure, low, high = MEASURES[name]
    value = measure(x, y, lengths)
    defined = ~np.isnan(value)
    top = high(lengths.clip(1)) if callable(high) else np.full(len(lengths), high)
    assert (value[defined] >= low - 1e-12).all()
    assert (value[defined] <= top[defined] * (1 + 1e-12) + 1e-12).all()

    def agrees(x, y, n=lengths):
        np.testing.assert_allclose(measure(x, y, n), value, atol=1e-9, rtol=1e-9)

    agrees(4 * x, 0.5 * y)  # a unit of attention or importance
    padded = np.arange(x.shape[1]) >= lengths[:, None]
    agrees(np.where(padded, filling, x), np.where(padded, filling, y))  # what is padded
    wider = np.pad(x, ((0, 0), (0, 3)), constant_values=0.5)
    agrees(wider, np.pad(y, ((0, 0), (0, 3)), constant_values=0.5))
    orders = np.tile(np.arange(x.shape[1]), (len(x), 1))
    for order, n in zip(orders, lengths, strict=True):  # the order of the tokens
        first = list(order[:n])
        random.shuffle(first)
        order[:n] = first
    agrees(*(np.take_along_axis(one, orders, 1) for one in (x, y)))
    for place in range(len(x)):  # the company of a document
        one = slice(place, place + 1)
        alone = measure(x[one], y[one], lengths[one])
        np.testing.assert_allclose(alone, value[one], atol=1e-12, rtol=1e-12)
    if name == "tau":
        np.testing.assert_allclose(kendall_tau(y, x, lengths), value, atol=1e-12)
        assert (value <= tau_ceiling(x, lengths, y) + 1e-9)[defined].all()

"""A store or a results folder from a stranger runs nothing, takes no memory to speak of, and leads
nowhere else; parameters in YAML mean what a reader means, or are refused."""

import ast
import hashlib
import json
import os
import pickle
import resource
import shutil
import struct
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
from trusted import record, times

import sparseattn
from sparseattn import __main__ as command
from sparseattn import files
from sparseattn.errors import UserError
from sparseattn.experiments.cluster import failure, submit
from sparseattn.experiments.runs import Run
from sparseattn.experiments.specs import KINDS, adversaries_of, examinations_of, grid
from sparseattn.experiments.store import Store
from sparseattn.report.parameters import load_yaml, validated
from sparseattn.results import parquet, published, publishing

SOURCES = sorted(Path(sparseattn.__file__).parent.rglob("*.py"))


class Bomb:
    """What leaves a mark where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture(scope="module")
def specs():
    run = tiny.spec(vectors="task")
    return [run, *adversaries_of([run], ["uniform"]), *examinations_of([run], 3)]


@pytest.fixture(scope="module")
def made(tmp_path_factory, specs):
    store = Store(tmp_path_factory.mktemp("store") / "store")
    for spec in specs:
        store.compute(spec, tiny.task())
    publishing.publish(store.runs(), store.root.parent / "results")
    return store


@pytest.fixture
def store(made, tmp_path):
    return Store(shutil.copytree(made.root, tmp_path / "store"))


@pytest.fixture
def results(made, tmp_path):
    return shutil.copytree(made.root.parent / "results", tmp_path / "results")


def use(store, specs, results=None):
    """Read all that commands and pages read of a store, or of results; return what was refused."""
    said = []

    def tried(work):
        try:
            return work()
        except UserError as error:
            said.append(str(error))

    for kept in (*(partial(store.results, kind) for kind in KINDS), store.damaged):
        tried(kept)
    for spec in specs:
        one = tried(partial(store.find, spec, tiny.task()))
        if one is not None:
            tried(one.measurements)
            tried(partial(store.get, one.key))
        if isinstance(one, Run):
            tried(one.classifier)
            tried(partial(getattr, one, "curve"))
    tried(store.verify)
    if results:
        tried(lambda: [one.measurements() for one in published.runs(folder=results)])
        tried(lambda: published.tasks(results))
    return said


def signed(folder):
    """Give a folder the checksums of what is in it now, as a stranger would."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
        if path.name != files.SUMS and path.is_file()
    ]
    (folder / files.SUMS).write_text("".join(lines))


def manifest(folder, change):
    """Change a manifest, its sizes and checksums with it."""
    content = json.loads((folder / files.MANIFEST).read_text())
    content["files"] = {name: (folder / name).stat().st_size for name in content["files"]}
    change(content)
    (folder / files.MANIFEST).write_text(json.dumps(content))
    signed(folder)


# --- nothing is executed ---


def test_no_source_loads_what_could_run():
    """By its syntax: whatever unpickles or evaluates is not there, and YAML has one safe loader."""
    refused = {
        ("pickle", "load"), ("pickle", "loads"), ("torch", "load"), ("np", "load"),
        ("pd", "read_pickle"), ("pd", "read_hdf"), ("joblib", "load"), ("dill", "load"),
        ("cloudpickle", "load"), ("yaml", "full_load"), ("yaml", "unsafe_load"),
        ("yaml", "load_all"), ("os", "system"), ("marshal", "loads"), ("shelve", "open"),
    }  # fmt: skip
    loaders = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile_source"), source
            elif isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
                called = node.func.value.id, node.func.attr
                assert called not in refused, (source, node.lineno)
                if called == ("yaml", "load"):
                    loaders.add((source.name, ast.unparse(node.keywords[0].value)))
    assert loaders == {("parameters.py", "_Loader")}


def test_a_pickle_under_any_name_is_not_loaded(store, results, specs, tmp_path, monkeypatch):
    """With checksums that agree: they guard against accidents, not against strangers."""
    mark = tmp_path / "executed"
    bomb = pickle.dumps(Bomb(mark))
    pickle.loads(bomb)  # it works
    mark.rmdir()
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, None)
    monkeypatch.setattr("torch.load", None)
    monkeypatch.setattr("numpy.load", None)
    tried = 0
    for kind in ("runs", "adversaries", "examinations", "vectors"):
        (folder,) = (path for path in (store.root / kind).iterdir() if path.name != "locks")
        for path in sorted(folder.iterdir()):
            whole = {one: one.read_bytes() for one in folder.iterdir()}
            path.write_bytes(bomb)
            if path.name not in (files.SUMS, files.MANIFEST) and kind != "vectors":
                manifest(folder, lambda content: None)
            elif path.name != files.SUMS:
                signed(folder)
            if kind == "vectors":
                shutil.rmtree(store.root / "runs")
                store.compute(specs[0], tiny.task())
            else:
                use(store, specs)
            tried += 1
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for one, content in whole.items():
                one.write_bytes(content)
    for path in sorted(path for path in results.rglob("*") if path.is_file()):
        content = path.read_bytes()
        path.write_bytes(bomb)
        if path.suffix == ".parquet":
            rewrite(path.with_suffix(".json"), sha256=hashlib.sha256(bomb).hexdigest())
        assert any(path.name in one for one in use(store, [], results))
        path.write_bytes(content)
        tried += 1
    assert not mark.exists()
    record("hostile-pickles", "pickles under the name of a file that is read", tried, 0)


def rewrite(path, **entries):
    content = parquet.read_json(path, [])
    parquet.write_json(path, {**content, **entries})


def test_a_parquet_extension_type_runs_nothing(results, tmp_path):
    mark = tmp_path / "executed"
    told = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Bomb(mark)),
    }
    (path,) = results.rglob("*.parquet")
    table = pq.read_table(path)
    field = table.schema.field("value").with_metadata(told)
    put(path, table.cast(table.schema.set(2, field)))
    use(Store(tmp_path / "none"), [], results)
    assert not mark.exists()


def put(path, table, **options):
    """Write a table in the place of a published one, with its checksum."""
    pq.write_table(table, path, **options)
    content = path.read_bytes()
    rewrite(path.with_suffix(".json"), sha256=hashlib.sha256(content).hexdigest())


def test_results_of_jobs_are_unpickled_from_folders_of_our_own_only(tmp_path, monkeypatch):
    mark = tmp_path / "executed"
    for number in range(3):
        folder = tmp_path / "store" / "jobs" / str(number)
        folder.mkdir(parents=True)
        (folder / f"{number}_0_result.pkl").write_bytes(pickle.dumps(Bomb(mark)))
    (job,) = submit([tiny.spec()], Store(tmp_path / "store"), "debug", timeout_min=5)
    inside = Path(job.paths.folder).relative_to(tmp_path / "store" / "jobs")
    assert len(inside.parts) == 2
    assert inside.parts[0] not in ("0", "1", "2")
    assert failure(job) is None
    assert not mark.exists()


# --- sizes are bounded before anything is read ---


def sparse_file(path, size=2**40):
    """A file of a terabyte that takes no room."""
    with open(path, "r+b") as file:
        file.truncate(size)


@pytest.fixture
def little_memory():
    """Let this process ask for no more than 2 GiB beyond what it has."""
    had = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (had + 2**31, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_absurd_sizes_are_refused_unread(store, results, specs, little_memory):
    key = store.runs()[0].key
    folder, tried = store.root / "runs" / key, 0
    for name in (files.MANIFEST, files.SUMS, files.CURVE, files.TRACES, files.WEIGHTS):
        content = (folder / name).read_bytes()
        sparse_file(folder / name)
        assert store.find(specs[0], tiny.task()) is None
        (aside,) = (store.root / "damaged").iterdir()
        aside.rename(folder)
        (folder / name).write_bytes(content)
        tried += 1
    run = store.find(specs[0], tiny.task())
    whole = {path: path.read_bytes() for path in folder.iterdir()}
    manifest(folder, lambda content: content["files"].update({files.WEIGHTS: 2**40}))
    sparse_file(folder / files.WEIGHTS)
    with pytest.raises(UserError, match=r"1,099,511,627,776 bytes, more than"):
        run.classifier()
    (aside,) = (store.root / "damaged").iterdir()
    aside.rename(folder)
    for path, content in whole.items():
        path.write_bytes(content)
    for path in sorted(path for path in results.rglob("*") if path.is_file()):
        content = path.read_bytes()
        sparse_file(path)
        (said,) = use(store, [], results)
        assert path.name in said
        assert "more than" in said
        path.write_bytes(content)
        tried += 1
    # Safetensors whose header says that it, or a tensor, is as large as the memory of nobody.
    header = json.dumps({"lengths": {"dtype": "F32", "shape": [2**50], "data_offsets": [0, 2**52]}})
    for claim in (2**60, len(header)):
        (folder / files.TRACES).write_bytes(struct.pack("<Q", claim) + header.encode())
        manifest(folder, lambda content: None)
        with pytest.raises(UserError, match="is not what a run holds"):
            _ = store.find(specs[0], tiny.task()).traces
        assert store.find(specs[0], tiny.task()) is None
        (*_, aside) = sorted((store.root / "damaged").iterdir())
        aside.rename(folder)
        tried += 1
    nested = "[" * 100_000
    (folder / files.MANIFEST).write_text(nested)
    signed(folder)
    assert store.find(specs[0], tiny.task()) is None
    (record_file,) = (path for path in results.rglob("*.json") if path.name != parquet.TASK)
    record_file.write_text(nested)
    assert "is not JSON" in use(store, [], results)[0]
    record("hostile-sizes", "files and headers of absurd sizes", tried + 2, 0)


def test_parquet_bombs_are_refused_by_what_they_declare(results, tmp_path, little_memory):
    (path,) = results.rglob("*.parquet")
    nothing = Store(tmp_path / "none")
    rows = 2**25  # 300 MB in memory, less than one packed
    codes = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2**20, np.int16)), ["a"])
    zeros = np.zeros(2**20, np.int32)
    schema = pa.schema(
        {"quantity": codes.type, "document": pa.int32(), "value": pa.float32()}
    )  # fmt: skip
    piece = pa.table([codes, zeros, zeros.astype(np.float32)], schema=schema)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for _ in range(rows // 2**20):
            writer.write_table(piece)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    rewrite(path.with_suffix(".json"), sha256=sha256)
    assert path.stat().st_size < 2**20
    (said,) = use(nothing, [], results)
    assert f"it says that it holds {rows:,} numbers" in said
    for table, why in (
        (piece.slice(0, 7), "has not"),
        (piece.drop_columns("document"), "its columns"),
        (piece.slice(0, 2).set_column(2, "value", pa.array(["a", "b"])), "its columns"),
    ):
        put(path, table)
        assert why in use(nothing, [], results)[0]
    rewrite(path.with_suffix(".json"), documents=2**60)
    assert "number of documents" in use(nothing, [], results)[0]
    record("hostile-parquet", "Parquet files that declare too much, or something else", 5, 0)


# --- nothing leads elsewhere ---


def test_no_path_leads_out_of_a_store(store, specs, tmp_path, monkeypatch):
    secret, tried = tmp_path / "secret", 0
    secret.mkdir()
    (secret / "manifest.json").write_text('{"a": 1}')
    signed(secret)
    opened = []
    real = os.open

    def watching(path, *rest, **more):
        found = real(path, *rest, **more)
        opened.append(os.path.realpath(f"/proc/self/fd/{found}"))
        return found

    monkeypatch.setattr(os, "open", watching)
    key = store.runs()[0].key
    folder = store.root / "runs" / key
    for name in ("../../../secret", str(secret), "..", "", "../" * 9 + "etc/passwd", f"{key}/../"):
        assert store.get(name) is None
        tried += 1
    kept = tmp_path / "kept"
    shutil.copytree(store.root, kept)

    def named(name):
        manifest(folder, lambda content: content["files"].update({name: 1}))

    def linked(path, to):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.symlink_to(to)

    cases = [
        lambda: named("../../../secret/manifest.json"),
        lambda: named(str(secret / "manifest.json")),
        lambda: manifest(folder, lambda content: content.update(key="../../secret")),
        lambda: manifest(folder, lambda content: content.update(key="0" * 16)),
        lambda: manifest(folder, lambda content: content.update(identity="../../secret")),
        lambda: linked(folder, secret),
        lambda: linked(folder / files.TRACES, secret / "manifest.json"),
        lambda: linked(folder / files.MANIFEST, secret / "manifest.json"),
        lambda: linked(store.root / "runs", secret),
        lambda: linked(store.root / "locks", secret),
        lambda: linked(store.root / "partial", secret),
        lambda: linked(store.root / "locks" / f"{key}.lock", secret / "manifest.json"),
        lambda: linked(store.root / "vectors", secret),
        lambda: (linked(store.root / "damaged", secret), (folder / files.TRACES).unlink()),
    ]
    before = sorted((path.name, path.read_bytes()) for path in secret.iterdir())
    for number, prepare in enumerate(cases):
        shutil.rmtree(store.root)
        shutil.copytree(kept, store.root)
        prepare()
        opened.clear()
        said = use(store, specs)
        for spec in specs[: times(1, 3)]:
            try:
                store.compute(spec, tiny.task())
            except UserError as error:
                said.append(str(error))
        assert not [path for path in opened if path.startswith(str(secret))], number
        assert sorted((path.name, path.read_bytes()) for path in secret.iterdir()) == before
        tried += 1
    record("hostile-paths", "paths and links that lead out of a store", tried, 0)


def test_no_path_leads_out_of_published_results(results, tmp_path):
    secret = tmp_path / "secret"
    shutil.copytree(results / "planted", secret)
    (path,) = (one for one in results.rglob("*.json") if one.name != parquet.TASK)
    nothing = Store(tmp_path / "none")
    content = path.read_bytes()
    for key in (f"../../secret/{path.stem}", str(secret / path.stem), "0" * 16, 7):
        rewrite(path, key=key)
        assert "of another key" in use(nothing, [], results)[0]
        path.write_bytes(content)
    path.unlink()
    path.symlink_to(secret / path.name)
    assert "link" in use(nothing, [], results)[0]
    shutil.rmtree(results / "planted")
    (results / "planted").symlink_to(secret)
    assert "link" in use(nothing, [], results)[0]
    record("hostile-results", "paths and links that lead out of a results folder", 6, 0)


def test_publishing_writes_through_no_link(made, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_text("precious")
    folder = tmp_path / "results" / "planted"
    folder.mkdir(parents=True)
    for name in (f"{made.runs()[0].key}.parquet", f"{made.runs()[0].key}.json", parquet.TASK):
        (folder / f".{name}.partial").symlink_to(theirs)
        (folder / f"{name}.partial").symlink_to(theirs)
    publishing.publish(made.runs(), tmp_path / "results")
    assert theirs.read_text() == "precious"
    assert len(published.runs(folder=tmp_path / "results")) == 1


# --- YAML ---

MEANT = [
    ("no", "no"), ("off", "off"), ("y", "y"), ("010", "010"), ("1:30", "1:30"), ("0x1F", "0x1F"),
    ("1_000", "1_000"), ("0o17", "0o17"), ("2020-01-01", "2020-01-01"), ("=", "="), ("1,5", "1,5"),
    ("1e-3", 0.001), ("1E3", 1000.0), ("-.5", -0.5), ("+7", 7), ("0", 0), ("-0", 0),
    ("true", True), ("null", None), ("none", "none"), ("1.2.3", "1.2.3"), ("<<", "<<"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), MEANT)
@pytest.mark.parametrize("where", ["-p", "file", "list"])
def test_a_value_means_what_it_looks_like(tmp_path, text, value, where):
    if where == "-p":
        found = command._pairs([f"x={text}"])["x"]
    elif where == "list":
        (found,) = [text] if "," in text else command._listed("x", text)
    else:
        (tmp_path / "p.yml").write_text(f"x: {text}\n", encoding="utf-8")
        found = command._from_file(tmp_path / "p.yml")["x"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("010", "Write 10."),
        ("1_000", "Write 1000."),
        ("1:30", "Write a plain number"),
        ("0x1F", "Write a plain number"),
        ("no", "valid integer"),
        ("1e3", "was 1000.0; expected a valid integer"),
        ("three", "valid integer"),
    ],
)
def test_a_number_that_is_none_here_is_refused_and_says_how_to_write_it(text, said):
    for ask in (
        lambda value: grid(epochs=value),
        lambda value: grid(seeds=[value]),
        lambda value: validated("05-agreement", {"epochs": value}),
    ):
        with pytest.raises(UserError, match=r"'(epochs|seeds)' was") as refused:
            ask(load_yaml(text))
        assert said in str(refused.value)
    with pytest.raises(UserError, match=r"Write 0\.001\."):
        grid(learning_rate=load_yaml("0,001"))


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.mkdir [{mark}]",
        "!!python/name:os.system",
        "!!python/object/new:os.mkdir {{args: [{mark}]}}",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
        "{{seeds: [0], seeds: [1]}}",
        "[" * 5000,
        "a: !unknown 1",
        "\0",
    ],
)
def test_hostile_yaml_is_refused(tmp_path, text):
    (tmp_path / "p.yml").write_text(text.format(mark=tmp_path / "executed"))
    given = (tmp_path / "p.yml").read_text()
    with pytest.raises(UserError, match="is not YAML"):
        command._from_file(tmp_path / "p.yml")
    if given.startswith("!"):  # as a path may
        assert command._pairs([f"x={given}"]) == {"x": given}
    else:
        with pytest.raises(UserError, match="is not YAML"):
            command._pairs([f"x={given}"])
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("option", ["--learning-rate", "--epochs"])
def test_options_are_numbers_too(option, capsys):
    for text in ("nan", "1:30", "no"):
        with pytest.raises(SystemExit) as stopped:
            command.main(["adversary", option, text])
        assert stopped.value.code == 2
        assert capsys.readouterr().err

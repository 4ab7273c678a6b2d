"""Nothing is lost, and no wrong number shown, whatever a machine does to a command.

Killed at a moment or right before any change of a file, out of room, with a store that cannot be
written, four at once, or after somebody damaged what was stored: what is there is to the bit what
an undisturbed command makes, what was finished is found, and the same command makes the rest.
"""

import json
import os
import random
import shutil
import subprocess
import textwrap
import time
from contextlib import contextmanager

import killing
import nbformat
import pytest
import tiny
from trusted import record, times

from sparseattn import files, paths
from sparseattn.errors import UserError
from sparseattn.experiments.specs import KINDS, adversaries_of, examinations_of, grid
from sparseattn.experiments.store import Store
from sparseattn.report.execution import is_current
from sparseattn.results import parquet, published

SETTINGS = {**tiny.SETTINGS, "epochs": 3}
OPTIONS = [
    part
    for name, value in {**SETTINGS, "vectors": "task"}.items()
    if name != "encoder"
    for part in ("-p", name, json.dumps(value))
]
GRID = ["--projections", "softmax,sparsemax", *OPTIONS, "--jobs", "1"]
STAGES = {
    "runs": ["sweep", "--encoders", "bilstm,none", *GRID],
    "adversaries": ["adversary", "--variants", "frozen,uniform", *GRID],
    "examinations": ["examine", "--documents", "4", *GRID],
}


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    with killing.commands(tmp_path_factory.mktemp("logs")) as server:
        yield server


@pytest.fixture(scope="module")
def whole(commands, tmp_path_factory):
    """A store with all that the stages make, undisturbed; what each did and how long it took."""
    root, ended = tmp_path_factory.mktemp("whole") / "store", {}
    for stage, command in STAGES.items():
        ended[stage] = commands.run(*command, env={"SPARSEATTN_STORE": str(root)}, watch=root)
        assert ended[stage].code == 0, ended[stage].said
    return Store(root), ended


def specs():
    made = grid(
        encoders=["bilstm", "none"], projections=["softmax", "sparsemax"], vectors="task",
        **{name: value for name, value in SETTINGS.items() if name != "encoder"},
    )  # fmt: skip
    return {
        "runs": made,
        "adversaries": adversaries_of(made[:2], ["frozen", "uniform"]),
        "examinations": examinations_of(made[:2], 4),
    }


def bits(store, kinds=KINDS):
    """Return the checksums of all tensors that a store finds, by kind and key."""
    found = {}
    for kind in kinds:
        for spec in specs()[kind]:
            if (one := store.find(spec, tiny.task())) is not None:
                lines = (one.path / files.SUMS).read_text().splitlines()
                found[kind, one.key] = sorted(line for line in lines if "safetensors" in line)
                assert all(files.read(one.path, line.split()[1]) for line in found[kind, one.key])
    return found


def dates(store):
    return {one.key: one.manifest["date"] for one in store.runs()}


def beginning(whole, stage, folder):
    """Return a store of what a stage rests on, and nothing of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    if stage != "runs":
        shutil.copytree(whole.root / "runs", folder / "runs")
    return Store(folder)


# --- kill -9 ---


@pytest.mark.parametrize(
    ("stage", "more", "few", "many"),
    [
        ("runs", [], 2, 24),
        ("runs", ["--jobs", "2"], 0, 6),
        ("adversaries", [], 1, 16),
        ("examinations", [], 1, 16),
    ],
)
def test_kills_of_computing(commands, whole, tmp_path, stage, more, few, many):
    if not times(few, many):
        pytest.skip("make trust tries this")
    store, undisturbed = whole
    expected = bits(store, [stage])
    here, draw = beginning(store, stage, tmp_path / "store"), random.Random(stage)
    command, env = [*STAGES[stage], *more], {"SPARSEATTN_STORE": str(here.root)}
    finished = {}
    for number in range(times(few, many)):
        if number % 2 or more:  # at a moment
            after = draw.uniform(0, undisturbed[stage].seconds * (3 if more else 1))
            ended = commands.killed(*command, env=env, after=after)
        else:  # right before a file changes, as when a result is stored
            at = draw.randint(1, undisturbed[stage].changes)
            ended = commands.run(*command, env=env, watch=here.root, at=at)
        assert ended.code in (-9, 0), ended.said
        found = bits(here, [stage])
        assert found.items() <= expected.items()
        assert finished.items() <= found.items()  # what was finished once is never lost
        finished = found
        if ended.code == 0 or len(found) == len(expected):
            here, finished = beginning(store, stage, here.root), {}
    before = dates(here)
    ended = commands.run(*command, env=env)
    assert ended.code == 0, ended.said
    assert bits(here, [stage]) == expected
    assert before.items() <= dates(here).items()
    assert here.verify().empty
    assert not list((here.root / "partial").iterdir())
    name, ending = (f"{stage}, two at once", "-parallel") if more else (stage, "")
    record(f"kills-{stage}{ending}", f"kill -9 while computing {name}", times(few, many), 0)


def project(folder):
    """A project of one notebook, apart from ours."""
    source = """
        # ---
        # jupyter:
        #   kernelspec:
        #     display_name: Python 3
        #     language: python
        #     name: python3
        # ---

        # %% [markdown]
        # # A page

        # %% tags=["parameters", "hide-input"]
        lams = [0.0]

        # %%
        from sparseattn.report import parameters

        p = parameters.check(globals(), "01-page")

        # %%
        import time

        time.sleep(0.3)
        print("the number is", 1 / (1 - p.lams[0]))

        # %%
        from sparseattn.report.provenance import Provenance

        Provenance(p)
        """
    for inside in ("book/results", "notebooks"):
        (folder / inside).mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    (folder / "requirements.txt").write_text("torch\n")
    (folder / "notebooks" / "01-page.py").write_text(textwrap.dedent(source).lstrip())
    (folder / "book" / "page.md").write_text("# The first\n")
    card = paths.book() / "_templates" / "card.svg"
    (folder / "book" / "_templates").mkdir()
    shutil.copy(card, folder / "book" / "_templates" / card.name)
    (folder / "_config.yml").write_text("title: t\nexecute: {execute_notebooks: 'off'}\n")
    toc = {"format": "jb-book", "root": "page", "chapters": [{"file": "notebooks/01-page"}]}
    (folder / "_toc.yml").write_text(json.dumps(toc))
    return folder


def shown(notebook):
    """Return the numbers that a notebook shows, if it is there."""
    if not notebook.is_file():
        return None
    cells = nbformat.read(notebook, as_version=4).cells
    texts = [one.get("text", "") for cell in cells for one in cell.get("outputs", [])]
    return [text.strip() for text in texts if text.startswith("the number")]


def gone(commands, log):
    """Tell whether all that a command started ends by itself within some seconds."""
    until = time.monotonic() + 30
    while commands.left(log) and time.monotonic() < until:
        time.sleep(0.2)
    return not commands.left(log)


@pytest.fixture(scope="module")
def executed(commands, tmp_path_factory):
    """An executed notebook, and how its execution went."""
    root = project(tmp_path_factory.mktemp("executed") / "project")
    env, output = {"SPARSEATTN_ROOT": str(root)}, root.parent / "out.ipynb"
    command = ["run", "01-page", "-o", str(output), "-p", "lams"]
    undisturbed = commands.run(*command, "[0.5]", env=env)
    assert undisturbed.code == 0, undisturbed.said
    assert shown(output) == ["the number is 2.0"]
    return root, output, command, undisturbed


def test_kills_of_a_notebook(commands, executed):
    root, output, command, undisturbed = executed
    env = {"SPARSEATTN_ROOT": str(root)}
    draw, tries = random.Random(0), times(1, 12)
    for _ in range(tries):
        before = output.read_bytes()
        job = commands.start(*command, "[0.75]", env=env)
        time.sleep(draw.uniform(0, undisturbed.seconds))
        os.killpg(job["pid"], 9)
        assert commands.wait(job).code in (-9, 0)
        assert output.read_bytes() == before or shown(output) == ["the number is 4.0"]
        assert gone(commands, job["log"])  # its kernel, too
    assert commands.run(*command, "[0.75]", env=env).code == 0
    assert shown(output) == ["the number is 4.0"]
    assert sorted(path.name for path in root.parent.iterdir()) == ["out.ipynb", "project"]
    record("kills-notebook", "kill -9 while executing a notebook", tries, 0)


def test_kills_of_a_book(commands, tmp_path):
    root = project(tmp_path / "project")
    env, page = {"SPARSEATTN_ROOT": str(root)}, root / "_build" / "html" / "page.html"
    tries, draw = times(0, 8), random.Random(1)
    if not tries:
        pytest.skip("a real book is built by make trust; its last step is tried below")
    undisturbed = commands.run("book", env=env)
    assert undisturbed.code == 0, undisturbed.said
    (page.parent / "CNAME").write_text("example.org")
    for number in range(tries):
        before = page.read_text()
        (root / "book" / "page.md").write_text(f"# Edition {number}\n")
        source = root / "notebooks" / "01-page.py"
        source.write_text(source.read_text().replace("A page", "A page again"))
        job = commands.start("book", env=env)
        time.sleep(draw.uniform(0, undisturbed.seconds))
        os.killpg(job["pid"], 9)
        commands.wait(job)
        assert page.read_text() == before or f"Edition {number}" in page.read_text()
        assert gone(commands, job["log"])
    ended = commands.run("book", env=env)
    assert ended.code == 0, ended.said
    assert f"Edition {tries - 1}" in page.read_text()
    assert "the number is 1.0" in (page.parent / "notebooks" / "01-page.html").read_text()
    assert (page.parent / "CNAME").read_text() == "example.org"
    record("kills-book", "kill -9 while building a book", tries, 0)


def test_a_kill_before_each_step_of_putting_a_book_in_its_place(commands, tmp_path):
    root, site, kept = project(tmp_path / "project"), tmp_path / "site", tmp_path / "kept"
    book = site / "b"
    command = ["book", "-o", book]
    options = {"setup": "fake_book", "watch": site, "env": {"SPARSEATTN_ROOT": str(root)}}
    assert commands.run(*command, **options).code == 0
    (book / "CNAME").write_text("example.org")
    shutil.copytree(site, kept)
    (root / "book" / "page.md").write_text("# The second\n")
    last = commands.run(*command, **options).changes
    steps = range(last - 1, last + 1) if times(1, 0) else range(1, last + 1)
    for at in steps:
        shutil.rmtree(site)
        shutil.copytree(kept, site)
        assert commands.run(*command, at=at, **options).code == -9
        if book.is_dir():
            one, other = (book / "index.html", book / "notebooks" / "01-page.html")
            assert one.read_text() == other.read_text()
            assert one.read_text() in ("# The first\n", "# The second\n")
        assert commands.run(*command, **options).code == 0
        assert (book / "index.html").read_text() == "# The second\n"
        assert (book / "CNAME").read_text() == "example.org"
        assert [path.name for path in site.iterdir()] == ["b"]
    record(
        "kills-placing", "kill -9 before each step of putting a book in its place", len(steps), 0
    )


def refill(folder, before):
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in before.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def publishing(commands, whole, tmp_path_factory):
    """A project whose results are of older stages, lack a quantity, or are not there yet."""
    root = project(tmp_path_factory.mktemp("publishing") / "project")
    env = {"SPARSEATTN_ROOT": str(root), "SPARSEATTN_STORE": str(whole[0].root)}
    command = ["publish", "--task", "planted"]
    results = root / "book" / "results"
    assert commands.run(*command, env=env).code == 0
    expected = contents(results)
    old, poor, absent, _ = whole[0].runs()
    for run in (old, poor, absent):
        for path in results.rglob(f"{run.key}.*"):
            path.unlink()
    versions = {name: version - 1 for name, version in old.manifest["versions"].items()}
    manifest = {**old.manifest, "versions": versions, "key": old.key[::-1]}
    parquet.write_result(manifest, old.measurements(), results / "planted")
    few = poor.measurements().drop(columns=["tau_inputs_loo"])
    parquet.write_result(poor.manifest, few, results / "planted")
    return command, env, results, contents(results), expected


def test_a_kill_before_each_step_of_publishing(commands, publishing, whole):
    command, env, results, before, expected = publishing
    known = {run.key: run.measurements() for run in whole[0].runs()}
    last = commands.run(*command, env=env, watch=results).changes
    assert contents(results) == expected
    steps = (last // 3, last // 2, last - 1) if times(1, 0) else range(1, last + 1)
    for at in steps:
        refill(results, before)
        assert commands.run(*command, env=env, watch=results, at=at).code == -9
        seen = published.runs(folder=results)
        assert len({published.place(one) for one in seen}) == len(seen) >= 3
        for one in seen:
            numbers = known[one.key if one.key in known else one.key[::-1]]
            for name, values in one.measurements().items():
                assert values.to_list() == pytest.approx(numbers[name], rel=2e-3, nan_ok=True)
        assert commands.run(*command, env=env).code == 0
        assert contents(results) == expected
    record("kills-publishing", "kill -9 before each step of publishing", len(steps), 0)


# --- four at once ---


def test_four_processes_fill_one_store_and_publish(commands, whole, publishing, tmp_path):
    """In orders of their own; none waits in vain, and all come out the same."""
    here, orders = Store(tmp_path / "store"), [*range(4)]
    env = {"SPARSEATTN_STORE": str(here.root)}
    seeds = [f"{order},{(order + 1) % 4}" for order in orders]  # each run is wanted by two
    short = ["--encoders", "none", *OPTIONS, "--jobs", "1"]
    for stage in ("sweep", "examine") if times(0, 1) else ("sweep",):
        jobs = [commands.start(stage, *short, "--seeds", some, env=env) for some in seeds]
        ended = [commands.wait(job) for job in jobs]
        assert [one.code for one in ended] == [0] * 4, [one.said for one in ended]
    assert len(here.runs()) == 4
    assert here.verify().empty
    first = next(spec for spec in specs()["runs"] if spec.encoder == "none")
    (one,) = (run for run in here.runs() if run.spec == first)
    alone = whole[0].find(first, tiny.task())
    assert files.read(one.path, files.TRACES) == files.read(alone.path, files.TRACES)
    assert files.read(one.path, files.WEIGHTS) == files.read(alone.path, files.WEIGHTS)

    command, env, results, before, expected = publishing
    refill(results, before)
    jobs = [commands.start(*command, env=env) for _ in range(4)]
    assert [commands.wait(job).code for job in jobs] == [0] * 4
    assert contents(results) == expected
    record("processes", "processes at once that fill one store and publish from it", 4, 0)


# --- a disk without room, or read-only ---


@contextmanager
def mounted(place, *options):
    try:
        killing.mount(place, *options)
    except OSError as refused:
        pytest.skip(f"nothing may be mounted here: {refused}")
    try:
        yield place
    finally:
        killing.unmount(place)


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=8m", "tmpfs") as place:
        yield place


def test_a_disk_fills_up_while_computing(commands, whole, disk):
    """Each time, right before a file changes, somebody else takes all the room that is left."""
    store, undisturbed = whole
    tries, draw = times(1, 12), random.Random(2)
    for stage in times(["runs"], [*STAGES]):
        command, here = STAGES[stage], beginning(store, stage, disk / "store")
        env, expected = {"SPARSEATTN_STORE": str(here.root)}, bits(store, [stage])
        for _ in range(tries):
            at = draw.randint(1, undisturbed[stage].changes)
            ended = commands.run(*command, env=env, watch=here.root, at=at, fault="fill")
            (here.root / ".ballast").unlink(missing_ok=True)
            found = bits(here, [stage])
            assert found.items() <= expected.items()
            if ended.code == 0:
                assert found == expected
            else:
                assert ended.code == 2, ended.said
                assert "No space left on device" in ended.said
                assert "SPARSEATTN_STORE" in ended.said
                assert "Traceback" not in ended.said
            if len(found) == len(expected):
                here = beginning(store, stage, here.root)
        assert commands.run(*command, env=env).code == 0
        assert bits(here, [stage]) == expected
        assert here.verify().empty
        shutil.rmtree(here.root)
    record("disk-store", "a disk that fills up while computing", tries * len(STAGES), 0)


def test_a_disk_fills_up_while_publishing(commands, publishing, disk):
    command, env, results, before, expected = publishing
    root = shutil.copytree(results.parents[1], disk / "project")
    env, site, steps = {**env, "SPARSEATTN_ROOT": str(root)}, root / "book" / "results", 0
    for at in range(2, times(6, 20), 2):
        refill(site, before)
        ended = commands.run(*command, env=env, watch=site, at=at, fault="fill")
        (site / ".ballast").unlink(missing_ok=True)
        assert ended.code == 0 or "No space left on device" in ended.said
        assert "Traceback" not in ended.said
        assert len(published.runs(folder=site)) >= 3
        assert commands.run(*command, env=env).code == 0
        assert contents(site) == expected
        steps += 1
    record("disk-publishing", "a disk that fills up while publishing", steps, 0)


def test_a_disk_fills_up_while_a_book_is_put_in_its_place(commands, disk):
    root, steps = project(disk / "project"), 0
    options = {"env": {"SPARSEATTN_ROOT": str(root)}, "setup": "fake_book"}
    assert commands.run("book", **options).code == 0
    page = root / "_build" / "html" / "index.html"
    for at in range(1, times(3, 14)):
        first = page.read_text()
        (root / "book" / "page.md").write_text(f"# Edition {at}\n")
        ended = commands.run("book", watch=root / "_build", at=at, fault="fill", **options)
        (root / "_build" / ".ballast").unlink(missing_ok=True)
        assert "Traceback" not in ended.said
        assert page.read_text() == (first if ended.code else f"# Edition {at}\n")
        assert not ended.code or "No space left on device" in ended.said
        steps += 1
    assert commands.run("book", **options).code == 0
    record("disk-book", "a disk that fills up while a book is put in its place", steps, 0)


def test_a_store_that_cannot_be_written(commands, whole, tmp_path):
    root = tmp_path / "store"
    shutil.copytree(whole[0].root, root)
    damaged, *_, last = whole[0].runs()
    flip(root / "runs" / damaged.key / files.TRACES, 100)
    shutil.rmtree(root / "runs" / last.key)
    before, env = contents(root), {"SPARSEATTN_STORE": str(tmp_path / "seen")}
    with mounted(tmp_path / "seen", "--bind", str(root)) as seen:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(seen)], check=True)
        for stage in times(["runs"], [*STAGES]):
            ended = commands.run(*STAGES[stage], env=env)
            assert ended.code == 2
            assert "Read-only file system" in ended.said
            assert "SPARSEATTN_STORE" in ended.said
            assert "Traceback" not in ended.said
            assert f"{damaged.key} is damaged" in ended.said
        assert bits(Store(seen), ["examinations"]) == bits(whole[0], ["examinations"])
        assert len(bits(Store(seen), ["runs"])) == 2
        assert commands.run("ledger", env=env).code == 0
        ended = commands.run("verify", env=env)
        assert ended.code == 1
        assert f"{damaged.key}: {files.TRACES} does not match its checksum" in ended.said
    assert contents(root) == before
    record("read-only", "commands on a store that cannot be written", 5, 0)


# --- damage ---


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def harm(folder, draw):
    """Truncate, flip a bit of, or remove files of a folder; tell which."""
    every = sorted(path for path in folder.iterdir() if path.is_file())
    path, how = draw.choice(every), draw.choice(("truncated", "flipped", "half deleted", "swapped"))
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: draw.randrange(len(content))])
    elif how == "flipped":
        flip(path, draw.randrange(8 * len(content)))
    elif how == "half deleted":
        for one in draw.sample(every, max(1, len(every) // 2)):
            one.unlink()
    else:  # the content of another result, whole and with its own checksums
        other = draw.choice([one for one in folder.parent.iterdir() if one != folder])
        shutil.rmtree(folder)
        shutil.copytree(other, folder)
    return how


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_never_read_but_set_aside_and_made_anew(whole, tmp_path, kind, caplog):
    store, draw = Store(tmp_path / "store"), random.Random(kind)
    shutil.copytree(whole[0].root, store.root)
    expected, tries = bits(whole[0], [kind]), times(1, 40)
    for _ in range(tries):
        key = draw.choice([key for _, key in expected])
        caplog.clear()
        how = harm(store.root / kind / key, draw)
        found = bits(store, [kind]) if how != "flipped" else {}
        assert found.items() <= expected.items()
        problems = store.verify()  # reads the large weights, too
        assert key in [*problems["key"]] or f"{key} is damaged" in caplog.text
        assert f"{store.root / 'damaged' / key}" in caplog.text
        assert len(bits(store, [kind])) == len(expected) - 1
        for spec in specs()[kind]:
            store.compute(spec, tiny.task())
        assert bits(store, [kind]) == expected
    record(f"damage-{kind}", f"{kind} truncated, bit-flipped, half deleted, swapped", tries, 0)


def test_damage_of_weights_shows_when_they_are_needed(commands, whole, tmp_path):
    """An examination needs its run's weights: it says that they are damaged, and goes on then."""
    if times(1, 0):
        pytest.skip("make trust tries this")
    here = beginning(whole[0], "examinations", tmp_path / "store")
    key = here.runs()[0].key
    flip(here.root / "runs" / key / files.WEIGHTS, 5000)
    env = {"SPARSEATTN_STORE": str(here.root)}
    ended = commands.run(*STAGES["examinations"], env=env)
    assert ended.code == 2
    assert f"Run {key} is damaged" in ended.said
    assert "Run the same command again" in ended.said
    assert commands.run(*STAGES["examinations"], env=env).code == 0
    assert bits(here) == bits(whole[0], ["runs", "examinations"])


def test_damage_of_what_is_published_is_refused(publishing, whole, tmp_path):
    results, expected = tmp_path / "results", publishing[4]
    draw, tries = random.Random(3), times(10, 300)
    refill(results, expected)

    def numbers():
        runs, (task,) = published.runs(folder=results), published.tasks(results).values()
        return [
            *({name: one.manifest[name] for name in parquet.RUNS.origin} for one in runs),
            *(one.measurements().to_numpy().tobytes() for one in runs),
            *(task[name] for name in ("fingerprint", "splits", "deviations", "documents")),
        ]

    before, refused = numbers(), 0
    for _ in range(tries):
        name = draw.choice(sorted(expected))
        path, content = results / name, expected[name]
        if draw.random() < 0.8:
            flip(path, draw.randrange(8 * len(content)))
        else:
            path.write_bytes(content[: draw.randrange(len(content))])
        said = ""
        try:
            seen = numbers()
        except UserError as error:
            said, seen = str(error), before
        assert seen == before  # as where only the order of entries became another
        assert not said or (path.name in said and "git checkout" in said)
        refused += bool(said)
        path.write_bytes(content)
    assert refused > 0.9 * tries
    record("damage-published", "published files truncated or bit-flipped", tries, 0)


def test_an_executed_notebook_with_another_number_is_executed_again(
    executed, tmp_path, caplog, monkeypatch
):
    root, output, *_ = executed
    monkeypatch.setenv("SPARSEATTN_ROOT", str(root))
    content, draw, tries = output.read_bytes(), random.Random(4), times(20, 200)
    copy, numbers = tmp_path / "copy.ipynb", shown(output)
    given = {"lams": [0.5 if numbers == ["the number is 2.0"] else 0.75]}
    assert is_current("01-page", given, output)
    copy.write_bytes(content.replace(b"the number is ", b"the number is 1"))
    assert not is_current("01-page", given, copy)
    assert "executed again" in caplog.text
    for _ in range(tries):
        copy.write_bytes(content)
        flip(copy, draw.randrange(8 * len(content)))
        if is_current("01-page", given, copy):
            assert shown(copy) == numbers
    monkeypatch.undo()
    record("damage-notebook", "executed notebooks with a flipped bit", tries, 0)

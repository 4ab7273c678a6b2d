"""Commands of ours to be killed at a moment, or to meet a full disk there; quick to start.

A server has torch imported and forks a process, in a group of its own, for each command. Faults
come at a moment of time, or right before the n-th change of a file in a folder that is watched
(Python's audit events tell of it before it happens).
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MARK = "SPARSEATTN_VICTIM"
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree")


@dataclass
class Ended:
    """How a command ended: its exit code, minus the signal; what it said; changes; seconds."""

    code: int
    said: str
    changes: int
    seconds: float


class Commands:
    """Starts commands of ours, each in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        self.server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )  # fmt: skip

    def _ask(self, **request: object) -> dict:
        print(json.dumps(request), file=self.server.stdin, flush=True)
        return json.loads(self.server.stdout.readline())

    def start(self, *arguments: str, env=(), watch=None, at=0, fault="kill", setup="") -> dict:
        """Start ``sparseattn ARGUMENTS``; its fault comes before the at-th change in `watch`.

        `setup` is a function of this module, called first with the environment in place.
        """
        self.count += 1
        log = str(self.folder / f"{self.count}.log")
        given = {"env": {**dict(env), MARK: log}, "watch": watch and str(watch), "log": log}
        told = self._ask(
            start=[str(one) for one in arguments], at=at, fault=fault, setup=setup, **given
        )
        return {**told, "log": log, "begun": time.monotonic()}

    def wait(self, job: dict, seconds: float = 300) -> Ended:
        """Wait until a command ends."""
        code = self._ask(wait=job["pid"], seconds=seconds)["code"]
        took = time.monotonic() - job["begun"]
        assert code is not None, f"still running: {Path(job['log']).read_text()}"
        counted = Path(f"{job['log']}.changes")
        changes = int(counted.read_text()) if counted.is_file() else 0
        return Ended(code, Path(job["log"]).read_text(), changes, took)

    def run(self, *arguments: str, **options: object) -> Ended:
        """Run a command to its end."""
        return self.wait(self.start(*arguments, **options))

    def killed(self, *arguments: str, after: float, **options: object) -> Ended:
        """Kill a command and all its group after some seconds, unless it ended before."""
        job = self.start(*arguments, **options)
        time.sleep(after)
        os.killpg(job["pid"], signal.SIGKILL)  # it is not waited for yet, so the group is its own
        return self.wait(job)

    def left(self, job_log: str) -> list[int]:
        """Return the processes that a command left behind, in whatever group."""
        mark, found = f"{MARK}={job_log}".encode(), []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark in environment and int(process.name) != self.server.pid:
                found.append(int(process.name))
        return found

    def close(self) -> None:
        """End the server."""
        self.server.stdin.close()
        self.server.stdout.close()
        self.server.wait(30)


@contextmanager
def commands(folder: Path) -> Iterator[Commands]:
    """Have a server of commands, whose logs go to a folder."""
    server = Commands(folder)
    try:
        yield server
    finally:
        server.close()


def mount(place: Path, *options: str) -> None:
    """Mount something at a folder; an OSError where one may not."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.stderr)


def unmount(place: Path) -> None:
    """Take away what was mounted, whoever still looks at it."""
    subprocess.run(["umount", "--lazy", str(place)], check=True)


# --- in the server and its children ---


def fake_book() -> None:
    """Let a build take no time: pages that say what ``book/page.md`` says."""
    from sparseattn import paths
    from sparseattn.report import book

    def jupyter_book(command: object, **_: object) -> object:
        pages = paths.root() / "_build" / "pages" / "_build" / "html"
        (pages / "notebooks").mkdir(parents=True)
        for page in ("index.html", "notebooks/01-page.html"):
            (pages / page).write_text((paths.book() / "page.md").read_text())
        return subprocess.CompletedProcess([], 0, "", "")

    book._execute = lambda *_: None
    book.subprocess = type("Fake", (), {"run": staticmethod(jupyter_book)})
    book._assemble = lambda *_: None


def _watch(folder: str, at: int, fault: str, log: str) -> None:
    seen = 0
    own = os.getpid()

    def hook(event: str, given: tuple) -> None:
        nonlocal seen
        if event == "open":
            writes = isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR)
            paths = given[:1] if writes else ()
        else:
            paths = given[:2] if event in CHANGES else ()
        inside = [one for one in paths if isinstance(one, str | os.PathLike)]
        if not any(os.fspath(one).startswith(folder) for one in inside) or os.getpid() != own:
            return
        seen += 1
        if seen == at:
            _strike(fault, folder)

    sys.addaudithook(hook)
    global _count
    _count = lambda: Path(f"{log}.changes").write_text(str(seen))  # noqa: E731


def _strike(fault: str, folder: str) -> None:
    if fault == "kill":
        os.killpg(0, signal.SIGKILL)
    descriptor = os.open(f"{folder}/.ballast", os.O_CREAT | os.O_WRONLY)
    try:
        for size in (2**16, 2**10, 1):
            while True:
                try:
                    os.write(descriptor, bytes(size))
                except OSError:
                    break
    finally:
        os.close(descriptor)


def _count() -> None:
    pass


def _child(request: dict) -> None:
    os.setpgid(0, 0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(request["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(request["env"])
    from sparseattn.__main__ import main

    if request["setup"]:
        globals()[request["setup"]]()
    if request["watch"]:
        _watch(request["watch"], request["at"], request["fault"], request["log"])
    code = 1
    try:
        main(request["start"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        _count()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve() -> None:
    import sparseattn.experiments.sweeps  # isort: skip
    import torch._dynamo  # noqa: F401

    import sparseattn.experiments.store
    import sparseattn.report.execution
    import sparseattn.results.publishing  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            if not (pid := os.fork()):
                _child(request)
            os.setpgid(pid, pid)  # here, too: whoever is first
            answer = {"pid": pid}
        else:
            code, until = None, time.monotonic() + request["seconds"]
            while code is None:
                pid, status = os.waitpid(request["wait"], os.WNOHANG)
                if pid:
                    code = os.waitstatus_to_exitcode(status)
                elif time.monotonic() > until:
                    os.killpg(request["wait"], signal.SIGKILL)
                    os.waitpid(request["wait"], 0)
                    break
                else:
                    time.sleep(0.01)
            answer = {"code": code}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()

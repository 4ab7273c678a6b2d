"""How far a sweep is, and when it will end: tqdm's bar, lines, or a line of a notebook."""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from tqdm import tqdm

from sparseattn.experiments.runs import Result
from sparseattn.experiments.specs import AdversarySpec, AnySpec, ExaminationSpec, Spec

BAR = "{percentage:3.0f}%|{bar}| {n}/{total} runs{postfix}"
LINE = "{n}/{total} runs{postfix}"


class Progress:
    """Progress of a sweep: `specs` to compute, so many at once.

    The time is estimated from `earlier` runs until some of these are done; a `guess` gives the
    seconds of a run until one like it is done. `show` is whether anything is shown.
    """

    def __init__(
        self,
        specs: Sequence[AnySpec],
        jobs: int,
        earlier: Iterable[Result],
        show: bool,
        guess: Callable[[AnySpec], float] | None = None,
    ) -> None:
        self.guess = guess
        self.remaining, self.jobs, self.epochs = list(specs), jobs, dict[AnySpec, str]()
        self.known = [(run.spec, run.seconds) for run in earlier if run.state == "current"]
        self.queued = ""
        self.start, self.shown, self.every = time.monotonic(), 0.0, 0.2  # seconds
        display: dict[str, Any] = {"file": sys.stderr, "bar_format": BAR, "dynamic_ncols": True}
        self.line = _notebook_line() if show and _in_notebook() else None
        if self.line:
            display = {"file": _Lines(self.line), "bar_format": LINE}
        elif not sys.stderr.isatty():
            display = {
                "file": _Lines(partial(print, file=sys.stderr, flush=True)),
                "bar_format": LINE,
            }
            self.every = 10.0
        # Its own display, at first and at each update, knows no estimate: `_show` calls for it.
        self.bar = tqdm(total=len(specs), disable=not show, delay=1e-9, **display)
        self._show()

    def epoch(self, spec: AnySpec, text: str) -> None:
        """Note in which epoch a run is, or in which test an examination: ``3/20``."""
        self.epochs[spec] = text
        self._show()

    def queue(self, running: int, waiting: int, reasons: str) -> None:
        """Note how many jobs of a cluster run, how many wait, and what for: ``Resources``."""
        self.jobs = max(1, running)
        self.queued = f"{running} running, {waiting} waiting" + (reasons and f" ({reasons})")
        self._show()

    def finish(self, spec: AnySpec, seconds: float | None) -> None:
        """Note that a run has ended, and how long it took; None when it failed."""
        self.remaining.remove(spec)
        self.epochs.pop(spec, None)
        if seconds is not None:
            self.known.append((spec, seconds))
        self._show()

    def close(self) -> None:
        """End the display; a notebook's is gone: a page does not keep it."""
        self.bar.close()
        if self.line:
            self.line("")

    def seconds_left(self) -> float | None:
        """Estimate the seconds until the end; None when nothing is known yet."""
        expected = [self._expected(spec) for spec in self.remaining]
        known = [seconds for seconds in expected if seconds is not None]
        if not known and expected:
            return None
        mean = sum(known) / len(known) if known else 0.0
        return sum(mean if seconds is None else seconds for seconds in expected) / self.jobs

    def _expected(self, spec: AnySpec) -> float | None:
        """Return the mean time of the last runs of its task and encoder, or of its task."""
        for like in (("task", "encoder"), ("task",)):
            found = [
                seconds
                for other, seconds in self.known
                if other.KIND == spec.KIND
                and all(getattr(other.base, name) == getattr(spec.base, name) for name in like)
            ]
            if found:
                return sum(found[-20:]) / len(found[-20:])
        return self.guess(spec) if self.guess else None

    def _show(self) -> None:
        now = time.monotonic()
        if self.bar.disable or (self.remaining and now - self.shown < self.every):
            return
        self.shown = now
        parts = [f"{_clock(now - self.start)} so far"]
        left = self.seconds_left()
        if self.remaining and left is not None:
            parts.append(f"about {_clock(left)} left")
        if self.queued and self.remaining:
            parts.append(self.queued)
        for what, kinds in (("epoch", (Spec, AdversarySpec)), ("test", (ExaminationSpec,))):
            if at := [text for spec, text in self.epochs.items() if isinstance(spec, kinds)]:
                parts.append(f"in {what} {', '.join(at)}")
        self.bar.n = self.bar.total - len(self.remaining)
        self.bar.set_postfix_str("; ".join(parts))


class _Lines:
    """A file for tqdm that hands on each new line, without what moves the cursor."""

    def __init__(self, put: Callable[[str], object]) -> None:
        self.put, self.last = put, ""

    def write(self, text: str) -> None:
        line = text.strip()
        if line and line != self.last:
            self.put(line)
            self.last = line

    def flush(self) -> None:
        """Nothing is held back."""


def _in_notebook() -> bool:
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return get_ipython() is not None


def _notebook_line() -> Callable[[str], object]:
    from IPython import display as ipython

    show: Any = ipython.display
    handle = show({"text/plain": ""}, raw=True, display_id=True)
    return lambda line: handle.update({"text/plain": line}, raw=True)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

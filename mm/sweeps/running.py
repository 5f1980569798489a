"""Several trials at a time, each a process of its own, that end when the sweep ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

GRACE = 30.0
"""Seconds that a trial has to write its checkpoint after SIGTERM, before it is killed."""
_POLL = 0.1


@dataclass(frozen=True)
class Ended:
    """How a trial's process ended.

    Attributes:
        trial: its number.
        code: its exit status, negative for a signal.
        seconds: that it ran.
        interrupted: whether it was the sweep that ended it.
    """

    trial: int
    code: int
    seconds: float
    interrupted: bool


@dataclass
class _Running:
    trial: int
    process: subprocess.Popen[bytes]
    begun: float

    def ended(self, interrupted: bool = False) -> Ended:
        code = self.process.wait()
        return Ended(self.trial, code, time.monotonic() - self.begun, interrupted)

    @property
    def gone(self) -> bool:
        return self.process.poll() is not None

    def terminate(self) -> None:
        # Alone: a run ends its data workers itself, once it has written its checkpoint.
        self.process.terminate()

    def kill(self) -> None:
        # With its group, whose number, the leader's, no other process has before the leader is waited for.
        if not self.gone:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def run_trials(
    trials: Iterable[int],
    jobs: int,
    command: Callable[[int], Sequence[str]],
    output: Callable[[int], Path],
    environment: Callable[[int], dict[str, str]],
    begun: Callable[[int], None],
    ended: Callable[[Ended], None],
    inherit: Sequence[int] = (),
) -> None:
    """Run the trials in order, ``jobs`` at a time; a trial that fails ends no other.

    On Ctrl-C and on SIGTERM, the processes get a SIGTERM, at which a run writes its checkpoint, and those
    that are still there after :data:`GRACE`, or at a second Ctrl-C, are killed. ``ended`` is called for each
    of them before KeyboardInterrupt goes on.

    Args:
        trials: their numbers.
        jobs: how many at a time.
        command: trial -> its command line.
        output: trial -> the file that what it says is added to.
        environment: place among the jobs, from 0 -> the environment of what runs there.
        begun: called before a trial starts.
        ended: called once a trial has ended.
        inherit: open files that the processes keep open as well, as a lock must be.
    """
    waiting = iter(trials)
    running: dict[int, _Running] = {}
    with _sigterm_as_interrupt():
        try:
            exhausted = False
            while running or not exhausted:
                for place in range(jobs):
                    if exhausted or place in running:
                        continue
                    trial = next(waiting, None)
                    if trial is None:
                        exhausted = True
                        continue
                    begun(trial)
                    running[place] = _start(trial, command(trial), output(trial), environment(place), inherit)
                for place, each in list(running.items()):
                    if each.gone:
                        del running[place]
                        ended(each.ended())
                if running:
                    time.sleep(_POLL)
        except BaseException:
            left = [each for each in running.values() if not each.gone]
            _stop(left)
            for each in running.values():
                ended(each.ended(interrupted=each in left))
            raise


def _start(
    trial: int, command: Sequence[str], output: Path, environment: dict[str, str], inherit: Sequence[int]
) -> _Running:
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("ab") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            # A group of its own: Ctrl-C reaches the sweep alone, which ends its trials in order.
            start_new_session=True,
            pass_fds=inherit,
        )
    return _Running(trial, process, time.monotonic())


def _stop(running: list[_Running]) -> None:
    """End the processes, gently and then not; returns when all are gone."""
    for each in running:
        each.terminate()
    deadline = time.monotonic() + GRACE
    try:
        while not all(each.gone for each in running) and time.monotonic() < deadline:
            time.sleep(_POLL)
    except KeyboardInterrupt:
        pass  # A second one: at once.
    for each in running:
        each.kill()


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM, by which schedulers end a job, do what Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # Only the main thread may have handlers.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def graphics_cards(place: int, jobs: int, cards: Sequence[str]) -> list[str]:
    """Return the cards of the job at ``place`` of ``jobs``: an equal share, or one that is shared.

    With at least as many cards as jobs each job has ``len(cards) // jobs`` of its own; otherwise job k has
    card k mod n.
    """
    share = len(cards) // jobs
    if share:
        return list(cards[place * share : (place + 1) * share])
    return [cards[place % len(cards)]] if cards else []

"""Processes side by side: as many as asked for, failures apart, none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mm.sweeps import Ended, graphics_cards, run_trials


def run(folder: Path, scripts: list[str], jobs: int, **changes) -> list[Ended]:
    ended: list[Ended] = []
    options = {
        "command": lambda trial: ["sh", "-c", scripts[trial]],
        "output": lambda trial: folder / str(trial) / "output.txt",
        "environment": lambda place: {**os.environ, "PLACE": str(place)},
        "begun": lambda trial: None,
        "ended": ended.append,
    }
    run_trials(range(len(scripts)), jobs, **{**options, **changes})
    return ended


def test_a_failed_trial_ends_no_other_and_its_output_is_kept(tmp_path: Path):
    ended = run(tmp_path, ["echo one", "echo two >&2; exit 3", "kill -9 $$", "echo four"], jobs=1)
    assert [(each.trial, each.code, each.interrupted) for each in ended] == [
        (0, 0, False),
        (1, 3, False),
        (2, -9, False),
        (3, 0, False),
    ]
    assert [(tmp_path / str(n) / "output.txt").read_text() for n in (0, 1, 3)] == ["one\n", "two\n", "four\n"]


def test_so_many_at_a_time_and_each_place_is_taken_once(tmp_path: Path):
    """Each waits until another has begun: with one place, none would ever end."""
    meet = "touch began.$N; while [ ! -e began.$OTHER ]; do sleep 0.02; done; echo $PLACE"
    scripts = [f"cd {tmp_path}; N={n}; OTHER={n ^ 1}; {meet}" for n in range(4)]
    ended = run(tmp_path, scripts, jobs=2)
    assert sorted(each.trial for each in ended) == [0, 1, 2, 3]
    places = [(tmp_path / str(n) / "output.txt").read_text().strip() for n in range(4)]
    assert sorted(places[:2]) == sorted(places[2:]) == ["0", "1"]


def test_never_more_than_that(tmp_path: Path):
    running, most = set(), 0

    def begun(trial: int) -> None:
        nonlocal most
        running.add(trial)
        most = max(most, len(running))

    run(tmp_path, ["true"] * 7, jobs=3, begun=begun, ended=lambda each: running.discard(each.trial))
    assert not running
    assert most <= 3


PROGRAM = """
import os, signal, sys
# A shell's background job, as these tests may be, is started with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from mm.sweeps import run_trials
folder = Path(sys.argv[1])
# The second does not end by itself, and has a child.
scripts = ["trap 'echo saved; exit 0' TERM; touch ready; while :; do sleep 0.05; done",
           "trap '' TERM; sleep 300 & echo $! > child; touch ready; wait; while :; do sleep 0.05; done"]
import mm.sweeps.running as running
running.GRACE = 1.0
def place(trial):
    (folder / str(trial)).mkdir(exist_ok=True)
    return folder / str(trial)
try:
    run_trials(range(3), 2, command=lambda t: ["sh", "-c", f"cd {place(t)}; " + scripts[t]],
        output=lambda t: place(t) / "output.txt", environment=lambda k: dict(os.environ),
        begun=lambda t: None, ended=lambda e: print(e.trial, e.code, e.interrupted, flush=True))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end_of_the_sweep_is_the_end_of_its_trials(tmp_path: Path, number: signal.Signals):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not all((tmp_path / n / "ready").exists() for n in "01") and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    assert said.splitlines() == ["0 0 True", "1 -9 True", "interrupted"]
    assert (tmp_path / "0" / "output.txt").read_text() == "saved\n"
    child = int((tmp_path / "1" / "child").read_text())
    # A dead process without a parent that waits for it may stay in the table as a zombie.
    state = Path(f"/proc/{child}/stat")
    gone = not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
    assert gone


def test_cards_are_shared_out():
    cards = ["0", "1", "2", "3"]
    assert [graphics_cards(k, 1, cards) for k in range(1)] == [cards]
    assert [graphics_cards(k, 2, cards) for k in range(2)] == [["0", "1"], ["2", "3"]]
    assert [graphics_cards(k, 4, cards) for k in range(4)] == [["0"], ["1"], ["2"], ["3"]]
    assert [graphics_cards(k, 3, cards[:2]) for k in range(3)] == [["0"], ["1"], ["0"]]
    assert graphics_cards(0, 2, []) == []

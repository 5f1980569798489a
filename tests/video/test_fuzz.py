"""Damaged containers: whatever is in them, reading ends with frames or one refusal, and nothing else."""

from __future__ import annotations

import importlib
import math
import warnings
from pathlib import Path

from mm.errors import InputError
from mm.video import open_clip

fuzz = importlib.import_module("benchmarks.fuzz")


def test_damaged_containers_are_read_or_refused(tmp_path: Path) -> None:
    whole = fuzz.clips(tmp_path)
    refused = []
    for seed in range(300):
        name = list(whole)[seed % len(whole)]
        path = tmp_path / f"damaged-{name}"
        path.write_bytes(fuzz.damaged(whole[name], seed))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with open_clip(path) as clip:
                    times = clip.times()
                    assert times == sorted(times)
                    audio = clip.audio()
                    for frames, pts in clip.chunks():
                        assert len(frames) == len(pts)
                        assert bool(frames.isfinite().all())
                    if audio is not None:
                        list(audio.until(math.inf))
                        audio.close()
        except InputError as error:
            refused.append(str(error))
    # Neither all nor none: the damages reach the frames.
    assert 30 < len(refused) < 270
    assert all(len(said.splitlines()) == 1 for said in refused)


def test_damaged_containers_end_the_command_in_one_line(tmp_path: Path) -> None:
    codes = set()
    for name, code, said in fuzz.trials(tmp_path, 30):
        left = [path.name for path in tmp_path.glob(".*")]
        assert not fuzz.fault(code, said, left), (name, said)
        codes.add(code)
    assert codes == {0, 2}

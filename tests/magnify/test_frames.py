"""Frames in memory come out as ``mm magnify`` gives them, in the kind that they were given in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import mm
from mm.video import read_clip

HOW: dict[str, dict[str, Any]] = {
    "learned": {"factor": 3},
    "linear": {"low": 2.0, "high": 6.0},
    "phase": {"mode": "dynamic", "options": {"orientations": 4}},
    "riesz": {"low": 2.0, "high": 6.0, "filter": "fir"},
    "acceleration": {"low": 2.0, "high": 6.0},
    "flow": {"factor": 4},
    "layered": {"factor": 2, "options": {"region": (8, 8, 24, 16)}},
}
RATE = 20.0


def clip(frames: int = 24, height: int = 36, width: int = 48) -> np.ndarray:
    """A smooth pattern that sways by 0.4 px at 4 Hz, (T, H, W, 3) uint8."""
    y, x = np.mgrid[:height, :width]
    sway = 0.4 * np.sin(2 * np.pi * 4 * np.arange(frames) / RATE)[:, None, None]
    planes = [0.5 + 0.3 * np.sin((x + sway) / (2 + c)) * np.cos(y / (3 + c)) for c in range(3)]
    return np.rint(255 * np.stack(planes, -1)).astype(np.uint8)


@pytest.mark.parametrize("method", sorted(HOW))
def test_the_result_is_that_of_a_clip(method: str, tmp_path: Path) -> None:
    frames, how = clip(), {"method": method, "factor": 10.0} | HOW[method]
    (tmp_path / "in").mkdir()
    for number, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / "in" / f"{number:03d}.png"), frame[..., ::-1])
    mm.magnify(tmp_path / "in", tmp_path / "out.mkv", fps=RATE, lossless=True, **how)
    written, _ = read_clip(tmp_path / "out.mkv")
    done = mm.magnify_frames(frames, rate=RATE, **how)
    assert np.array_equal(done, written.mul(255).round().byte().permute(0, 2, 3, 1))
    # The whole frame sways: no region of it moves apart, and layered leaves it.
    assert np.array_equal(done, frames) == (method == "layered")


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_what_comes_out_is_of_the_kind_that_went_in(kind: Any, tensor: bool, last: bool) -> None:
    codes = clip()
    frames: Any = codes if kind is np.uint8 else (codes / 255).astype(kind)
    frames = frames if last else np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
    before = frames.copy()
    done = mm.magnify_frames(torch.from_numpy(frames) if tensor else frames, method="linear", factor=3)
    assert isinstance(done, torch.Tensor if tensor else np.ndarray)
    assert np.array_equal(frames, before)
    found = done.numpy() if tensor else done
    assert (found.dtype, found.shape) == (frames.dtype, frames.shape)
    expected = mm.magnify_frames(codes, method="linear", factor=3) / 255
    found = found / (255 if kind is np.uint8 else 1)
    found = found if last else found.transpose(0, 2, 3, 1)
    assert np.abs(found - expected).max() < 0.51 / 255


@pytest.mark.parametrize("cut", [1, 5, 24])
def test_a_stream_is_the_same_however_it_is_cut(cut: int) -> None:
    frames, how = clip(), {"rate": RATE, "method": "phase", "low": 2.0, "high": 6.0}
    expected = mm.magnify_frames(frames, **how, batch=2)
    stream = mm.Stream(**how, batch=2)
    for _ in range(2):  # A flushed stream is ready for another.
        parts = [stream.push(frames[at : at + cut]) for at in range(0, len(frames), cut)]
        assert np.array_equal(np.concatenate([*parts, stream.flush()]), expected)


def test_an_iterator_gives_an_iterator_that_holds_few_frames() -> None:
    frames, taken = clip(60), 0

    def camera() -> Any:
        nonlocal taken
        for frame in frames:
            taken += 1
            yield frame

    done = mm.magnify_frames(camera(), rate=RATE, method="linear", low=3.0, high=6.0)
    first = next(done)
    assert first.shape == frames[0].shape
    assert taken < 30
    rest = list(done)
    expected = mm.magnify_frames(frames, rate=RATE, method="linear", low=3.0, high=6.0, batch=1)
    assert np.array_equal([first, *rest], expected)
    chunks = list(mm.magnify_frames(iter([frames[:31], frames[31:]]), method="linear"))
    assert np.array_equal(np.concatenate(chunks), mm.magnify_frames(frames, method="linear", batch=1))


def test_views_that_torch_does_not_take_are_taken() -> None:
    frames = clip()
    frames.flags.writeable = False
    backwards = mm.magnify_frames(frames[::-1, :, ::-1], method="linear")
    assert np.array_equal(backwards, mm.magnify_frames(frames[::-1, :, ::-1].copy(), method="linear"))


@pytest.mark.parametrize(
    ("frames", "how", "names"),
    [
        (clip(), {"low": 2.0, "high": 6.0}, "rate"),
        (clip(), {"rate": -1.0}, "-1"),
        (clip(), {"batch": 0}, "batch"),
        (clip(), {"method": "phasee"}, "phase"),
        (clip()[..., :2], {}, r"36, 48, 2\)"),
        (clip()[0], {}, r"\(T, H, W, 3\)"),
        (clip()[:0], {}, r"\(0, 36, 48, 3\)"),
        (clip().astype(np.int32), {}, "int32"),
        (clip().astype(np.float32), {}, r"\[0, 1\]"),
        (clip()[:, :4], {}, "8 px"),
        ("in.mp4", {}, "mm.magnify "),
        (3, {}, "int"),
        ([clip().tolist()], {}, "list"),
    ],
)
def test_what_cannot_be_used_is_named(frames: Any, how: dict[str, Any], names: str) -> None:
    with pytest.raises(mm.InputError, match=names):
        list(mm.magnify_frames(frames, **{"method": "linear"} | how))


def test_methods_are_known_by_name_without_an_import() -> None:
    program = (
        "import mm, numpy; frames = numpy.zeros((4, 16, 16, 3), 'uint8'); "
        "print([int(mm.magnify_frames(frames, method=name).max()) for name in ('linear', 'phase')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[0, 0]\n"

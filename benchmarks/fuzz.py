"""Damaged containers through ``mm magnify``: each ends with code 0 or one line, and nothing is half-written.

Three small clips are damaged in ways that depend on a seed alone. ``python -m benchmarks.fuzz --count 10000``
takes minutes; ``tests/video/test_fuzz.py`` does a few hundred.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import random
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from mm.cli import main as mm
from mm.cli.main import TRACEBACK_VARIABLE
from mm.errors import InputError
from mm.video import open_clip

# Container and codec of each clip: an index at the end, clusters, and a file of packets alone.
CLIPS = {"a.mp4": "libx264", "b.mkv": "ffv1", "c.ts": "mpeg2video"}
OPTIONS = (
    "--method",
    "linear",
    "--device",
    "cpu",
    "--mode",
    "temporal",
    "--low",
    "8",
    "--high",
    "12",
    "--quiet",
)


def clips(folder: Path) -> dict[str, bytes]:
    """Write the clips, 10 frames of 32×32 px with sound, and return their bytes."""
    noise = np.random.default_rng(0)
    for name, codec in CLIPS.items():
        with av.open(str(folder / name), "w") as container:
            video = container.add_stream(codec, rate=30)
            video.width, video.height = 32, 32
            video.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
            audio = container.add_stream("mp2", rate=48000)
            for number in range(10):
                pixels = noise.integers(0, 255, (32, 32, 3), dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=video.pix_fmt)
                frame.pts = number
                container.mux(video.encode(frame))
                sound = av.AudioFrame.from_ndarray(
                    np.zeros((1, 2304), np.int16), format="s16", layout="stereo"
                )
                sound.sample_rate, sound.pts = 48000, 1152 * number
                container.mux(audio.encode(sound))
            container.mux(video.encode(None))
            container.mux(audio.encode(None))
    return {name: (folder / name).read_bytes() for name in CLIPS}


def damaged(data: bytes, seed: int) -> bytes:
    """Return a file's bytes with one to four damages."""
    draw, changed = random.Random(seed), bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(max(1, len(changed)))
        if draw.random() < 0.5:
            at = min(at, draw.randrange(512))  # Headers decide most.
        length = draw.choice((1, 1, 2, 4, 16, 200))
        part = changed[at : at + length]
        match draw.randrange(7):
            case 0:
                changed[at : at + length] = draw.randbytes(len(part))
            case 1:
                changed[at : at + length] = bytes(len(part))
            case 2:  # The extremes of sizes and counts.
                changed[at : at + 4] = draw.choice(
                    (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x01")
                )
            case 3:
                del changed[at : at + length]
            case 4:
                changed[at:at] = part * draw.randint(1, 20)
            case 5:
                del changed[at:]
            case _:
                if part:
                    changed[at] ^= 1 << draw.randrange(8)
    return bytes(changed)


def trials(folder: Path, count: int, seed: int = 0) -> Iterator[tuple[str, int, str]]:
    """Magnify ``count`` damaged clips; yield each one's name and seed, the exit code, and what was said."""
    whole = clips(folder)
    for number in range(count):
        name = list(whole)[number % len(whole)]
        path, out = folder / f"damaged-{seed + number}-{name}", folder / f"out-{number}.mkv"
        path.write_bytes(damaged(whole[name], seed + number))
        said = io.StringIO()
        with (
            contextlib.redirect_stderr(said),
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
        ):
            code = mm(["magnify", str(path), str(out), *OPTIONS])
        yield path.name, code, said.getvalue()
        for left in (path, out):
            left.unlink(missing_ok=True)


def read(folder: Path, count: int) -> list[str]:
    """Read ``count`` damaged clips to their ends; return the refusals.

    Raises:
        AssertionError: for times out of order, or frames that are not finite.
    """
    whole, refused = clips(folder), []
    for seed in range(count):
        name = list(whole)[seed % len(whole)]
        path = folder / f"damaged-{name}"
        path.write_bytes(damaged(whole[name], seed))
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
    return refused


def magnify(folder: Path, count: int) -> list[tuple[str, int, str]]:
    """Return clip, exit code and fault ("" for none) of ``count`` damaged clips through ``mm magnify``."""
    return [
        (clip, code, fault(code, said, [path.name for path in folder.glob(".*")]))
        for clip, code, said in trials(folder, count)
    ]


def fault(code: int, said: str, left: list[str]) -> str:
    """Return what is wrong with an end of the command, "" if nothing is.

    Args:
        code: the exit code.
        said: the standard error.
        left: files beside the clip and the output.
    """
    errors = [line for line in said.splitlines() if not line.startswith("mm: warning: ")]
    if code not in (0, 2):
        return f"exit code {code}"
    if code == 2 and (len(errors) != 1 or not errors[0].startswith("mm: error: ")):
        return "not one line"
    if TRACEBACK_VARIABLE in said:
        return "an error that nobody has thought of"
    return f"left {', '.join(left)}" if left else ""


def main() -> int:
    """Print the ends, and every fault with its seed; return 1 if there is one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    av.logging.set_level(None)
    ends: Counter[str] = Counter()
    faults = 0
    with tempfile.TemporaryDirectory() as name:
        for clip, code, said in trials(Path(name), args.count, args.seed):
            ends[f"code {code}"] += 1
            if wrong := fault(code, said, [path.name for path in Path(name).glob(".*")]):
                faults += 1
                print(f"{clip}: {wrong}: {said.strip()[-300:]}")
    print(f"{args.count} damaged clips: {dict(ends)}, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

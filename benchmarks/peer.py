"""This project's linear and phase methods beside those of ``vidmag``: speed, memory, and truth, in one run.

Both get the same 8-bit clip and the same factor, band and cutoff, and both give 8-bit frames back. Each
measurement has a process of its own, and the two take turns, so that what else the machine does falls on both
alike: the ratios are what counts. ``python -m benchmarks.peer --help`` says what can be changed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.clip import FPS, Bytes, Panels, Truth
from benchmarks.measure import Cost, Stopwatch, alone, set_threads, size

# Hz; at 30 frames a second a clip of a second is enough for the zero-phase filters here.
LOW, HIGH = 1.0, 6.0
FACTOR = 10.0
# The linear method's own default for this factor: λ_c = 8·factor·0.1 px.
CUTOFF = 8.0
CHROMA = 0.1
#: method and filter → the peer's function, and the backends of the peer that have it
CASES: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("linear", "butter"): ("motion_lpyr_butter_core", ("cpu", "torch")),
    ("linear", "iir-causal"): ("motion_lpyr_iir_core", ("cpu", "torch")),
    ("phase", "butter"): ("phase_core", ("cpu",)),
}
PATHS = {"cpu": "vidmag, NumPy", "torch": "vidmag, torch"}


@dataclass(frozen=True)
class Job:
    """One measurement, as it goes to its process."""

    method: str
    filter: str
    width: int
    height: int
    frames: int
    threads: int
    batch: int


def measure_ours(job: Job) -> tuple[Cost, Truth | None]:
    """Magnify the clip with this project."""
    import torch

    from mm.methods import LinearMagnifier, Magnifier, PhaseMagnifier
    from mm.runtime import keep_freed_memory
    from mm.temporal import Band

    torch.set_num_threads(job.threads)
    keep_freed_memory()
    band = Band(LOW, HIGH, FPS, job.filter)

    def magnify(clip: Bytes) -> Bytes:
        magnifier: Magnifier
        if job.method == "linear":
            magnifier = LinearMagnifier(
                FACTOR, "temporal", band, cutoff=CUTOFF, chroma=CHROMA, batch=job.batch
            )
        else:
            magnifier = PhaseMagnifier(FACTOR, "temporal", band, batch=job.batch)
        out, done = np.empty_like(clip), 0
        for start in range(0, len(clip) + job.batch, job.batch):
            if start < len(clip):
                chunk = torch.from_numpy(clip[start : start + job.batch])
                ready = [magnifier.push(chunk.permute(0, 3, 1, 2).float().div_(255))]
            else:
                ready = list(magnifier.flush_parts())
            for part in ready:
                codes = part.mul_(255).round_().byte().permute(0, 2, 3, 1)
                out[done : done + len(codes)] = codes.numpy()
                done += len(codes)
        return out

    return _measure(job, magnify)


def measure_peer(job: Job, backend: str, function: str) -> tuple[Cost, Truth | None]:
    """Magnify the clip with one of the peer's backends. Nothing is taken from it but its result."""
    import cv2

    from mm.runtime import keep_freed_memory

    # By name: it need not be installed where this file is checked.
    registry = importlib.import_module("vidmag.backend.registry")
    cv2.setNumThreads(job.threads)
    if backend == "torch":
        import torch

        torch.set_num_threads(job.threads)
    keep_freed_memory()
    core = getattr(registry.select(backend)[1], function)
    # Its α is what is added to the motion that is there.
    options: dict[str, Any] = {"alpha": FACTOR - 1}
    if job.method == "linear":
        options |= {"lambda_c": CUTOFF, "chrom_attenuation": CHROMA}
    if job.filter == "iir-causal":
        # The coefficients that mean these edges: y ← y + r·(x − y) has its edge at r = 1 − exp(−2π·f/fps).
        options |= {name: 1 - math.exp(-2 * math.pi * f / FPS) for name, f in (("r1", HIGH), ("r2", LOW))}
    else:
        options |= {"fl": LOW, "fh": HIGH}

    def magnify(clip: Bytes) -> Bytes:
        # It takes and gives blue, green, red.
        out: Bytes = core(np.ascontiguousarray(clip[..., ::-1]), FPS, **options)
        return out[..., ::-1]

    return _measure(job, magnify)


def _measure(job: Job, magnify: Callable[[Bytes], Bytes]) -> tuple[Cost, Truth | None]:
    panels = Panels(job.width, job.height, job.frames)
    clip = panels.frames()
    watch = Stopwatch()
    out = magnify(clip)
    cost = watch.stop()
    return cost, panels.truth(out, FACTOR)


def compare(job: Job, rounds: int, peer: bool) -> list[str]:
    """The table's rows of one case, ours first."""
    function, backends = CASES[job.method, job.filter]
    systems: dict[str, Callable[[], tuple[Cost, Truth | None]]] = {"mm": partial(alone, measure_ours, job)}
    if peer:
        for backend in backends:
            systems[PATHS[backend]] = partial(alone, measure_peer, job, backend, function)
    costs: dict[str, list[Cost]] = {name: [] for name in systems}
    truths: dict[str, Truth | None] = {}
    for turn in range(rounds):
        # Whoever comes first in one round comes last in the next.
        for name in list(systems)[:: 1 if turn % 2 == 0 else -1]:
            cost, truths[name] = systems[name]()
            costs[name].append(cost)
    return [
        _row(job, name, costs[name], truths[name], None if name == "mm" else costs["mm"]) for name in systems
    ]


HEADER = (
    "| method | filter | system | frames/s | s of processor a frame | peak memory, MB | above the input, MB "
    "| measured / true motion | late, frames | ours is faster (clock, processor) | takes less memory |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def _row(job: Job, name: str, costs: list[Cost], truth: Truth | None, ours: list[Cost] | None) -> str:
    def middle(values: list[float]) -> float:
        return statistics.median(values)

    shown = "–" if truth is None else f"{truth.least:.2f}–{truth.most:.2f}"
    late = "–" if truth is None else f"{truth.late:.2f}"
    ratios = "|  |  |"
    if ours is not None:
        # Round by round, so that a busy minute falls on both.
        clock = middle([a.seconds / b.seconds for a, b in zip(costs, ours, strict=True)])
        processor = middle([a.processor / b.processor for a, b in zip(costs, ours, strict=True)])
        memory = middle([a.peak / b.peak for a, b in zip(costs, ours, strict=True)])
        ratios = f"| {clock:.1f}×, {processor:.1f}× | {memory:.1f}× |"
    return (
        f"| {job.method} | {job.filter} | {name} | {middle([job.frames / c.seconds for c in costs]):.1f} "
        f"| {middle([c.processor / job.frames for c in costs]):.4f} "
        f"| {middle([c.peak / 1e6 for c in costs]):.0f} | {middle([c.added / 1e6 for c in costs]):.0f} "
        f"| {shown} | {late} {ratios}"
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer", description=__doc__)
    parser.add_argument("--size", type=size, default=(640, 480), metavar="WIDTHxHEIGHT")
    parser.add_argument("--frames", type=int, default=40, help="at least 30 (the filters need a second)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="for both alike")
    parser.add_argument("--batch", type=int, default=8, help="frames that this project takes at once")
    parser.add_argument("--methods", default="linear,phase", metavar="NAME,NAME")
    given = parser.parse_args(arguments)
    methods = given.methods.split(",")
    unknown = sorted(set(methods) - {method for method, _ in CASES})
    if unknown:
        parser.error(f"the peer has no method {unknown[0]!r}; choose of linear,phase")
    if given.frames < 30 or given.rounds < 1 or given.threads < 1 or given.batch < 1:
        parser.error("frames must be at least 30; rounds, threads and batch at least 1")
    set_threads(given.threads)
    peer = importlib.util.find_spec("vidmag") is not None
    width, height = given.size
    print(
        f"{given.frames} frames of {width}×{height} px, factor {FACTOR:g}, {LOW:g}–{HIGH:g} Hz at {FPS:g} "
        f"frames a second, λ_c {CUTOFF:g} px, {given.threads} thread(s), median of {given.rounds} round(s)\n"
    )
    if not peer:
        print(
            "vidmag is not installed, so this project is timed alone (pip install vidmag, or put the src "
            "folder of its source distribution on PYTHONPATH).\n"
        )
    print(HEADER, flush=True)
    for method, filter_ in CASES:
        if method in methods:
            job = Job(method, filter_, width, height, given.frames, given.threads, given.batch)
            print("\n".join(compare(job, given.rounds, peer)), flush=True)
    if peer and "phase" in methods:
        print("\nvidmag's torch backend has no phase method.")


if __name__ == "__main__":
    main()

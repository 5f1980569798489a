"""One table of every registered method: frames a second and peak memory, at 640×480 and 1920×1080.

Each method runs with its own defaults and factor 10 in a process of its own. A method that works on a band of
frequencies alone gets one. ``python -m benchmarks.methods --help`` says what can be changed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
from typing import Any

from benchmarks.clip import FPS, Panels
from benchmarks.measure import Cost, Stopwatch, alone, set_threads, size

FACTOR = 10.0
# Hz; for methods that need a band, and in temporal mode. At 30 frames a second 10 frames are enough for it.
LOW, HIGH = 3.0, 10.0
_BATCH = 4
_SIZES = ("640x480", "1920x1080")


def names() -> list[str]:
    """The methods that are registered."""
    importlib.import_module("mm.methods")
    return list(importlib.import_module("mm.registry").methods)


def make(name: str, mode: str, device: str, options: dict[str, Any]) -> Any:
    """Make a method; raises InputError where it cannot be made from its defaults.

    A method is made without a band in static and dynamic mode, and with one if it asks for it.
    """
    from mm.errors import InputError
    from mm.methods import parameters
    from mm.methods.parameters import SHARED
    from mm.temporal import Band

    own = {key: value for key, value in options.items() if key not in SHARED}
    shared = {
        "factor": FACTOR,
        "device": device,
        **{key: options[key] for key in options.keys() - own.keys()},
    }
    with_band = {**shared, "mode": "temporal", "band": Band(LOW, HIGH, FPS)}
    if mode == "temporal":
        return parameters.make(name, with_band, own)
    try:
        return parameters.make(name, {**shared, "mode": mode, "band": None}, own)
    except InputError:
        with contextlib.suppress(InputError):
            return parameters.make(name, with_band, own)
        raise


def measure(
    name: str,
    options: dict[str, Any],
    mode: str,
    device: str,
    shape: tuple[int, int],
    frames: int,
    threads: int,
) -> tuple[Cost, int, str] | str:
    """Cost of a clip, bytes of GPU memory, and what the method says of itself; or why there is none."""
    import torch

    from mm.errors import InputError
    from mm.runtime import keep_freed_memory

    torch.set_num_threads(threads)
    keep_freed_memory()
    clip = torch.from_numpy(Panels(*shape, frames).frames()).permute(0, 3, 1, 2)
    cuda = torch.device(device).type == "cuda"
    try:
        method = make(name, mode, device, options)
        if cuda:
            # The first kernels of a process are loaded as they are used.
            _run(make(name, mode, device, options), clip[: min(frames, 2 * _BATCH)])
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        watch = Stopwatch()
        _run(method, clip)
        if cuda:
            torch.cuda.synchronize()
        cost = watch.stop()
    except InputError as error:
        return str(error)
    return cost, torch.cuda.max_memory_allocated() if cuda else 0, method.describe()


def _run(method: Any, clip: Any) -> None:
    for part in clip.split(_BATCH):
        method.push(part.float().div(255))
    flush = getattr(method, "flush_parts", None)
    for _ in flush() if flush is not None else iter((method.flush(),)):
        pass


def variants(name: str, shape: tuple[int, int]) -> list[tuple[str, dict[str, Any]]]:
    """The measured variants of a method: a label and options each."""
    if name == "learned":
        return [("learned, fp32", {"precision": "32"}), ("learned, bf16", {"precision": "bf16"})]
    if name == "layered":
        width, height = shape
        region = (width // 4, height // 4, width // 2, height // 2)
        return [("layered, the middle quarter", {"region": region})]
    return [(name, {})]


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=__doc__)
    parser.add_argument("--methods", metavar="NAME,NAME", help="default: all that are registered")
    parser.add_argument("--size", type=size, action="append", metavar="WIDTHxHEIGHT", help="may be repeated")
    parser.add_argument("--frames", type=int, default=12, help="at least 10")
    parser.add_argument("--mode", choices=("static", "dynamic", "temporal"), default="static")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="on the CPU")
    given = parser.parse_args(arguments)
    if given.frames < 10 or given.threads < 1:
        parser.error("frames must be at least 10, threads at least 1")
    set_threads(given.threads)
    known = alone(names)
    chosen = given.methods.split(",") if given.methods else known
    for name in chosen:
        if name not in known:
            parser.error(f"no method is called {name!r} (known: {', '.join(known)})")
    print(
        f"{given.frames} frames, factor {FACTOR:g}, {given.mode} mode where the method has it, "
        f"on {given.device}, {given.threads} thread(s). Memory is the whole process's, libraries included"
        f"{'; GPU memory is that of its tensors' if given.device != 'cpu' else ''}.\n"
    )
    print("| method | size | frames/s | s of processor a frame | peak memory, MB | GPU memory, MB |")
    print("|---|---|---|---|---|---|", flush=True)
    notes = []
    for shape in given.size or [size(text) for text in _SIZES]:
        for name in chosen:
            for label, options in variants(name, shape):
                found = alone(
                    measure, name, options, given.mode, given.device, shape, given.frames, given.threads
                )
                start = f"| {label} | {shape[0]}×{shape[1]} |"
                if isinstance(found, str):
                    print(f"{start} – | – | – | – |", flush=True)
                    notes.append(f"- {label}, {shape[0]}×{shape[1]} px: not measured: {found}")
                    continue
                cost, gpu, line = found
                memory = f"{gpu / 1e6:.0f}" if gpu else "–"
                print(
                    f"{start} {given.frames / cost.seconds:.3g} | {cost.processor / given.frames:.3g} "
                    f"| {cost.peak / 1e6:.0f} | {memory} |",
                    flush=True,
                )
                notes.append(f"- {label}, {shape[0]}×{shape[1]} px: {line}")
    print("\n" + "\n".join(notes))


if __name__ == "__main__":
    main()

"""Networks as files that other programs run: ONNX, and PyTorch's own exported programs.

Three graphs are written, with height, width and factor open. "pair" is the whole network. "encode" and "draw"
are its streaming form: a frame is encoded once, and drawn against any reference. Sides are multiples of the
network's ``multiple``: continue a frame on its right and bottom, and crop the result.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mm.errors import InputError
from mm.files import replacing
from mm.networks.base import ThreePartNetwork
from mm.runtime import exact_arithmetic

FORMATS = {"onnx": ".onnx", "torch": ".pt2"}
OPSET = 20
SIZES = ((96, 128), (80, 112), (144, 64))
"""(height, width) px at which a file is compared with the network."""
TOLERANCE = 1e-4
"""The largest difference, of values in [0, 1], that is taken for rounding."""
FACTORS = (5.0, 20.0, 1.0)


class Pair(nn.Module):
    """The whole network: (reference, frame, factor) → (magnified)."""

    inputs, outputs = ("reference", "frame", "factor"), ("magnified",)

    def __init__(self, network: ThreePartNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, reference: Tensor, frame: Tensor, factor: Tensor) -> Tensor:
        """Two frames (1, 3, H, W) in [0, 1] and a factor (1,) → (1, 3, H, W) in [0, 1]."""
        done: Tensor = self.network(reference, frame, factor)
        return done.clamp(0, 1)


class Encode(nn.Module):
    """A frame's encoding: (frame) → (texture, shape)."""

    inputs, outputs = ("frame",), ("texture", "shape")

    def __init__(self, network: ThreePartNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        """(1, 3, H, W) in [0, 1] → the network's texture and shape."""
        texture, shape = self.network.encode(frame)
        # An output must be a new tensor.
        return texture.clone(), shape.clone()


class Draw(nn.Module):
    """A magnified frame from encodings: (texture, reference_shape, shape, factor) → (magnified).

    The size of the frame follows from that of the texture.
    """

    inputs, outputs = ("texture", "reference_shape", "shape", "factor"), ("magnified",)

    def __init__(self, network: ThreePartNetwork) -> None:
        super().__init__()
        self.network = network
        side = 4 * network.multiple
        self.stride = side // network.encode(torch.zeros(1, 3, side, side))[0].shape[-1]

    def forward(self, texture: Tensor, reference_shape: Tensor, shape: Tensor, factor: Tensor) -> Tensor:
        """Encodings of a frame and of its reference, and a factor (1,) → (1, 3, h, w) in [0, 1]."""
        size = (texture.shape[-2] * self.stride, texture.shape[-1] * self.stride)
        manipulated = self.network.manipulate(reference_shape, shape, factor)
        return self.network.decode(texture, manipulated, size).clamp(0, 1)


@torch.no_grad()
def export(network: ThreePartNetwork, target: Path, kind: str) -> dict[Path, float]:
    """Write a network's three graphs, and compare each with the network at :data:`SIZES`.

    Args:
        network: on the CPU.
        target: such as ``mine.onnx``, the pair; ``mine_encode.onnx`` and ``mine_draw.onnx`` lie beside it.
        kind: "onnx" or "torch".

    Returns:
        by file, the largest difference from the network.

    Raises:
        InputError: for another suffix, a missing package, or a graph that differs by more than
            :data:`TOLERANCE`. Then nothing is written.
    """
    paths = files(target, kind)
    if kind == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            if importlib.util.find_spec(package) is None:
                raise InputError(f"--format onnx needs {package}; pip install 'motion-magnification[onnx]'")
    network = network.eval()
    found = {}
    for path, module in zip(paths, (Pair(network), Encode(network), Draw(network)), strict=True):
        with replacing(path) as new:
            found[path] = _written(module.eval(), new, kind)
    return found


def files(target: Path, kind: str) -> tuple[Path, Path, Path]:
    """Return the files of the pair, the encoder and the drawing.

    Raises:
        InputError: for another suffix than the format's.
    """
    suffix = FORMATS[kind]
    if target.suffix != suffix:
        raise InputError(f"a file of --format {kind} ends in {suffix}, got {target}; name it so")
    encode, draw = (target.with_name(f"{target.stem}_{part}{suffix}") for part in ("encode", "draw"))
    return target, encode, draw


def _written(module: Any, path: Path, kind: str) -> float:
    given = _inputs(module, SIZES[0], FACTORS[0])
    sides = [torch.export.Dim(name, min=2, max=1024) for name in ("rows", "columns")]
    # Of each input, the px that its smallest step has; all grow together.
    cells = [size // module.network.multiple for size in SIZES[0]]
    shapes = tuple(
        {
            2 + axis: each.shape[2 + axis] // cell * side if each.shape[2 + axis] != cell else side
            for axis, (side, cell) in enumerate(zip(sides, cells, strict=True))
        }
        if each.ndim == 4
        else {}
        for each in given
    )
    run: Callable[[tuple[Tensor, ...]], list[np.ndarray]]
    with exact_arithmetic(torch.device("cpu")):
        program = torch.export.export(module, given, dynamic_shapes=shapes, strict=False)
        if kind == "torch":
            with path.open("wb") as file:
                torch.export.save(program, file)
            run = _in_torch(path)
        else:
            made = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(module.inputs),
                output_names=list(module.outputs),
                verbose=False,
            )
            assert made is not None
            path.write_bytes(made.model_proto.SerializeToString())
            run = _in_onnx(path, module.inputs)
        return _difference(module, run)


def _inputs(module: Any, size: tuple[int, int], factor: float) -> tuple[Tensor, ...]:
    """Return frames, or encodings of frames, of a pattern that moves by a third of a pixel."""
    y, x = torch.meshgrid(torch.arange(float(size[0])), torch.arange(float(size[1])), indexing="ij")
    one, other = (
        torch.stack([0.5 + 0.3 * ((x + moved) / (2 + c)).sin() * (y / (3 + c)).cos() for c in range(3)])[None]
        for moved in (0.0, 0.3)
    )
    if isinstance(module, Pair):
        return one, other, torch.tensor([factor])
    if isinstance(module, Encode):
        return (other,)
    texture, shape = module.network.encode(other)
    return texture.clone(), module.network.encode(one)[1].clone(), shape.clone(), torch.tensor([factor])


def _difference(module: Any, run: Callable[[tuple[Tensor, ...]], list[np.ndarray]]) -> float:
    largest = 0.0
    for size, factor in zip(SIZES, FACTORS, strict=True):
        given = _inputs(module, size, factor)
        expected = module(*given)
        for one, other in zip(
            expected if isinstance(expected, tuple) else (expected,), run(given), strict=True
        ):
            largest = max(largest, float(np.abs(one.numpy() - other).max()))
    if not largest <= TOLERANCE:
        raise InputError(
            f"the exported graph {type(module).__name__} differs from the network by {largest:.2g}, more "
            f"than {TOLERANCE:g}, and is not written; try another version of torch or onnxruntime"
        )
    return largest


def _in_torch(path: Path) -> Callable[[tuple[Tensor, ...]], list[np.ndarray]]:
    with path.open("rb") as file:
        program = torch.export.load(file).module()

    def run(given: tuple[Tensor, ...]) -> list[np.ndarray]:
        done = program(*given)
        return [each.numpy() for each in (done if isinstance(done, (tuple, list)) else (done,))]

    return run


def _in_onnx(path: Path, names: tuple[str, ...]) -> Callable[[tuple[Tensor, ...]], list[np.ndarray]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(given: tuple[Tensor, ...]) -> list[np.ndarray]:
        feed = {name: each.numpy() for name, each in zip(names, given, strict=True)}
        return list(session.run(None, feed))

    return run

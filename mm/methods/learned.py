"""The learned method: the three-part network over a stream of frames (Oh et al. 2018)."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods.parameters import Precision, check_precision
from mm.methods.stream import FrameStream, Mode
from mm.networks import ThreePartNetwork
from mm.networks.weights import load
from mm.registry import methods
from mm.runtime import bf16_in_software, exact_arithmetic
from mm.temporal import Band
from mm.temporal.base import Aligned

# The paper's limit: "magnified motion at most 30 px" (Oh et al. 2018, section 4).
_REACH = 30.0


@methods.register("learned")
class LearnedMagnifier(FrameStream):
    """Magnifies small motion by a trained network, which bears noise and occlusion (Oh et al. 2018).

    ``--weights`` chooses the network, ``--precision`` its arithmetic. See :class:`mm.methods.Magnifier` for
    the interface.

    Each frame is encoded once. What motion is measured against depends on the mode (the paper, section 3.3):

    - *static*: the clip's first frame.
    - *dynamic*: the previous frame, so velocity is magnified.
    - *temporal*: none; a band-pass over time T of the shape M selects the motion, and the network is given
      M − T as the reference of M. For a linear manipulator that is the paper's equation 4, M + α T(M) with
      α = factor − 1, and for the non-linear one its natural counterpart: in every mode the displacement
      between reference and frame is multiplied by ``factor``. The texture is the current frame's.

    The first frame of a clip in static and dynamic mode has itself as its reference: it is reconstructed.
    Between calls it holds less than a batch of frames, one shape in static and dynamic mode, and in temporal
    mode what the filter looks ahead to, whatever the clip's length (``ideal`` excepted); :meth:`memory` says
    how much.

    Args:
        network: a network, which is put in evaluation mode, or what :func:`mm.load` takes (None: the weights
            that come with the package).
        factor: total gain of the displacement, at least 0; 1 leaves motion as it is, and the picture is
            the network's all the same.
        mode: "static", "dynamic" or "temporal".
        band: the frequencies to magnify; needed in temporal mode, refused in the others.
        batch: frames that go through the network at once; more are quicker on a GPU, not on a CPU. A clip is
            cut into batches from its beginning: frames that do not fill one wait for the next push, or for
            ``flush``, and the result is the same to the last bit however the clip is pushed.
        precision: "32", or "bf16" to run the decoder, most of the work, in bfloat16. Encoder and manipulator
            stay in float32: a motion of 0.01 px is a change of shape below bfloat16's 3 digits.
        device: where to work; None: where the network is (the CPU if it is loaded here).
        direction: degrees from right to down, along which alone motion is magnified, for weights with a
            displacement field; None for every direction.

    Raises:
        InputError: for a factor that is negative or no finite number, an unknown mode or precision, a batch
            below 1, a band missing or out of place, a ``network`` that is none (a factor in its place), or
            weights that cannot be loaded.
    """

    def __init__(
        self,
        network: ThreePartNetwork | str | Path | None = None,
        factor: float = 10.0,
        mode: Mode = "static",
        band: Band | None = None,
        *,
        batch: int = 1,
        precision: Precision = "32",
        device: str | torch.device | None = None,
        direction: float | None = None,
    ) -> None:
        check_precision(precision)
        if not (network is None or isinstance(network, (str, Path, torch.nn.Module))):
            raise InputError(
                f"the learned method's network must be a network, weights or None, got {network!r}; "
                "other parameters are given by name, such as factor=10"
            )
        super().__init__(factor, mode, band, batch)
        # The shipped ones need no name; others were chosen, and are told.
        self._weights = f"; weights {Path(network).name}" if isinstance(network, (str, Path)) else ""
        if network is None or isinstance(network, (str, Path)):
            network = load(network, device="cpu" if device is None else device)
        elif device is not None:
            network = network.to(device)
        self.network = network.eval()
        self.network.check_direction(direction)
        self.direction, self.min_side = direction, network.min_side
        self.trained_reach = float(network.card.get("max_magnified_motion", _REACH))
        self.precision = precision
        if precision == "bf16" and bf16_in_software(self.device):
            warnings.warn(
                "--precision bf16: this CPU has no bfloat16 arithmetic, and imitating it takes many times as "
                "long as 32 bits",
                stacklevel=2,
            )

    def _reset(self) -> None:
        super()._reset()
        self._reference: Tensor | None = None
        self._textures: deque[Tensor] = deque()

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return next(self.network.parameters()).device

    def memory(self, height: int, width: int, frames: int) -> int:
        """Bytes held between calls; a call needs beside it the network's own, which grows with ``batch``."""
        unfilled = (self.batch - 1) * 3 * height * width * 4
        texture, shape = self.network.values(height, width)
        if self.filter is None:
            return unfilled + 4 * shape
        # Textures of a batch are freed together.
        waiting = 0 if self.network.texture_is_shape else min(frames, self.filter.delay + self.batch)
        return unfilled + self.filter.memory(shape, frames) + waiting * texture * 2

    def working_memory(self, height: int, width: int) -> int:
        """Bytes that a batch takes at once, in the decoder."""
        bytes_ = 4 if self.precision == "32" else 2
        return self.batch * self.network.working_bytes(height, width, bytes_)

    def describe(self) -> str:
        """One line for the user."""
        precision = "32 bits" if self.precision == "32" else self.precision
        along = "" if self.direction is None else f", along {self.direction:g}°"
        settings = f"{self.mode}, factor {self.factor:g}{along}, {precision}"
        line = f"learned, {settings} on {self.device}{self._weights}"
        return line if self.filter is None else f"{line}; {self.filter.describe()}"

    def _work(self, frames: Tensor) -> Iterator[Tensor]:
        for batch in frames.split(self.batch) if len(frames) else ():
            # What motion is read from is not rounded: by default CUDA's convolutions use TensorFloat-32.
            with exact_arithmetic(self.device):
                texture, shape = self.network.encode(batch)
            if self.filter is None:
                yield self._decode(texture, self._references(shape), shape)
            else:
                if not self.network.texture_is_shape:
                    self._textures.extend(texture.half())
                for moving in self.filter.push_aligned(shape):
                    yield from self._released(moving)

    def _references(self, shape: Tensor) -> Tensor:
        """The shapes that the motion of ``shape`` (n, C, h, w) is measured against."""
        known = shape[:1] if self._reference is None else self._reference
        if self.mode == "static":
            self._reference = known.clone() if self._reference is None else known
            return known.expand_as(shape)
        self._reference = shape[-1:].clone()
        return torch.cat([known, shape[:-1]])

    def _released(self, aligned: Aligned) -> Iterator[Tensor]:
        shapes, bands = aligned.input.split(self.batch), aligned.band.split(self.batch)
        for some, passed in zip(shapes, bands, strict=True):
            texture = some
            if not self.network.texture_is_shape:
                texture = torch.stack([self._textures.popleft() for _ in some]).float()
            yield self._decode(texture, some - passed, some)

    def _decode(self, texture: Tensor, reference: Tensor, shape: Tensor) -> Tensor:
        assert self._size is not None
        if self.unneeded >= len(texture):
            self.unneeded -= len(texture)
            return torch.zeros(len(texture), 3, *self._size, device=self._home)
        self.unneeded = 0
        with exact_arithmetic(self.device):
            manipulated = self.network.manipulate(reference, shape, self.factor)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            frames = self.network.decode(texture, manipulated, self._size, self.direction)
        if not bool(frames.isfinite().all()):
            # Clamped, they would be a black or white clip.
            raise InputError(
                f"the network's output is not finite{self._weights or '; the shipped weights'}: the numbers "
                "in it overflow; take other weights, a smaller --factor, or --precision 32"
            )
        return frames.float().clamp(0, 1).to(self._home)

"""The linear Eulerian method: the change of brightness at each place, magnified (Wu et al. 2012)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import Tensor

from mm.errors import InputError
from mm.methods.eulerian import EulerianMagnifier, Parts
from mm.methods.pyramids import laplacian
from mm.methods.stream import Mode
from mm.registry import methods
from mm.temporal import Band

Short = Literal["attenuate", "zero"]

# px; the largest motion, in the input, for which the default λ_c is chosen. Larger motion needs a larger one.
_MOTION = 0.1
# The Y of YIQ (ITU-R BT.601).
_LUMINANCE = (0.299, 0.587, 0.114)


@methods.register("linear")
class LinearMagnifier(EulerianMagnifier):
    """Adds ``alpha`` times the (band-passed) change of brightness to each frame, level by level of a pyramid.

    To first order a wave that moves by δ changes by −δ times its slope, so that ``factor`` times the change
    shows ``factor`` times the motion. That holds while factor·δ < λ/8 (section 3.2 of the paper); past it the
    wave grows rather than moves: its phase is turned by atan(2π·factor·δ/λ), never a quarter, and clipping
    shows. So each level l of a Laplacian pyramid has its own factor: where its wavelengths λ(l) are below the
    cutoff λ_c it is factor·λ(l)/λ_c, at least 1, which keeps λ(l)/8 at the displacement δ = λ_c/(8·factor)
    (figure 6). λ(l) is the longest wavelength that the level holds half of: 7.7, 17, 34, … px.

    Everything here is linear, and filtering in time and in space may be exchanged: what is filtered in time
    is one Gaussian level, the finest that is magnified, and the pyramid is made of its change alone.

    For *colour* that pulses, not motion, :meth:`colour` sets the parameters of the paper's second way.

    Args:
        factor, mode, band, batch, device: see :class:`mm.methods.eulerian.EulerianMagnifier`.
        cutoff: the wavelength λ_c, px, below which less is added. The largest motion that holds is
            λ_c/(8·factor) px. None: 0.8·factor px, for motions up to 0.1 px.
        short: what becomes of levels whose wavelengths λ(l) are below λ_c: "attenuate" to factor·λ(l)/λ_c, at
            least 1, or "zero" (not computed then).
        chroma: factor on the magnified change of chrominance (I and Q of YIQ), 0 to 1. Chrominance is coarse
            and noisy in video. 0 is quickest; colour that pulses needs 1.

    Raises:
        InputError: also for a cutoff that is no number of at least 0 px, or a chroma outside [0, 1].
    """

    name = "linear"

    def __init__(
        self,
        factor: float = 10.0,
        mode: Mode = "static",
        band: Band | None = None,
        *,
        cutoff: float | None = None,
        short: Short = "attenuate",
        chroma: float = 0.1,
        batch: int = 1,
        device: str | torch.device | None = None,
    ) -> None:
        super().__init__(factor, mode, band, batch, device)
        if cutoff is not None and not 0 <= cutoff < float("inf"):
            raise InputError(f"the cutoff wavelength must be a number of at least 0 px, got {cutoff:g}")
        if short not in get_args(Short):
            raise InputError(f"short must be {' or '.join(get_args(Short))}, got {short!r}")
        if not 0 <= chroma <= 1:
            raise InputError(f"the factor on chrominance must be from 0 to 1, got {chroma:g}")
        self.cutoff = 8 * self.factor * _MOTION if cutoff is None else float(cutoff)
        self.short = short
        self.chroma = float(chroma)

    @classmethod
    def colour(
        cls,
        factor: float,
        band: Band,
        *,
        level: int = 4,
        batch: int = 1,
        device: str | torch.device | None = None,
    ) -> LinearMagnifier:
        """The paper's way for a pulse: one coarse Gaussian level, all of whose colours are magnified alike.

        Args:
            factor: gain of the change of colour, 50 to 150 for a pulse; the paper's α is ``factor − 1``.
            band: 0.83–1 Hz and the like, with ``filter="ideal"`` in the paper.
            level: how often the frames are halved before. 0 blurs nothing.
            batch, device: as for the class.
        """
        if level < 0:
            raise InputError(f"the Gaussian level must be at least 0, got {level}")
        # All levels below ``level`` are zero: what is left of the pyramid is that Gaussian level.
        cutoff = laplacian.longest_wavelength(level) if level else 0.0
        return cls(
            factor, "temporal", band, cutoff=cutoff, short="zero", chroma=1.0, batch=batch, device=device
        )

    def weights(self, height: int, width: int) -> tuple[float, ...]:
        """The α of each level for frames of this size, finest first; the last is the low-pass's.

        Raises:
            InputError: if ``short`` is "zero" and no wavelength of such frames reaches the cutoff.
        """
        levels = laplacian.depth(height, width)
        weights = tuple(self._alpha(laplacian.longest_wavelength(level)) for level in range(levels + 1))
        if self.alpha and not any(weights) and self.short == "zero":
            limit = laplacian.longest_wavelength(levels)
            raise InputError(
                f"a cutoff of {self.cutoff:.4g} px leaves nothing of frames of {width}×{height} px "
                f"(width × height), whose pyramid ends at {limit:.4g} px; lower it to that"
            )
        return weights

    def _alpha(self, wavelength: float) -> float:
        if wavelength >= self.cutoff:
            return self.alpha
        if self.short == "zero":
            return 0.0
        # A factor below 1 lessens motion, and then no wavelength breaks.
        return self.alpha if self.alpha < 0 else max(0.0, self.factor * wavelength / self.cutoff - 1)

    def _prepare(self, height: int, width: int) -> None:
        weights = self.weights(height, width)
        self._start = self._first_level(weights)
        self._weights = weights[self._start :]
        self._sizes = _sizes(height, width, self._start)

    @staticmethod
    def _first_level(weights: tuple[float, ...]) -> int:
        return next((level for level, weight in enumerate(weights) if weight), len(weights) - 1)

    def _analyse(self, frames: Tensor) -> Parts:
        if not self.chroma:
            frames = luminance(frames)
        for _ in range(self._start):
            frames = laplacian.reduce(frames)
        return (frames,)

    def _motion(self, parts: Parts, reference: Parts) -> Tensor:
        return parts[0] - reference[0]

    def _magnified(self, frames: Tensor, parts: Parts, motion: Tensor) -> Tensor:
        change = laplacian.weighted(motion, self._weights)
        for size in self._sizes:
            change = laplacian.expand(change, size)
        if 0 < self.chroma < 1:
            grey = luminance(change)
            change = change.mul_(self.chroma).add_(grey, alpha=1 - self.chroma)
        return change.add_(frames) if len(change[0]) == 3 else frames + change

    def _values(self, height: int, width: int) -> tuple[int, int, int]:
        start = self._first_level(self.weights(height, width))
        for _ in range(start):
            height, width = (height + 1) // 2, (width + 1) // 2
        values = (3 if self.chroma else 1) * height * width
        return values, 4 * values, 0

    def _options(self) -> Iterable[str]:
        if self.short == "zero":
            yield f"cutoff {self.cutoff:g} px (shorter: none)"
        elif self.cutoff and self.factor > 1:
            # Every level holds up to there, see the class.
            yield f"cutoff {self.cutoff:g} px (for motion up to {self.cutoff / (8 * self.factor):.2g} px)"
        else:
            yield f"cutoff {self.cutoff:g} px"
        yield f"chroma {self.chroma:g}"


def luminance(frames: Tensor) -> Tensor:
    """The Y of YIQ: (n, 3, H, W) → (n, 1, H, W)."""
    red, green, blue = _LUMINANCE
    grey = frames[:, :1] * red
    return grey.add_(frames[:, 1:2], alpha=green).add_(frames[:, 2:], alpha=blue)


def _sizes(height: int, width: int, level: int) -> list[tuple[int, int]]:
    """Sizes from the level below ``level`` down to the frames' own: what expansion passes through."""
    sizes = [(height, width)]
    for _ in range(level):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes[-2::-1] if level else []

"""The complex steerable pyramid, built in the frequency domain (Simoncelli and Freeman 1995; Portilla 2000).

An image's spectrum is cut into rings (scales) and each ring into sectors (orientations) by smooth windows
whose squares sum to 1, so that analysis followed by its adjoint gives the image back. A sector covers one
side of the spectrum only, which makes its image complex: amplitude says how much of the wave is where, and
phase where the wave stands; a shift of the image by d px turns the phase of a wave of length λ by −2πd/λ.

Each subband is brought to its own resolution by keeping the rectangle of the spectrum that its window covers
and nothing else (a rectangle beside the origin, half the size or less of one round it). Seen from the image,
the subband is multiplied by a fixed plane wave, which no difference of phase between two images notices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from mm.errors import InputError

Angular = Literal["compact", "steerable"]

# Windows are cut where they are below this: beyond float32, and cos⁷ spares a few degrees by it.
_NEGLIGIBLE = 1e-7


@dataclass(frozen=True)
class Subband:
    """One sector of one ring, or the low-pass disc.

    Attributes:
        scale: 0 for the finest ring.
        angle: direction of the waves that it holds, radians from x toward y, in (−π/2, π/2].
        wavelength: px, in the middle of the ring (geometric mean).
        row, column: the rectangle's first vertical and horizontal frequency, cycles per image.
        window: (h, w) values of the window on the rectangle; complex, as what they multiply is.
        size: (h', w') samples of the subband; at least (h, w), and quick to transform.
    """

    scale: int
    angle: float
    wavelength: float
    row: int
    column: int
    window: Tensor
    size: tuple[int, int]

    @property
    def count(self) -> int:
        """Samples."""
        return self.size[0] * self.size[1]


class Parts(NamedTuple):
    """A pyramid of images: (n, C, samples of all subbands) complex, and (n, C, h, w) real."""

    oriented: Tensor
    lowpass: Tensor


class SteerablePyramid:
    """The pyramid for images of one size, any size of at least 4×4 px. Images are taken as periodic.

    Args:
        height: of the images, px.
        width: of the images, px.
        orientations: sectors that half a ring is cut into, 2 to 32.
        bandwidth: of a ring, octaves: rings of 1 shift less far before they break than rings of 0.5 (Wadhwa
            et al. 2013, section 3.3), which cost twice as much.
        scales: rings; None for as many as the size allows.
        angular: "compact" windows end at the middles of their neighbours, so that subbands are small.
            "steerable" ones are cosines to the power of ``orientations − 1``, half a turn wide, as in the
            papers; their subbands have about twice as many samples.
        device: where the windows are kept and the work is done.

    Raises:
        InputError: for more scales than the size allows, or an option outside its range.
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        orientations: int = 4,
        bandwidth: float = 1.0,
        scales: int | None = None,
        angular: Angular = "compact",
        device: str | torch.device = "cpu",
    ) -> None:
        check_options(orientations, bandwidth, scales, angular)
        if min(height, width) < 4:
            raise InputError(f"a steerable pyramid needs images of at least 4×4 px, got {width}×{height} px")
        deepest = self.deepest(height, width, bandwidth)
        if scales is not None and scales > deepest:
            raise InputError(
                f"images of {width}×{height} px have at most {deepest} scales of {bandwidth:g} octaves, "
                f"got {scales}; lower it, or leave it out"
            )
        self.height, self.width = height, width
        self.scales = deepest if scales is None else scales
        self.bandwidth = bandwidth
        self.device = torch.device(device)
        self.bands = tuple(
            band
            for scale in range(self.scales)
            for k in range(orientations)
            if (band := self._sector(scale, k, orientations, angular)) is not None
        )
        self._low = self._disc()
        ends = torch.tensor([band.count for band in self.bands], dtype=torch.int64).cumsum(0).tolist()
        self.slices = tuple(slice(end - band.count, end) for band, end in zip(self.bands, ends, strict=True))
        self._high: Tensor | None = None

    @staticmethod
    def deepest(height: int, width: int, bandwidth: float = 1.0) -> int:
        """Rings until the low-pass that is left holds only waves longer than the shorter side."""
        return max(1, math.floor(math.log2(min(height, width) / 2) / bandwidth))

    @property
    def samples(self) -> int:
        """Complex samples of all subbands together."""
        return self.slices[-1].stop if self.slices else 0

    @property
    def memory(self) -> int:
        """Bytes of the windows; those of the :meth:`highpass` are made when it is first used."""
        return sum(band.window.nbytes for band in (*self.bands, self._low))

    @property
    def lowpass_size(self) -> tuple[int, int]:
        """Height and width of the low-pass."""
        return self._low.size

    def split(self, oriented: Tensor) -> list[Tensor]:
        """View (..., samples) as one (..., h, w) for each of :attr:`bands`."""
        return [
            oriented[..., place].unflatten(-1, band.size)
            for place, band in zip(self.slices, self.bands, strict=True)
        ]

    def analyse(self, images: Tensor) -> Parts:
        """Take real images (n, C, H, W) apart; all but the :meth:`highpass`.

        A wave a·cos of a length in a window's flat middle has amplitude a/√2 in that subband. The squares of
        all parts, each times the image's pixels for each sample, sum to those of the image: a tight frame.
        """
        spectrum = self._spectrum(images)
        oriented = images.new_empty(*images.shape[:2], self.samples, dtype=spectrum.dtype)
        for place, band in zip(self.slices, self.bands, strict=True):
            part = self._cut(spectrum, band) * band.window
            oriented[..., place] = torch.fft.ifft2(part, s=band.size, norm="forward").flatten(-2)
        low = torch.fft.ifft2(self._cut(spectrum, self._low) * self._low.window, norm="forward")
        # The disc lies round the origin, but its rectangle begins at a negative frequency: undo that wave.
        return Parts(oriented, (low * self._low_wave()).real)

    def highpass(self, images: Tensor) -> Tensor:
        """Return the detail finer than the finest ring, and the spectrum's corners: (n, C, H, W)."""
        return self._image(self._spectrum(images) * self._high_window())

    def synthesise(
        self,
        oriented: Tensor,
        lowpass: Tensor | None = None,
        highpass: Tensor | None = None,
        *,
        negligible: float = 0.0,
    ) -> Tensor:
        """The adjoint of analysis: sum of the given parts as images (n, C, H, W).

        With all three parts of an image it is the image. Subbands whose root mean square is at most
        ``negligible`` are passed over (on a CPU; elsewhere to look would cost more than to compute).
        """
        lead = oriented.shape[:-1]
        total = oriented.new_zeros(*lead, self.height, self.width // 2 + 1)
        for band, part in zip(self.bands, self.split(oriented), strict=True):
            if part.device.type != "cpu" or _reaches(part, negligible):
                self._add(total, band, torch.fft.fft2(part, norm="forward"))
        if lowpass is not None:
            self._add(total, self._low, torch.fft.fft2(lowpass * self._low_wave().conj(), norm="forward"))
        if highpass is not None:
            total += self._spectrum(highpass) * self._high_window()
        return self._image(total)

    # --- spectra: of real images, rows from −H//2 up, columns from 0 up -----------------------------------

    def _spectrum(self, images: Tensor) -> Tensor:
        return torch.fft.fftshift(torch.fft.rfft2(images, norm="forward"), dim=-2)

    def _image(self, spectrum: Tensor) -> Tensor:
        return torch.fft.irfft2(
            torch.fft.ifftshift(spectrum, dim=-2), s=(self.height, self.width), norm="forward"
        )

    def _cut(self, spectrum: Tensor, band: Subband) -> Tensor:
        """The band's rectangle; what lies at negative columns is the conjugate of what lies opposite."""
        high, wide = band.window.shape
        top = band.row + self.height // 2
        right = spectrum[..., top : top + high, max(band.column, 0) : band.column + wide]
        if band.column >= 0:
            return right
        opposite = self._opposite(spectrum, band)[..., 1 : 1 - band.column]
        return torch.cat([opposite.flip(-2, -1).conj().resolve_conj(), right], dim=-1)

    def _add(self, spectrum: Tensor, band: Subband, part: Tensor) -> None:
        """Add half of the band's spectrum and half of its mirror image's conjugate: the real part's."""
        high, wide = band.window.shape
        part = (part[..., :high, :wide] * band.window).mul_(0.5)
        top = band.row + self.height // 2
        left = max(0, -band.column)
        spectrum[..., top : top + high, max(band.column, 0) : band.column + wide] += part[..., left:]
        if band.column <= 0:
            mirrored = part[..., : left + 1].flip(-2, -1).conj()
            self._opposite(spectrum, band)[..., : left + 1] += mirrored

    def _opposite(self, spectrum: Tensor, band: Subband) -> Tensor:
        """The rows at the negatives of the band's vertical frequencies, in ascending order."""
        start = -(band.row + band.window.shape[0] - 1) + self.height // 2
        return spectrum[..., start : start + band.window.shape[0], :]

    # --- windows ------------------------------------------------------------------------------------------

    def _edge(self, scale: int) -> float:
        """The outer edge of ring ``scale``, cycles/px; of the low-pass disc for scale = scales."""
        return 0.5 * 2.0 ** (-self.bandwidth * scale)

    def _inside(self, radius: Tensor, scale: int) -> Tensor:
        """The window that is 1 well inside the edge of ``scale`` and 0 beyond it, over one bandwidth."""
        octaves = torch.log2(self._edge(scale) / radius.clamp_min(1e-12)) / self.bandwidth
        return torch.sin(math.pi / 2 * octaves.clamp(0, 1))

    def _outside(self, radius: Tensor, scale: int) -> Tensor:
        """√(1 − inside²), without the loss of digits."""
        octaves = torch.log2(self._edge(scale) / radius.clamp_min(1e-12)) / self.bandwidth
        return torch.cos(math.pi / 2 * octaves.clamp(0, 1))

    def _grid(self, scale: int) -> tuple[Tensor, Tensor, Tensor]:
        """Vertical and horizontal frequencies within the edge of ``scale`` (cycles/px), and the radius."""
        # Strictly inside the edge, where the window is 0, and so below Nyquist.
        tall, wide = (math.ceil(self._edge(scale) * side) - 1 for side in (self.height, self.width))
        down = torch.arange(-tall, tall + 1, dtype=torch.float64)[:, None] / self.height
        across = torch.arange(-wide, wide + 1, dtype=torch.float64)[None] / self.width
        return down, across, torch.hypot(down, across)

    def _sector(self, scale: int, k: int, orientations: int, angular: Angular) -> Subband | None:
        down, across, radius = self._grid(scale)
        # The first points along x, so that vertical edges have a subband of their own.
        angle = math.pi * k / orientations
        angle -= math.pi if angle > math.pi / 2 else 0.0
        away = torch.atan2(down, across) - angle
        away = torch.remainder(away + math.pi, 2 * math.pi) - math.pi
        ring = self._inside(radius, scale) * self._outside(radius, scale + 1)
        window = math.sqrt(2) * ring * _angular(away, orientations, angular)
        wavelength = 1 / (self._edge(scale) * 2.0 ** (-self.bandwidth))
        return self._cropped(window, scale, angle, wavelength)

    def _cropped(self, window: Tensor, scale: int, angle: float, wavelength: float) -> Subband | None:
        rows = (window > _NEGLIGIBLE).any(1).nonzero()
        columns = (window > _NEGLIGIBLE).any(0).nonzero()
        if not len(rows):
            return None  # Between two frequencies of a small image; nothing is lost.
        top, bottom, left, right = (int(i) for i in (rows[0], rows[-1], columns[0], columns[-1]))
        cut = window[top : bottom + 1, left : right + 1].to(self.device, torch.complex64)
        size = (next_fast_len(cut.shape[0], True), next_fast_len(cut.shape[1], True))
        row, column = top - window.shape[0] // 2, left - window.shape[1] // 2
        return Subband(scale, angle, wavelength, row, column, cut, size)

    def _disc(self) -> Subband:
        _, _, radius = self._grid(self.scales)
        window = self._inside(radius, self.scales).to(self.device, torch.complex64)
        tall, wide = window.shape
        return Subband(
            self.scales,
            0.0,
            1 / self._edge(self.scales),
            -(tall // 2),
            -(wide // 2),
            window,
            (tall, wide),
        )

    def _low_wave(self) -> Tensor:
        """exp(2πi·(row·y/h + column·x/w)): puts the disc's rectangle back round the origin."""
        low = self._low
        turns = [
            first * torch.arange(n, device=self.device, dtype=torch.float64) / n
            for first, n in zip((low.row, low.column), low.size, strict=True)
        ]
        phase = 2 * math.pi * (turns[0][:, None] + turns[1][None])
        return torch.polar(torch.ones_like(phase), phase).to(torch.complex64)

    def _high_window(self) -> Tensor:
        if self._high is None:
            down = torch.arange(self.height, dtype=torch.float64)[:, None] - self.height // 2
            across = torch.arange(self.width // 2 + 1, dtype=torch.float64)[None]
            radius = torch.hypot(down / self.height, across / self.width)
            self._high = self._outside(radius, 0).to(self.device, torch.float32)
        return self._high


def check_options(orientations: int, bandwidth: float, scales: int | None, angular: str) -> None:
    """Raise InputError for a pyramid that there is not, whatever the images' size."""
    if not 2 <= orientations <= 32:
        raise InputError(f"orientations must be from 2 to 32, got {orientations}")
    if not 0.25 <= bandwidth <= 2:
        raise InputError(f"the bandwidth of a scale must be from 0.25 to 2 octaves, got {bandwidth:g}")
    if scales is not None and scales < 1:
        raise InputError(f"scales must be at least 1, got {scales}")
    if angular not in get_args(Angular):
        raise InputError(f"angular windows are {' or '.join(get_args(Angular))}, got {angular!r}")


def _angular(away: Tensor, orientations: int, angular: Angular) -> Tensor:
    """The window over the angle from the sector's middle; its square and its neighbours' sum to 1."""
    if angular == "compact":
        part = (away.abs() * orientations / math.pi).clamp(0, 1)
        # The smooth step 3t² − 2t³ is antisymmetric about 1/2, so neighbours are cos and sin of one angle.
        return torch.cos(math.pi / 2 * part * part * (3 - 2 * part))
    order = orientations - 1
    # Σ cos^(2·order) over the sectors and their mirror images, whatever the angle (Simoncelli and Freeman).
    squares = orientations * math.comb(2 * order, order) / 4.0**order
    return torch.cos(away).clamp_min(0) ** order / math.sqrt(squares)


def _reaches(part: Tensor, limit: float) -> bool:
    real = torch.view_as_real(part)
    return float(torch.linalg.vector_norm(real)) > limit * math.sqrt(part.numel())

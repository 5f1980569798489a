"""Layers → frames: move each layer, composite front over back, anti-alias, decimate.

Everything is rendered on a grid ``supersampling`` times as fine as the frame, each layer straight from its source
pixels by one interpolation, in every frame (the reference too, which has a random sub-pixel phase of its own: if
only the moved frames were interpolated, their blur would give the motion away).

An object is rendered only in a window round it, whose place follows the object; the windows of all objects of all
samples are one batch. Compositing needs, at each window pixel, the light that the objects in front let through:
the windows' alphas are scattered to their places on the canvas, multiplied up along the depth, gathered back, and
the weighted colours are scattered on the canvas.

Coordinates are px of the output frame, (x, y), 0 the centre of the first pixel. The material point X of a layer is
at X + gain · u(X) in a frame, u its displacement field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from kornia.filters import filter2d_separable, get_gaussian_kernel1d
from torch import Tensor

from mm.synthesis.geometry import Geometry
from mm.synthesis.motion import MotionGenerator
from mm.synthesis.resampling import prefilter_matrix, resample_field, resample_separable, resampling_matrix

# Where the Gaussian is cut off, in standard deviations: what is left out weighs 1e-3.
_GAUSSIAN_REACH = 3.3
# The cubic spline reaches 2 px beyond a sampled point.
_SPLINE_REACH = 2
# Steps of the fixed-point iteration that inverts a field. Each shrinks the error by the field's gradient, at most
# 0.25 by default: 6 leave 2e-4 of it.
_INVERSION_STEPS = 6
# Output px between the nodes at which a field is solved, and how many nodes lie past each end of a layer.
_LATTICE_SPACING = 2
_LATTICE_BORDER = 4


@dataclass
class Layers:
    """The layers of a batch and how each moves. B samples, K objects.

    Attributes:
        background: (B, 3, Hb, Wb) float32 in [0, 1].
        background_operator: None, or (B, Hb, Hb) and (B, Wb, Wb): row and column operators applied to the background
            before resampling (its blur).
        objects: (B, K, 4, P, P) float32 premultiplied RGBA.
        centres: (B, K, 2) where the objects' centres are in the reference frame.
        phase: (B, 2) by how much the background is shifted in all frames.
        background_motion: (B, P) parameters and (B,) amplitude.
        object_motion: (B, K, P) parameters and (B, K) amplitudes.
    """

    background: Tensor
    background_operator: tuple[Tensor, Tensor] | None
    objects: Tensor
    centres: Tensor
    phase: Tensor
    background_motion: tuple[Tensor, Tensor]
    object_motion: tuple[Tensor, Tensor]


class Renderer:
    """Renders a batch of layers at given gains.

    Args:
        geometry: the sizes.
        generator: the motion.
        kernel: interpolation, one of :data:`mm.synthesis.resampling.KERNELS`.
        supersampling: fine pixels per output pixel along each axis.
        max_antialias: largest standard deviation of the anti-aliasing Gaussian, output px.
        max_gradient: steepest displacement that a layer may have, px per px.
        fast_translation: whether translations take the separable path (the same numbers, faster).
    """

    def __init__(
        self,
        geometry: Geometry,
        generator: MotionGenerator,
        kernel: str = "bspline",
        supersampling: int = 2,
        max_antialias: float = 1.0,
        max_gradient: float = 0.25,
        fast_translation: bool = True,
    ) -> None:
        self.geometry = geometry
        self.generator = generator
        self.kernel = kernel
        self.scale = supersampling
        self.separable = generator.is_translation and fast_translation
        self.apron = math.ceil(_GAUSSIAN_REACH * max_antialias * supersampling)
        # A layer of half-diagonal r deforms by at most max_gradient · r about its centre.
        half = geometry.object_size / 2
        deformation = 0.0 if generator.is_translation else max_gradient * half * math.sqrt(2.0)
        self.window = 2 * math.ceil(supersampling * (half + deformation + 1.0))
        self.canvas = (
            supersampling * (geometry.height - 1) + 1 + 2 * self.apron,
            supersampling * (geometry.width - 1) + 1 + 2 * self.apron,
        )

    def render(self, layers: Layers, gains: Tensor, antialias: Tensor) -> Tensor:
        """Render frames.

        Args:
            layers: what is seen, and how it moves.
            gains: (B, F) of each sample's frames: 0 for the reference, 1 for the moved, factor for the magnified.
            antialias: (B,) standard deviation of the anti-aliasing Gaussian, output px, at most ``max_antialias``.

        Returns:
            (B, F, 3, H, W), unclamped (the interpolation may overshoot a little at edges).
        """
        canvas = self._background(layers, gains)
        if layers.objects.shape[1]:
            canvas = self._composite(canvas, layers, gains)
        return self._decimate(canvas, antialias)

    # -- the background -------------------------------------------------------------------------------------------

    def _background(self, layers: Layers, gains: Tensor) -> Tensor:
        b, f = gains.shape
        rows, columns = self._canvas_coordinates(gains.device)
        parameters, amplitude = layers.background_motion
        size = layers.background.shape[-2:]
        operators = self._coefficient_operators(layers, size, gains.device)
        offset = self.geometry.margin + layers.phase
        if self.separable:
            shift = self._translation(parameters, amplitude)[:, None, :] * gains[..., None] - offset[:, None, :]
            matrices = []
            for axis, positions, length, operator in zip((1, 0), (rows, columns), size, operators, strict=True):
                matrix = resampling_matrix(positions - shift[..., axis, None], length, self.kernel, mirror=True)
                matrices.append(matrix if operator is None else matrix @ operator[:, None])
            return resample_separable(layers.background, matrices[0], matrices[1])
        coefficients = _apply_operators(layers.background, operators)
        middle = ((self.geometry.height - 1) / 2, (self.geometry.width - 1) / 2)
        strength = (amplitude[:, None] * gains).reshape(-1)
        move = self._material_offset(
            (rows - middle[0]).expand(b * f, -1), (columns - middle[1]).expand(b * f, -1), _repeat(parameters, f), strength
        )
        x = columns + move[:, 0] + _repeat(offset[:, 0], f)[:, None, None]
        y = rows[:, None] + move[:, 1] + _repeat(offset[:, 1], f)[:, None, None]
        moved = resample_field(_repeat(coefficients, f), x, y, self.kernel, mirror=True)
        return moved.view(b, f, -1, *self.canvas)

    def _coefficient_operators(
        self, layers: Layers, size: tuple[int, int] | torch.Size, device: torch.device
    ) -> list[Tensor | None]:
        """Return what turns the background's pixels into spline coefficients, for rows and columns: blur, then prefilter."""
        operators: list[Tensor | None] = []
        for index, length in enumerate(size):
            prefilter = prefilter_matrix(length, self.kernel, device)
            operator = None if prefilter is None else prefilter[None]
            if layers.background_operator is not None:
                blur = layers.background_operator[index]
                operator = blur if operator is None else operator @ blur
            operators.append(operator)
        return operators

    # -- the objects ----------------------------------------------------------------------------------------------

    def _composite(self, background: Tensor, layers: Layers, gains: Tensor) -> Tensor:
        b, f, channels = background.shape[:3]
        k = layers.objects.shape[1]
        windows, index = self._windows(layers, gains)
        area = self.window**2
        pixels = self.canvas[0] * self.canvas[1]
        # passes[k] is what the objects in front of object k (those of lower index) let through, passes[K] what all do.
        # One slot past the canvas takes what a window has outside it.
        passes = torch.ones(b, k + 1, f, pixels + 1, device=gains.device)
        passes[:, 1:].scatter_(-1, index, 1.0 - windows[..., 3, :, :].reshape(b, k, f, area))
        passes.cumprod_(1)
        weight = passes[:, :-1].gather(-1, index).view(b, k, f, 1, self.window, self.window)
        colour = windows[..., :channels, :, :] * weight
        canvas = torch.zeros(b, f, channels, pixels + 1, device=gains.device)
        torch.mul(background.reshape(b, f, channels, pixels), passes[:, -1, :, None, :pixels], out=canvas[..., :pixels])
        place = index.permute(0, 2, 1, 3).reshape(b, f, 1, k * area).expand(-1, -1, channels, -1)
        canvas.scatter_add_(-1, place, colour.permute(0, 2, 3, 1, 4, 5).reshape(b, f, channels, k * area))
        return canvas[..., :pixels].reshape(b, f, channels, *self.canvas)

    def _windows(self, layers: Layers, gains: Tensor) -> tuple[Tensor, Tensor]:
        """Render each object in its window.

        Returns:
            colours (B, K, F, 4, w, w), and the canvas index (B, K, F, w·w) of each window pixel.
        """
        b, f = gains.shape
        k, patch = layers.objects.shape[1], layers.objects.shape[-1]
        n, w, scale = b * k, self.window, self.scale
        parameters, amplitude = layers.object_motion
        parameters = parameters.reshape(n, -1)
        strength = (amplitude[:, :, None] * gains[:, None, :]).reshape(n, f)
        centre = layers.centres.reshape(n, 1, 2)
        if self.separable:
            at_centre = self._translation(parameters, torch.ones_like(amplitude).reshape(n))
        else:
            at_centre = self._field(
                torch.zeros(n, 1, 2, device=gains.device), parameters, torch.ones(n, device=gains.device)
            )[:, 0]
        moved_centre = centre + at_centre[:, None, :] * strength[..., None]
        # (N, F, 2) fine pixel of the window's first column and row.
        origin = (moved_centre * scale + self.apron).floor() - w // 2
        steps = torch.arange(w, device=gains.device, dtype=torch.float32)
        fine = origin[..., None] + steps
        position = (fine - self.apron) / scale
        to_patch = (patch - 1) / 2
        prefilter = prefilter_matrix(patch, self.kernel, gains.device)
        images = layers.objects.reshape(n, 4, patch, patch)
        if self.separable:
            source = position - moved_centre[..., None] + to_patch
            matrix = resampling_matrix(source, patch, self.kernel, mirror=False)
            if prefilter is not None:
                matrix = matrix @ prefilter
            colours = resample_separable(images, matrix[:, :, 1], matrix[:, :, 0]).unflatten(0, (b, k))
        else:
            if prefilter is not None:
                images = prefilter @ images @ prefilter.T
            relative = (position - centre[..., None]).view(n * f, 2, w)
            move = self._material_offset(
                relative[:, 1], relative[:, 0], _repeat(parameters, f), strength.reshape(-1)
            )
            source = (relative[:, 0, None, :] + move[:, 0] + to_patch, relative[:, 1, :, None] + move[:, 1] + to_patch)
            colours = resample_field(_repeat(images, f), *source, self.kernel, mirror=False)
            colours = colours.view(b, k, f, 4, w, w)
        height, width = self.canvas
        column = fine[:, :, 0].long()
        row = fine[:, :, 1].long()
        inside = ((row >= 0) & (row < height))[..., :, None] & ((column >= 0) & (column < width))[..., None, :]
        index = row[..., :, None] * width + column[..., None, :]
        index = torch.where(inside, index, height * width)
        return colours, index.view(b, k, f, w * w)

    # -- motion ---------------------------------------------------------------------------------------------------

    def _field(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        return self.generator.displacement(points, parameters, gain[:, None, None])

    def _translation(self, parameters: Tensor, gain: Tensor) -> Tensor:
        nowhere = torch.zeros(parameters.shape[0], 1, 2, device=parameters.device)
        return self._field(nowhere, parameters, gain)[:, 0]

    def _material_offset(self, rows: Tensor, columns: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        """Return where the material at each grid point came from, as X − point, X solving X + gain · u(X) = point.

        Fields are smooth, so they are solved on a coarse lattice and brought to the grid by cubic splines: at the
        shortest wavelength of the built-in fields that is right to 1e-3 of the motion, and many times cheaper.

        Args:
            rows: (L, h) evenly spaced coordinates of the grid's rows, relative to the layer's centre.
            columns: (L, w) of its columns.
            parameters: (L, P).
            gain: (L,).

        Returns:
            (L, 2, h, w), x first.
        """
        lattices, matrices = [], []
        for line in (rows, columns):
            count = line.shape[1]
            # Nodes past both ends keep the spline's mirrored ends away from the grid.
            first = -_LATTICE_BORDER * self._lattice_step
            nodes = math.ceil((count - 1) / self._lattice_step) + 1 + 2 * _LATTICE_BORDER
            steps = torch.arange(nodes, device=line.device, dtype=torch.float32) * self._lattice_step + first
            lattices.append(line[:, :1] + steps / self.scale)
            on_lattice = (torch.arange(count, device=line.device, dtype=torch.float32) - first) / self._lattice_step
            matrix = resampling_matrix(on_lattice, nodes, "bspline", mirror=True)
            prefilter = prefilter_matrix(nodes, "bspline", line.device)
            assert prefilter is not None
            matrices.append(matrix @ prefilter)
        y, x = lattices
        grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), -1)
        points = grid.flatten(1, 2)
        offset = torch.zeros_like(points)
        for _ in range(1 if self.generator.is_translation else _INVERSION_STEPS):
            offset = -self._field(points + offset, parameters, gain)
        coarse = offset.expand_as(points).reshape(grid.shape).permute(0, 3, 1, 2)
        return matrices[0] @ coarse @ matrices[1].T

    @property
    def _lattice_step(self) -> int:
        """Fine pixels between two nodes of the lattice on which fields are solved."""
        return _LATTICE_SPACING * self.scale

    # -- to the output grid ---------------------------------------------------------------------------------------

    def _canvas_coordinates(self, device: torch.device) -> tuple[Tensor, Tensor]:
        rows, columns = (torch.arange(n, device=device, dtype=torch.float32) for n in self.canvas)
        return (rows - self.apron) / self.scale, (columns - self.apron) / self.scale

    def _decimate(self, canvas: Tensor, antialias: Tensor) -> Tensor:
        b, f, channels = canvas.shape[:3]
        kernel = get_gaussian_kernel1d(2 * self.apron + 1, antialias[:, None] * self.scale)
        # Kernels are per sample: the frames of a sample go as its channels.
        smooth = filter2d_separable(canvas.reshape(b, f * channels, *self.canvas), kernel, kernel, padding="valid")
        return smooth[..., :: self.scale, :: self.scale].reshape(
            b, f, channels, self.geometry.height, self.geometry.width
        )


def gaussian_operator(size: int, sigma: Tensor) -> Tensor:
    """Return (B, size, size): for each standard deviation (B,) px a Gaussian blur of a mirrored line, identity for 0."""
    steps = torch.arange(size, device=sigma.device, dtype=torch.float32)
    width = sigma.clamp(min=1e-3)[:, None, None]
    first, second = steps[:, None], steps[None, :]
    weight = torch.zeros(sigma.shape[0], size, size, device=sigma.device)
    for mirrored in (second, -second, 2.0 * (size - 1) - second):
        weight = weight + (-0.5 * ((first - mirrored) / width) ** 2).exp()
    # Pixels on the mirrors have been counted twice.
    weight[:, :, 0] /= 2.0
    weight[:, :, -1] /= 2.0
    return weight / weight.sum(-1, keepdim=True)


def _apply_operators(images: Tensor, operators: list[Tensor | None]) -> Tensor:
    rows, columns = operators
    if rows is not None:
        images = rows[:, None] @ images
    if columns is not None:
        images = images @ columns[:, None].transpose(-1, -2)
    return images


def _repeat(x: Tensor, times: int) -> Tensor:
    """Return (N·times, …): each entry ``times`` times in a row."""
    return x.repeat_interleave(times, dim=0, output_size=x.shape[0] * times)

"""Workers' layers and a seed a sample → training triplets, on whatever device the layers are."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mm.errors import InputError
from mm.runtime import exact_arithmetic
from mm.synthesis.colour import apply_colour, random_colour
from mm.synthesis.geometry import Geometry
from mm.synthesis.limits import MotionLimits, measure_field
from mm.synthesis.motion import MotionGenerator, Translation, check_generator
from mm.synthesis.random import SampleRandom
from mm.synthesis.rendering import Layers, Renderer, same_in_all_rows
from mm.synthesis.resampling import check_kernel
from mm.synthesis.sensor import photon_noise, quantise, sharpen
from mm.synthesis.subsets import SUBSETS, SubsetConfig, check_range

# In [0, 1] units: a little more than the factor of 100 (4.4) at which the paper's noise measurement ends. Who
# means 3 of 255 and gives 3 is warned, below, for a uniform range.
MAX_NOISE = 5.0
# The share of the noise's power that a temporal band-pass lets through, least and greatest: a band of 0.075
# Hz to # 7.5 Hz at 30 frames a second.
BAND_SHARES = (0.005, 0.5)
DROWNED = 0.5  # in most samples of a uniform range that goes beyond this, the picture is lost


class Synthesizer(nn.Module):
    """Renders the training triplets of Oh et al. 2018, section 3.3. It has no parameters.

    A sample is a function of its layers, its seed and its subset alone: not of its place in the batch, of the
    batch size, the rank or the time. On a CPU that holds bit for bit; on CUDA the order in which overlapping
    objects are added up is not fixed, so that now and then a pixel is rounded to the next of the 8-bit values
    (not under ``torch.use_deterministic_algorithms(True)``).

    Args:
        height: of the frames, px.
        width: of the frames, px.
        motion: the motion generator (a :class:`~mm.synthesis.motion.Mixture` for several).
        limits: ranges of factor, input motion and magnified motion.
        noise: range of the photon noise's standard deviation at mid-grey, in [0, 1] units (the paper: up to 3
            / 255); at most :data:`MAX_NOISE`.
        antialias: range of the anti-aliasing Gaussian's standard deviation, output px (the paper: 1).
        supersampling: fine pixels per output pixel along each axis.
        kernel: interpolation; the alternatives to "bspline" are for ablations.
        colour: strength of the colour change of the perturbed frames, 0–1.
        clean_target: whether the magnified frame is without noise and unquantised, as what the network should
            give; otherwise it has its own noise and quantisation.
        object_size: side of the patch that holds an object, px; by default 0.45 of the frame's shorter side.
        max_objects: patches in a sample.
        subsets: the kinds of scenes that the batch's ``subset`` indexes, as :class:`SubsetConfig` or its
            fields; the paper's five if None.
        noise_distribution: of the noise's standard deviation within its range; "log-uniform" makes as many
            samples between 0.001 and 0.01 as between 0.01 and 0.1, and needs a range that begins above 0.
        quantised: whether frames are rounded to 8 bits, as cameras' are; otherwise for ablations.
        nearest: the share of samples that are rounded to the nearest, 0 to 1, as what has no noise of its own
            is; the others at random, as by a sensor's noise (:func:`mm.synthesis.sensor.quantise`).
        perturbed: whether to render ``xb_perturbed`` and ``y_perturbed``, at which only the terms that λ
            weighs look. Without them the noise of the other frames is another draw.
        filtered: the share of samples, 0 to 1, whose reference is not a frame but xb less a band of it, as in
            temporal mode: the clean change, and the part of the noise that a band-pass lets through.
        displacement: whether to return ``displacement``; it changes no other frame.
        sharpening: range of the amount of an unsharp mask of 1 px, as cameras apply it, on all frames before
            their noise.
    """

    _background_moves: Tensor
    _objects_move: Tensor
    _blur: Tensor
    _contrast: Tensor
    _noise: Tensor
    _limits_of: Tensor

    def __init__(
        self,
        height: int = 384,
        width: int = 384,
        motion: MotionGenerator | None = None,
        limits: MotionLimits | None = None,
        noise: tuple[float, float] = (0.0, 3.0 / 255.0),
        antialias: tuple[float, float] = (1.0, 1.0),
        supersampling: int = 2,
        kernel: str = "bspline",
        colour: float = 0.5,
        clean_target: bool = True,
        object_size: int | None = None,
        max_objects: int = 15,
        subsets: Sequence[dict[str, Any] | SubsetConfig] | None = None,
        noise_distribution: Literal["uniform", "log-uniform"] = "uniform",
        quantised: bool = True,
        perturbed: bool = True,
        nearest: float = 0.0,
        displacement: bool = False,
        filtered: float = 0.0,
        sharpening: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        super().__init__()
        self.limits = limits or MotionLimits()
        self.motion = motion or Translation()
        check_generator(self.motion)
        if noise_distribution not in ("uniform", "log-uniform"):
            raise InputError(f"noise_distribution must be uniform or log-uniform, got {noise_distribution!r}")
        kinds = SUBSETS if subsets is None else subsets
        self.subsets = tuple(
            each if isinstance(each, SubsetConfig) else SubsetConfig.from_dict(each) for each in kinds
        )
        _check_noise("noise", noise, noise_distribution)
        for recipe in self.subsets:
            if recipe.noise is not None:
                _check_noise(f"noise of subset {recipe.name}", recipe.noise, noise_distribution)
        check_range("antialias", antialias, 0.1)
        check_range("sharpening", sharpening, 0.0)
        if supersampling < 1:
            raise InputError(f"supersampling must be at least 1, got {supersampling}")
        self.noise = noise
        self.noise_distribution = noise_distribution
        self.antialias = antialias
        self.sharpening = sharpening
        self.colour = colour
        self.clean_target = clean_target
        if not 0 <= nearest <= 1:
            raise InputError(f"nearest is a share of the samples, from 0 to 1, got {nearest:g}")
        self.quantised = quantised
        self.nearest = nearest
        self.perturbed = perturbed
        self.displacement = displacement
        if not 0 <= filtered <= 1:
            raise InputError(f"filtered must be a share of the samples, from 0 to 1, got {filtered:g}")
        self.filtered = filtered
        of_subsets = [recipe.limits_within(self.limits) for recipe in self.subsets]
        # Every set of limits once.
        self._all_limits = tuple(dict.fromkeys(of_subsets))
        self.geometry = Geometry.for_motion(
            height, width, max(each.max_magnified for each in self._all_limits), object_size, max_objects
        )
        self.renderer = Renderer(
            self.geometry,
            self.motion,
            check_kernel(kernel),
            supersampling,
            antialias[1],
            max(each.max_gradient for each in self._all_limits),
        )
        for name, values in {
            "_background_moves": [recipe.background_moves for recipe in self.subsets],
            "_objects_move": [recipe.objects_move for recipe in self.subsets],
            "_blur": [recipe.background_blur for recipe in self.subsets],
            "_contrast": [recipe.background_contrast for recipe in self.subsets],
            "_noise": [recipe.noise or noise for recipe in self.subsets],
            "_limits_of": [self._all_limits.index(limits) for limits in of_subsets],
        }.items():
            # Buffers move with the module; they are configuration, so checkpoints do not hold them.
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)
        self._any_blur = any(recipe.background_blur[1] > 0 for recipe in self.subsets)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Render a batch.

        Args:
            batch: ``background`` uint8 (B, 3, Hb, Wb); ``objects`` uint8 (B, K, 4, P, P), premultiplied RGBA,
                earlier ones in front; ``seed`` int64 (B,); ``subset`` int64 (B,); ``index`` int64 (B,).

        Returns:
            ``xa, xb, y`` and, if ``perturbed``, ``xb_perturbed, y_perturbed``, float32 (B, 3, H, W) in
            [0, 1]; ``change`` of the same shape, y − xa before there is any noise; ``factor`` (B,);
            ``motion`` (B, K + 1, 2), each layer's displacement between xa and xb at its centre, px (x, y),
            the background first; ``seed``, ``subset`` and ``index`` passed through. If ``displacement``,
            ``displacement`` (B, 2, H, W), px (x, y): from xa to xb, of the frontmost layer whose alpha at
            that pixel of xb is above 0.5.
        """
        with torch.no_grad(), exact_arithmetic(batch["background"].device):
            layers, factor = self.draw(batch)
            return self._frames(batch, layers, factor)

    def draw(self, batch: dict[str, Tensor]) -> tuple[Layers, Tensor]:
        """Return the layers with the motion drawn for each sample, and the factors (B,)."""
        background, objects = batch["background"], batch["objects"]
        b, k = objects.shape[:2]
        size = self.geometry
        if background.shape[-2:] != size.background_size or objects.shape[-1] != size.object_size:
            raise InputError(
                f"layers of {tuple(background.shape[-2:])} and {objects.shape[-1]} px do not fit the "
                f"synthesizer, which expects {size.background_size} and {size.object_size} px"
            )
        subset = batch["subset"]
        random = SampleRandom(batch["seed"])
        drawn = random.uniform("factor")
        factor = self._by_limits(subset, lambda limits: limits.factor(drawn))
        p = self.motion.parameters
        parameters = random.uniform("motion", k + 1, p)
        amount = random.uniform("amplitude", k + 1)

        # With its margin: at large gains what lies there moves into view.
        field = measure_field(self.motion, parameters[:, 0], *size.background_size)
        amplitude = (
            self._by_limits(subset, lambda limits: limits.amplitude(amount[:, 0], factor, *field))
            * self._background_moves[subset]
        )
        object_parameters = parameters[:, 1:]
        peak, gradient = measure_field(
            self.motion, object_parameters.reshape(b * k, p), size.object_size, size.object_size
        )
        object_amplitude = self._by_limits(
            subset,
            lambda limits: limits.amplitude(
                amount[:, 1:], factor[:, None].expand(b, k), peak.view(b, k), gradient.view(b, k)
            ),
        )
        object_amplitude = object_amplitude * self._objects_move[subset][:, None]

        blur_low, blur_high = self._blur[subset].unbind(-1)
        sigma = blur_low + (blur_high - blur_low) * random.uniform("blur")
        contrast_low, contrast_high = self._contrast[subset].unbind(-1)
        contrast = contrast_low + (contrast_high - contrast_low) * random.uniform("contrast")
        scene = background.to(torch.float32).div_(255.0)
        mean = scene.mean(dim=(-2, -1), keepdim=True)
        scene = mean + (scene - mean) * contrast[:, None, None, None]

        where = random.uniform("centre", k, 2)
        layers = Layers(
            background=scene,
            objects=objects.to(torch.float32).div_(255.0),
            centres=torch.stack(
                (where[..., 0] * (size.width - 1.0), where[..., 1] * (size.height - 1.0)), dim=-1
            ),
            phase=random.between("phase", -0.5, 0.5, 2),
            background_motion=(parameters[:, 0], amplitude),
            object_motion=(object_parameters, object_amplitude),
            background_blur=sigma if self._any_blur else None,
        )
        return layers, factor

    def _frames(self, batch: dict[str, Tensor], layers: Layers, factor: Tensor) -> dict[str, Tensor]:
        random = SampleRandom(batch["seed"])
        gains = torch.stack((torch.zeros_like(factor), torch.ones_like(factor), factor), dim=1)
        antialias = random.between("antialias", *self.antialias)
        # One clamp, before noise and rounding: the spline overshoots a little at edges.
        seen = layers.trimmed()
        coefficients = self.renderer.coefficients(seen)
        clean = self.renderer.render(seen, gains, antialias, coefficients)
        if self.sharpening[1]:
            clean = sharpen(clean, random.between("sharpening", *self.sharpening)[:, None, None, None, None])
        clean = clean.clamp_(0.0, 1.0)
        xa, xb, y = clean.unbind(1)
        observed = {"xa": xa, "xb": xb}
        if self.perturbed:
            colours = random_colour(random.uniform("colour", 6), self.colour)
            observed["xb_perturbed"] = apply_colour(xb, *colours)
            observed["y_perturbed"] = apply_colour(y, *colours)
        if not self.clean_target:
            observed["y"] = y
        frames = torch.stack(tuple(observed.values()), dim=1)
        shape = tuple(frames.shape[1:])
        strength = self._noise_strength(random, batch["subset"])
        frames = photon_noise(frames, strength, random.normal("noise", *shape))
        frames = quantise(frames, self._rounding(random, shape)) if self.quantised else frames.clamp(0, 1)
        out = {"y": y} | dict(zip(observed, frames.unbind(1), strict=True))
        if self.filtered:
            out["xa"] = self._filtered_reference(random, xa, xb, out)
        out["change"] = y - xa
        out["factor"] = factor
        out["motion"] = self.motion_at_centres(layers)
        if self.displacement:
            moves = seen.background_motion[1], seen.object_motion[1]
            own = [same_in_all_rows(amplitude.flatten()) for amplitude in moves]
            _, out["displacement"] = self.renderer.visible(
                coefficients, seen, *((gain, gain) for gain in own)
            )
        return out | {name: batch[name] for name in ("seed", "subset", "index") if name in batch}

    def _filtered_reference(
        self, random: SampleRandom, xa: Tensor, xb: Tensor, seen: dict[str, Tensor]
    ) -> Tensor:
        """Return references (B, 3, H, W), of which a share is the moved frame less a band of it.

        A band-pass over time keeps the change in its band, and of the frame's noise a power share that is
        the band's width over half the frame rate. A pair of frames has twice the noise of one.
        """
        low, high = BAND_SHARES
        passed = low * (high / low) ** random.uniform("band", 1, 1, 1)
        noise = (seen["xb"] - xb) - (seen["xa"] - xa)
        reference = seen["xb"] - (xb - xa) - noise * (passed / 2).sqrt()
        return torch.where(random.uniform("filtered", 1, 1, 1) < self.filtered, reference, seen["xa"])

    def _noise_strength(self, random: SampleRandom, subset: Tensor) -> Tensor:
        """Return (B,) the noise's standard deviation at mid-grey."""
        low, high = self._noise[subset].unbind(-1)
        strength = random.uniform("noise strength")
        if self.noise_distribution == "uniform":
            return low + (high - low) * strength
        return low * (high / low) ** strength

    def _rounding(self, random: SampleRandom, shape: tuple[int, ...]) -> Tensor:
        """Return what decides how each value is rounded, (B, …) in [0, 1)."""
        thresholds = random.uniform("rounding", *shape)
        if self.nearest == 0:
            return thresholds
        # Added to a value before its fraction is cut off, a half rounds to the nearest.
        return torch.where(random.uniform("nearest", *(1,) * len(shape)) < self.nearest, 0.5, thresholds)

    def _by_limits(self, subset: Tensor, draw: Callable[[MotionLimits], Tensor]) -> Tensor:
        """Return (B, …): each sample's part of what ``draw`` makes of the limits of its subset."""
        values = draw(self._all_limits[0])
        # All are drawn and one is chosen: which samples are of which subset is not known to the host.
        for number, limits in enumerate(self._all_limits[1:], 1):
            chosen = (self._limits_of[subset] == number).view(-1, *(1,) * (values.dim() - 1))
            values = torch.where(chosen, draw(limits), values)
        return values

    def motion_at_centres(self, layers: Layers) -> Tensor:
        """Return (B, K + 1, 2): how far the layers' centres move from xa to xb, the background first."""
        parameters = torch.cat((layers.background_motion[0][:, None], layers.object_motion[0]), dim=1)
        amplitude = torch.cat((layers.background_motion[1][:, None], layers.object_motion[1]), dim=1)
        b, n, p = parameters.shape
        nowhere = torch.zeros(b * n, 1, 2, device=parameters.device)
        return self.motion.displacement(nowhere, parameters.reshape(b * n, p), amplitude.view(-1, 1, 1)).view(
            b, n, 2
        )


def _check_noise(name: str, values: tuple[float, float], distribution: str) -> None:
    check_range(name, values, 0.0)
    if values[1] > MAX_NOISE:
        raise InputError(
            f"{name} is in [0, 1] units and at most {MAX_NOISE:g} (3 of 255 is 0.0118), got {values}"
        )
    if distribution == "log-uniform" and values[0] <= 0:
        raise InputError(f"log-uniform {name} needs a range that begins above 0, got {values}")
    if values[1] > DROWNED and distribution == "uniform":
        warnings.warn(
            f"with {name} of {values} most samples show nothing else; in [0, 1] units, so divide grey "
            "levels by 255, or take the log-uniform distribution for so wide a range",
            stacklevel=3,
        )

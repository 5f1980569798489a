"""Motion generators: what moves, as a displacement field of the material.

**The contract** is one method. A generator turns a row of seeded uniform numbers into a displacement field
and scales it by a gain::

    displacement(points, parameters, gain) -> field

Fields are *Lagrangian*: the value at a point is how far the material that lies there in the reference frame
moves. **What "factor ×" means, for every generator:** each material point's displacement vector is
multiplied, as the vocabulary has it (output displacement = factor × input displacement). So a field must be
linear in the gain, which a test holds for every registered generator. For a rotation this means that points
move along the tangent ``factor`` times as far, not that the angle is multiplied; the two agree to first order
in the angle, and only the first can be read off two frames locally.

A generator does not choose how *large* its motion is. :mod:`mm.synthesis.limits` measures the field's peak at
gain 1 over the layer and scales it, so that limits on input motion, factor and magnified motion hold for all
of them alike. A generator's own amplitude is therefore arbitrary.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from mm.errors import InputError
from mm.registry import motion_generators

_TURN = 2.0 * math.pi


@runtime_checkable
class MotionGenerator(Protocol):
    """The contract of a motion generator; any class with these members is one.

    Attributes:
        parameters: how many uniform numbers one layer's motion takes.
        is_translation: whether the field is the same everywhere, so that the renderer may use its fast path.
    """

    parameters: int
    is_translation: bool

    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        """Return how far the material at ``points`` moves.

        The field is to be smooth: limits and rendering resolve structure down to about 24 px.

        Args:
            points: (L, N, 2) positions (x, y) in px of the output frame, relative to the layer's centre, in
                the reference frame.
            parameters: (L, P) uniform in [0, 1).
            gain: (L, 1, 1); the field is proportional to it.

        Returns:
            (L, N, 2) or (L, 1, 2) displacement (x, y), positive right and down.
        """
        ...


def check_generator(generator: MotionGenerator) -> None:
    """Find out whether ``generator`` keeps to the contract, by its members and by what it returns.

    A field that is not in proportion to the gain would make samples whose truth is wrong by what is missing.

    Raises:
        InputError: naming the class, and what it lacks or does otherwise.
    """
    needed = ("parameters", "is_translation", "displacement")
    missing = [name for name in needed if not hasattr(generator, name)]
    if missing:
        raise InputError(
            f"the motion generator {type(generator).__name__} has no {', no '.join(missing)}; it needs "
            "parameters (how many uniform numbers a layer's motion takes), is_translation (whether the field "
            "is the same everywhere) and the method displacement"
        )
    what = f"the motion generator {type(generator).__name__}"
    layers = 3
    points = torch.tensor([[0.0, 0.0], [17.0, -40.0], [-90.0, 61.0], [5.0, 130.0]]).expand(layers, -1, -1)
    # Of its own: a check must not move on the numbers that samples are drawn from.
    drawn = torch.rand(layers, generator.parameters, generator=torch.Generator().manual_seed(0))
    fields = []
    for gain in (1.0, 3.0):
        try:
            field = generator.displacement(points, drawn, torch.full((layers, 1, 1), gain))
        except Exception as error:
            raise InputError(
                f"{what} fails: {type(error).__name__}: {' '.join(str(error).split())}"
            ) from error
        shape = tuple(getattr(field, "shape", ()))
        if shape not in ((layers, points.shape[1], 2), (layers, 1, 2)):
            raise InputError(
                f"{what} returns {shape or type(field).__name__} for points of shape {tuple(points.shape)}: "
                "displacement must return one vector (x, y) a point, (L, N, 2), or one a layer, (L, 1, 2)"
            )
        if not torch.isfinite(field).all():
            raise InputError(f"{what} returns values that are not finite")
        fields.append(field)
    once, thrice = fields
    ratio = float(thrice.norm() / once.norm().clamp_min(1e-12))
    if not torch.allclose(thrice, 3 * once, rtol=1e-3, atol=1e-3 * float(once.abs().max())):
        raise InputError(
            f"{what} is not in proportion to gain: 3 times the gain moves it {ratio:.3g} times as far; "
            "'ten times the motion' would mean something else to it"
        )
    if generator.is_translation and float((once - once[:, :1]).abs().max()) > 1e-3 * float(once.abs().max()):
        raise InputError(
            f"{what} says is_translation, and moves points of one layer differently; set it to False"
        )


def _direction(turn: Tensor) -> Tensor:
    """Return unit vectors (…, 2) at ``turn`` (in [0, 1), a fraction of the full circle)."""
    angle = turn * _TURN
    return torch.stack((angle.cos(), angle.sin()), dim=-1)


def _pivot(parameters: Tensor, spread: float) -> Tensor:
    """Return (L, 1, 2) points up to ``spread`` px from the layer's centre along each axis."""
    return ((2.0 * parameters - 1.0) * spread)[:, None, :]


@motion_generators.register("translation")
class Translation:
    """Every point moves alike, in a random direction (the paper's motion)."""

    parameters = 1
    is_translation = True

    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        """See :class:`MotionGenerator`."""
        return gain * _direction(parameters[:, 0])[:, None, :]


@motion_generators.register("rotation")
class Rotation:
    """Points move along the tangent about a pivot, in proportion to their distance from it.

    Args:
        spread: how far the pivot may lie from the layer's centre, px.
    """

    parameters = 3
    is_translation = False

    def __init__(self, spread: float = 24.0) -> None:
        self.spread = spread

    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        """See :class:`MotionGenerator`."""
        x, y = (points - _pivot(parameters[:, :2], self.spread)).unbind(-1)
        sense = torch.where(parameters[:, 2] < 0.5, -1.0, 1.0)[:, None, None]
        return gain * sense * torch.stack((-y, x), dim=-1)


@motion_generators.register("scaling")
class Scaling:
    """Points move away from a pivot or towards it, in proportion to their distance.

    Args:
        spread: how far the pivot may lie from the layer's centre, px.
    """

    parameters = 3
    is_translation = False

    def __init__(self, spread: float = 24.0) -> None:
        self.spread = spread

    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        """See :class:`MotionGenerator`."""
        sense = torch.where(parameters[:, 2] < 0.5, -1.0, 1.0)[:, None, None]
        return gain * sense * (points - _pivot(parameters[:, :2], self.spread))


@motion_generators.register("shear")
class Shear:
    """Points move along a random direction, in proportion to their distance from a line along it.

    Args:
        spread: how far the line may lie from the layer's centre, px.
    """

    parameters = 3
    is_translation = False

    def __init__(self, spread: float = 24.0) -> None:
        self.spread = spread

    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        """See :class:`MotionGenerator`."""
        along = _direction(parameters[:, 2])
        across = torch.stack((-along[:, 1], along[:, 0]), dim=-1)
        distance = (points - _pivot(parameters[:, :2], self.spread)) @ across[:, :, None]
        return gain * distance * along[:, None, :]


@motion_generators.register("elastic")
class Elastic:
    """A smooth random field: a sum of plane waves of random direction, wavelength, phase and polarisation.

    Args:
        min_wavelength: shortest wavelength, px.
        max_wavelength: longest wavelength, px.
        waves: how many are summed.
    """

    is_translation = False

    def __init__(self, min_wavelength: float = 48.0, max_wavelength: float = 256.0, waves: int = 6) -> None:
        _check_wavelengths(min_wavelength, max_wavelength)
        self.min_wavelength = min_wavelength
        self.max_wavelength = max_wavelength
        self.waves = waves
        self.parameters = 4 * waves

    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        """See :class:`MotionGenerator`."""
        heading, length, phase, polarisation = parameters.view(-1, self.waves, 4).unbind(-1)
        wavelength = _log_between(length, self.min_wavelength, self.max_wavelength)
        wave_vector = _direction(heading) * (_TURN / wavelength)[..., None]
        # (L, N, waves); long waves are larger, as in a field whose gradient is equally strong at all scales.
        argument = points @ wave_vector.transpose(1, 2) + (phase * _TURN)[:, None, :]
        amplitude = _direction(polarisation) * (wavelength / self.max_wavelength)[..., None]
        return gain * (argument.sin() @ amplitude)


@motion_generators.register("wave")
class TravellingWave:
    """A wave packet, as it runs along a string or a membrane, caught between two instants.

    Args:
        min_wavelength: shortest wavelength, px.
        max_wavelength: longest wavelength, px.
        packet: length of the packet's Gaussian envelope (standard deviation) in wavelengths.
        spread: how far the packet's centre may lie from the layer's centre, px.
    """

    parameters = 6
    is_translation = False

    def __init__(
        self,
        min_wavelength: float = 24.0,
        max_wavelength: float = 128.0,
        packet: float = 1.5,
        spread: float = 64.0,
    ) -> None:
        _check_wavelengths(min_wavelength, max_wavelength)
        self.min_wavelength = min_wavelength
        self.max_wavelength = max_wavelength
        self.packet = packet
        self.spread = spread

    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        """See :class:`MotionGenerator`."""
        heading = _direction(parameters[:, 0])
        wavelength = _log_between(parameters[:, 1], self.min_wavelength, self.max_wavelength)[:, None, None]
        along = (points - _pivot(parameters[:, 2:4], self.spread)) @ heading[:, :, None]
        phase = (parameters[:, 4] * _TURN)[:, None, None]
        envelope = (-0.5 * (along / (self.packet * wavelength)) ** 2).exp()
        polarisation = _direction(parameters[:, 5])[:, None, :]
        return gain * envelope * (along * (_TURN / wavelength) + phase).sin() * polarisation


class Mixture:
    """Each layer moves by one of several generators, drawn with given weights; itself a motion generator.

    Args:
        generators: name of a registered generator -> its weight; weights need not sum to 1.
        instances: generators that are objects, by any name, to be mixed in with the weight that
            ``generators`` gives under the same name.

    Raises:
        InputError: if a name is not registered or not enough to make the generator, a generator lacks a
            member, a weight is negative, or no weight is positive.
    """

    def __init__(
        self, generators: dict[str, float], instances: Mapping[str, MotionGenerator] | None = None
    ) -> None:
        known = dict(instances or {})
        for name, weight in generators.items():
            if not weight >= 0:
                raise InputError(f"the weight of motion generator {name!r} must be at least 0, got {weight}")
        chosen = {name: weight for name, weight in generators.items() if weight > 0}
        if not chosen:
            raise InputError("a mixture of motion generators needs at least one weight above 0")
        self.names = tuple(chosen)
        self.members: tuple[MotionGenerator, ...] = tuple(
            known[name] if name in known else _by_name(name) for name in chosen
        )
        for member in self.members:
            check_generator(member)
        total = sum(chosen.values())
        self._edges: list[float] = []
        below = 0.0
        for weight in chosen.values():
            below += weight / total
            self._edges.append(below)
        self.parameters = 1 + max(member.parameters for member in self.members)
        self.is_translation = all(member.is_translation for member in self.members)

    def choice(self, parameters: Tensor) -> Tensor:
        """Return (L,) int64: which member moves each layer."""
        # Compared with Python numbers, not with a tensor of edges, which would have to be copied to the
        # device.
        choice = torch.zeros(parameters.shape[0], dtype=torch.int64, device=parameters.device)
        for edge in self._edges[:-1]:
            choice += parameters[:, 0] >= edge
        return choice

    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        """See :class:`MotionGenerator`."""
        choice = self.choice(parameters)[:, None, None]
        field: Tensor | None = None
        # All members are evaluated and one is kept: grouping the layers by member would have to wait for the
        # device.
        for index, member in enumerate(self.members):
            own = member.displacement(points, parameters[:, 1 : 1 + member.parameters], gain)
            field = own if field is None else torch.where(choice == index, own, field)
        assert field is not None
        return field


def _by_name(name: str) -> MotionGenerator:
    """Make the generator that is registered under ``name``, with the defaults of its parameters."""
    registered = motion_generators.get(name)
    try:
        inspect.signature(registered).bind()
    except TypeError as error:
        raise InputError(
            f"the motion generator {name!r} cannot be made by its name alone ({error}): give its parameters "
            "defaults, or put it among the mixture's instances by its class_path"
        ) from error
    generator: MotionGenerator = registered()
    return generator


def _log_between(u: Tensor, low: float, high: float) -> Tensor:
    return low * (high / low) ** u


def _check_wavelengths(low: float, high: float) -> None:
    if not 0 < low <= high:
        raise InputError(f"wavelengths must satisfy 0 < min ≤ max (px), got {low} and {high}")

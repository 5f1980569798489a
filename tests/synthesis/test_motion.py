"""Motion generators: what each promises, and that the renderer moves the material by it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.registry import motion_generators
from mm.synthesis import (
    Elastic,
    Geometry,
    Mixture,
    MotionGenerator,
    MotionLimits,
    Synthesizer,
    Translation,
    TravellingWave,
)
from mm.synthesis.rendering import Layers, Renderer

BUILT_IN = ("elastic", "rotation", "scaling", "shear", "translation", "wave")
FIELDS = tuple(name for name in BUILT_IN if name != "translation")
every_generator = pytest.mark.parametrize("name", [*BUILT_IN, "mixture"])
every_field = pytest.mark.parametrize("name", FIELDS)


def build(name: str) -> MotionGenerator:
    if name == "mixture":
        return Mixture(dict.fromkeys(BUILT_IN, 1.0))
    generator: MotionGenerator = motion_generators.get(name)()
    return generator


def test_built_in() -> None:
    assert set(BUILT_IN) <= set(motion_generators)


@every_generator
def test_is_what_a_generator_is(name: str) -> None:
    assert isinstance(build(name), MotionGenerator)


@every_generator
def test_linear_in_the_gain(name: str) -> None:
    """What "factor ×" means: every point's displacement is multiplied."""
    torch.manual_seed(0)
    generator = build(name)
    parameters = torch.rand(50, generator.parameters)
    points = (torch.rand(50, 30, 2) - 0.5) * 200
    once = generator.displacement(points, parameters, torch.ones(50, 1, 1))
    for factor in (0.0, 0.01, 7.3, 100.0):
        times = generator.displacement(points, parameters, torch.full((50, 1, 1), factor))
        assert (times - factor * once).abs().max() <= 1e-5 * factor * once.abs().max()
    assert once.abs().amax(dim=(1, 2)).min() > 0


@every_generator
def test_parameters_make_the_motion(name: str) -> None:
    """A generator that ignored a parameter would still be right, but would be asking for it in vain."""
    torch.manual_seed(1)
    generator = build(name)
    points = (torch.rand(1, 30, 2) - 0.5) * 100
    used = torch.zeros(generator.parameters)
    for _ in range(40):
        before = torch.rand(1, generator.parameters)
        field = generator.displacement(points, before, torch.ones(1, 1, 1))
        for i in range(generator.parameters):
            after = before.clone()
            after[0, i] = (after[0, i] + 0.3) % 1
            used[i] += (generator.displacement(points, after, torch.ones(1, 1, 1)) - field).abs().max()
    assert used.min() > 0.01


def frobenius(generator: MotionGenerator, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
    """Norm of the derivative by central differences in float64."""
    step = 1e-4
    sides = []
    for direction in torch.eye(2, dtype=torch.float64) * step:
        ahead, back = (generator.displacement(points + s * direction, parameters, gain) for s in (1, -1))
        sides.append((ahead - back) / (2 * step))
    return (sides[0].square() + sides[1].square()).sum(-1).sqrt()


@every_generator
def test_limits_hold_on_a_finer_lattice(name: str) -> None:
    """The motion of all material that can be seen, at points that the code does not use."""
    limits = MotionLimits(max_motion=4.0, max_magnified=12.0)
    synthesizer = Synthesizer(48, 64, motion=build(name), limits=limits, max_objects=2)
    geometry = synthesizer.geometry
    n = 96
    batch = {
        "background": torch.zeros(n, 3, *geometry.background_size, dtype=torch.uint8),
        "objects": torch.zeros(n, 2, 4, geometry.object_size, geometry.object_size, dtype=torch.uint8),
        "seed": torch.arange(n) * 7919,
        "subset": torch.zeros(n, dtype=torch.int64),
    }
    layers, factor = synthesizer.draw(batch)
    patch = geometry.object_size
    # What is seen of the background comes from no further than the greatest motion beyond the frame.
    reach = (64 + 2 * limits.max_magnified, 48 + 2 * limits.max_magnified)
    for (width, height), (parameters, amplitude), gain in (
        (reach, layers.background_motion, factor),
        ((patch, patch), layers.object_motion, factor[:, None].expand(n, 2)),
    ):
        parameters = parameters.reshape(-1, parameters.shape[-1]).double()
        amplitude, gain = amplitude.reshape(-1).double(), gain.reshape(-1).double()
        x = torch.arange(-width / 2, width / 2, 0.73, dtype=torch.float64)
        y = torch.arange(-height / 2, height / 2, 0.73, dtype=torch.float64)
        points = torch.cartesian_prod(x, y).expand(len(parameters), -1, -1)
        one = amplitude[:, None, None]
        peak = synthesizer.motion.displacement(points, parameters, one).norm(dim=-1).amax(dim=-1)
        steepest = frobenius(synthesizer.motion, points, parameters, one).amax(dim=-1)
        assert peak.max() <= limits.max_motion * 1.0001
        assert (peak * gain).max() <= limits.max_magnified * 1.0001
        assert (steepest * gain).max() <= limits.max_gradient * 1.001
        # Nor is anything far below what it may be, or has no motion at all.
        room = torch.stack(
            (
                peak / limits.max_motion,
                peak * gain / limits.max_magnified,
                steepest * gain / limits.max_gradient,
            )
        )
        assert room.amax(dim=0).quantile(0.95) > 0.5
        assert peak.min() > 0.0
        assert peak.median() > 0.02


Displacement = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
# Linear maps about the layer's centre: name, parameters, and the displacement at (x, y) and gain 1.
LINEAR: list[tuple[str, tuple[float, ...], Displacement]] = [
    ("rotation", (0.5, 0.5, 0.9), lambda x, y: (-y, x)),
    ("rotation", (0.5, 0.5, 0.1), lambda x, y: (y, -x)),
    ("scaling", (0.5, 0.5, 0.9), lambda x, y: (x, y)),
    ("scaling", (0.5, 0.5, 0.1), lambda x, y: (-x, -y)),
    ("shear", (0.5, 0.5, 0.0), lambda x, y: (y, 0 * y)),
    ("shear", (0.5, 0.5, 0.25), lambda x, y: (0 * x, -x)),
]


def blobs(height: int, width: int, centres: Tensor, spread: float = 2.0) -> Tensor:
    """An image (3, H, W) of Gaussian blobs at ``centres`` (N, 2)."""
    y = torch.arange(height, dtype=torch.float64)[:, None, None]
    x = torch.arange(width, dtype=torch.float64)[None, :, None]
    squared = (x - centres[:, 0]) ** 2 + (y - centres[:, 1]) ** 2
    return (0.8 * torch.exp(-0.5 * squared / spread**2)).sum(-1).expand(3, -1, -1).float()


def centroids(frame: Tensor, near: Tensor, reach: int = 9) -> Tensor:
    """Centroids (N, 2) of the blobs near ``near`` (N, 2)."""
    found = []
    image = frame.double().mean(0)
    for x, y in near.round().long().tolist():
        window = image[y - reach : y + reach + 1, x - reach : x + reach + 1]
        steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
        total = window.sum()
        found.append([x + (window.sum(0) * steps).sum() / total, y + (window.sum(1) * steps).sum() / total])
    return torch.tensor(found, dtype=torch.float64)


def render_blobs(
    generator: MotionGenerator, parameters: Tensor, amplitude: float, gains: list[float]
) -> tuple[Tensor, Tensor]:
    """Render blobs on the background: the frames (F, 3, H, W), and where the blobs are at gain 0 (N, 2)."""
    geometry = Geometry(height=110, width=120, margin=12, object_size=12, max_objects=0)
    x, y = torch.meshgrid(torch.arange(20, 110, 26.0), torch.arange(19, 100, 24.0), indexing="xy")
    places = torch.stack((x.flatten(), y.flatten()), dim=1) + torch.rand(x.numel(), 2)
    height, width = geometry.background_size
    layers = Layers(
        background=blobs(height, width, (places + geometry.margin).double())[None],
        objects=torch.zeros(1, 0, 4, 12, 12),
        centres=torch.zeros(1, 0, 2),
        phase=torch.zeros(1, 2),
        background_motion=(parameters[None], torch.tensor([amplitude])),
        object_motion=(torch.zeros(1, 0, len(parameters)), torch.zeros(1, 0)),
    )
    frames = Renderer(geometry, generator).render(layers, torch.tensor([gains]), torch.tensor([1.0]))
    return frames[0], places.double()


@pytest.mark.parametrize(("name", "parameters", "displacement"), LINEAR)
def test_material_points_move_by_factor_times(
    name: str, parameters: tuple[float, ...], displacement: Displacement
) -> None:
    """Under a linear map a blob's centroid moves as its centre does; the maps are written out above."""
    torch.manual_seed(0)
    amplitude, factor = 0.004, 17.0
    frames, places = render_blobs(build(name), torch.tensor(parameters), amplitude, [0.0, 1.0, factor])
    still = centroids(frames[0], places)
    assert (still - places).abs().max() < 2e-3
    centred = places - torch.tensor([59.5, 54.5])
    expected = torch.stack(displacement(*centred.unbind(1)), dim=1) * amplitude
    # A blob of 2 px is all in the window while it moves by up to 4 px.
    for frame, gain in ((frames[1], 1.0), (frames[2], factor)):
        moved = centroids(frame, places + gain * expected) - still
        assert (moved - gain * expected).abs().max() < 2e-3 + 0.003 * gain * expected.abs().max()


@every_field
def test_the_renderer_moves_material_by_the_field(name: str) -> None:
    """The frame at gain g shows at X + g · u(X) what was at X: pixel values say where they are from."""
    torch.manual_seed(2)
    generator = build(name)
    geometry = Geometry(height=40, width=52, margin=34, object_size=49, max_objects=1)
    n, patch = 12, geometry.object_size
    height, width = geometry.background_size
    # Red holds the column, green the row, and blue says that it is the object. Cubic splines keep straight
    # lines as they are.
    column = torch.arange(width, dtype=torch.float32).expand(height, width)
    row = torch.arange(height, dtype=torch.float32)[:, None].expand(height, width)
    place = torch.stack((column, row, torch.zeros(height, width)))
    parameters = torch.rand(n, 2, generator.parameters)
    x, y = torch.arange(-60, 61, 1.0), torch.arange(-60, 61, 1.0)
    lattice = torch.cartesian_prod(x, y).double().expand(2 * n, -1, -1)
    flat = parameters.flatten(0, 1).double()
    one = torch.ones(2 * n, 1, 1, dtype=torch.float64)
    steepest = frobenius(generator, lattice, flat, one).amax(dim=-1)
    peak = generator.displacement(lattice, flat, one).norm(dim=-1).amax(dim=-1)
    amplitude = torch.minimum(0.25 / steepest, 20 / peak).float().view(n, 2)
    inner = torch.ones(patch, patch)
    objects = torch.stack((*place[:2, :patch, :patch], inner, inner)).expand(n, 1, -1, -1, -1)
    centres = torch.tensor([25.0, 19.0]) + torch.rand(n, 1, 2)
    layers = Layers(
        background=place.expand(n, -1, -1, -1),
        objects=objects,
        centres=centres,
        phase=torch.rand(n, 2) - 0.5,
        background_motion=(parameters[:, 0], amplitude[:, 0]),
        object_motion=(parameters[:, 1:], amplitude[:, 1:]),
    )
    factor = 0.9
    gains = torch.tensor([[0.0, factor]]).expand(n, 2)
    sharp = torch.full((n,), 0.1)
    middle = torch.tensor([(geometry.width - 1) / 2, (geometry.height - 1) / 2], dtype=torch.float64)
    points = torch.stack(torch.meshgrid(torch.arange(52.0), torch.arange(40.0), indexing="xy"), -1).double()

    # The background alone.
    layers.objects = objects[:, :0]
    renderer = Renderer(geometry, generator, max_antialias=0.1)
    frames = renderer.render(layers, gains, sharp).double()
    source = frames[:, 1, :2].permute(0, 2, 3, 1)
    material = source - geometry.margin - layers.phase[:, None, None].double() - middle
    inside = ((source > 8) & (source < torch.tensor([width - 9.0, height - 9.0]))).all(-1)
    assert inside.float().mean() > 0.8
    check_inverse(generator, points - middle, material, parameters[:, 0], amplitude[:, 0] * factor, inside)

    # An object that covers the middle of the frame.
    layers.objects = objects
    frames = renderer.render(layers, gains, sharp).double()
    source = frames[:, 1, :2].permute(0, 2, 3, 1)
    material = source - (patch - 1) / 2
    moved = points - centres.double()[:, :, None]
    # Away from its edges, which splines ripple about.
    inside = (material.abs() < patch / 2 - 7).all(-1) & ((frames[:, 1, 2] - 1).abs() < 1e-3)
    assert inside.float().mean() > 0.2
    check_inverse(generator, moved, material, parameters[:, 1], amplitude[:, 1] * factor, inside)


def check_inverse(
    generator: MotionGenerator,
    points: Tensor,
    material: Tensor,
    parameters: Tensor,
    gain: Tensor,
    where: Tensor,
) -> None:
    """Check in float64 that the material (N, H, W, 2) is at the points once it has moved."""
    n = len(material)
    moved = generator.displacement(
        material.reshape(n, -1, 2), parameters.double(), gain.double().view(n, 1, 1)
    )
    moved = moved.expand(n, -1, 2).view(material.shape)
    error = (material + moved - points).norm(dim=-1)
    assert (error <= torch.clamp(0.01 * moved.norm(dim=-1), min=0.02))[where].all()


class Breathing:
    """A user's motion: everything along x grows away from a line and shrinks again, as a chest does."""

    parameters = 2
    is_translation = False

    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        along = points[..., :1] - 20.0 * (parameters[:, None, :1] - 0.5)
        width = 20.0 + 40.0 * parameters[:, None, 1:]
        push = along / width * torch.exp(-0.5 * (along / width) ** 2)
        return gain * torch.cat((push, torch.zeros_like(push)), dim=-1)


@pytest.fixture
def breathing() -> Iterator[None]:
    """The user's generator in the registry, as importing a plug-in would put it there."""
    motion_generators.register("breathing")(Breathing)
    yield
    del motion_generators.entries["breathing"]


@pytest.mark.usefixtures("breathing")
def test_a_users_generator_works_alone_and_in_a_mixture(make_batch) -> None:  # type: ignore[no-untyped-def]
    mixture = Mixture({"translation": 1.0, "breathing": 3.0})
    for motion in (Breathing(), mixture):
        synthesizer = Synthesizer(
            32, 40, motion=motion, limits=MotionLimits(max_magnified=6.0), object_size=24, max_objects=3
        )
        out = synthesizer(make_batch(synthesizer.geometry, [1, 2, 3, 4]))
        assert out["y"].shape == (4, 3, 32, 40)
        # All layers move, and y more than xb.
        assert out["motion"].norm(dim=-1).gt(0).float().mean() > 0.9
        assert (out["y"] - out["xa"]).abs().mean() > (out["xb"] - out["xa"]).abs().mean()
    layers, _ = synthesizer.draw(make_batch(synthesizer.geometry, list(range(100))))
    chosen = mixture.choice(layers.background_motion[0])
    assert float(chosen.float().mean()) == pytest.approx(0.75, abs=0.1)


def test_a_mixture_moves_each_layer_by_one_member() -> None:
    torch.manual_seed(0)
    mixture = Mixture({"translation": 1.0, "rotation": 2.0, "wave": 0.0, "shear": 1.0})
    assert mixture.names == ("translation", "rotation", "shear")
    parameters = torch.rand(4000, mixture.parameters)
    points, gain = torch.rand(4000, 3, 2) * 50, torch.rand(4000, 1, 1)
    choice = mixture.choice(parameters)
    assert [float((choice == i).float().mean()) for i in range(3)] == pytest.approx(
        [0.25, 0.5, 0.25], abs=0.03
    )
    field = mixture.displacement(points, parameters, gain)
    for index, name in enumerate(mixture.names):
        member, own = build(name), choice == index
        expected = member.displacement(points[own], parameters[own, 1 : 1 + member.parameters], gain[own])
        assert torch.equal(field[own], expected.expand(-1, 3, 2))


def test_a_mixture_of_translations_is_one() -> None:
    assert Mixture({"translation": 2.0}).is_translation
    assert not Mixture({"translation": 1.0, "shear": 1.0}).is_translation


def test_a_mixture_takes_objects_beside_names() -> None:
    short = TravellingWave(min_wavelength=30, max_wavelength=31)
    mixture = Mixture({"short": 1.0, "translation": 1.0}, {"short": short})
    assert mixture.members[0] is short


@pytest.mark.parametrize(
    ("generators", "message"),
    [
        ({}, "at least one weight above 0"),
        ({"translation": 0.0}, "at least one weight above 0"),
        ({"translation": -1.0}, "at least 0, got -1.0"),
        ({"translation": math.nan}, "at least 0, got nan"),
        ({"rotatoin": 1.0}, "did you mean 'rotation'"),
    ],
)
def test_bad_mixtures(generators: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Mixture(generators)


class Half:
    """A user's class that lacks two of a generator's three members."""

    parameters = 1


class Wide(Breathing):
    """A user's generator that cannot be made without a value."""

    def __init__(self, width: float) -> None:
        self.width = width


def test_what_a_users_class_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = "Half has no is_translation, no displacement; it needs"
    with pytest.raises(InputError, match=lacks):
        Synthesizer(32, 40, motion=Half())  # type: ignore[arg-type]
    monkeypatch.setitem(motion_generators.entries, "half", Half)
    with pytest.raises(InputError, match=lacks):
        Mixture({"half": 1.0})


class Squared(Translation):
    """Ten times the gain is a hundred times the motion."""

    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        return super().displacement(points, parameters, gain.square())


class Flat(Translation):
    """One number a point."""

    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        return gain * points[..., :1]


class Turning(Translation):
    """Says that all of a layer moves alike, and turns it."""

    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        return gain * points.flip(-1)


class Broken(Translation):
    """Fails."""

    def displacement(self, points: Tensor, parameters: Tensor, gain: Tensor) -> Tensor:
        raise IndexError("no such parameter")


@pytest.mark.parametrize(
    ("generator", "said"),
    [
        (Squared, "Squared is not in proportion to gain: 3 times the gain moves it 9 times as far"),
        (Flat, r"Flat returns \(3, 4, 1\) for points of shape \(3, 4, 2\)"),
        (Turning, "Turning says is_translation, and moves points of one layer differently"),
        (Broken, "Broken fails: IndexError: no such parameter"),
    ],
)
def test_a_generator_that_does_otherwise_is_refused(generator: type[Translation], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Synthesizer(32, 40, motion=generator())


def test_a_mixture_says_which_generator_needs_more_than_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(motion_generators.entries, "wide", Wide)
    with pytest.raises(InputError, match=r"'wide' cannot be made by its name alone \(missing .*'width'\)"):
        Mixture({"wide": 1.0, "translation": 1.0})
    assert len(Mixture({"wide": 1.0, "translation": 1.0}, {"wide": Wide(3.0)}).members) == 2


@pytest.mark.parametrize("generator", [Elastic, TravellingWave])
def test_bad_wavelengths(generator: type[Elastic] | type[TravellingWave]) -> None:
    with pytest.raises(InputError, match="got 50 and 20"):
        generator(min_wavelength=50, max_wavelength=20)


def test_translation_is_in_every_direction() -> None:
    parameters = torch.linspace(0, 1, 9)[:-1, None]
    moves = Translation().displacement(torch.zeros(8, 1, 2), parameters, torch.full((8, 1, 1), 2.0))[:, 0]
    assert (moves.norm(dim=-1) - 2.0).abs().max() < 1e-6
    assert moves.sum(0).abs().max() < 1e-5

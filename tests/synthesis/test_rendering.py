"""The renderer against a painter's algorithm in float64 and on its two paths, and its anti-aliasing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from mm.synthesis import Geometry, Rotation, Translation
from mm.synthesis.rendering import Layers, Renderer, blur, blur_some, gaussian_operator
from mm.synthesis.resampling import KERNELS, prefilter_matrix, resample_field, resampling_matrix

GAINS = torch.tensor([[0.0, 1.0, 7.5], [0.0, 1.0, 2.0]])
SIGMA = torch.tensor([1.0, 0.6])


def scene(geometry: Geometry, objects: int, seed: int = 0) -> Layers:
    """Two samples: a rough background, and rough objects of many opacities, some over the frame's border."""
    torch.manual_seed(seed)
    patch = geometry.object_size
    steps = torch.arange(patch) - (patch - 1) / 2
    # Transparent for 8 px at the rim, where the two ways to continue a spline past it have died out.
    alpha = (patch / 2 - 8 - torch.hypot(steps[None, :], steps[:, None])).clamp(0, 1)
    alpha = alpha * torch.rand(2, objects, 1, patch, patch).clamp(0.2, 1)
    colours = torch.rand(2, objects, 3, patch, patch) * alpha
    size = torch.tensor([geometry.width, geometry.height])
    return Layers(
        background=torch.rand(2, 3, *geometry.background_size),
        objects=torch.cat((colours, alpha), dim=2),
        centres=torch.rand(2, objects, 2) * (size + 8) - 4,
        phase=torch.rand(2, 2) - 0.5,
        background_motion=(torch.rand(2, 1), torch.tensor([0.4, 1.3])),
        object_motion=(torch.rand(2, objects, 1), torch.rand(2, objects)),
    )


def painted(
    geometry: Geometry, layers: Layers, sample: int, gain: float, scale: int, sigma: float
) -> np.ndarray:
    """One frame by the definition: back to front, one object after the other, with SciPy's cubic splines."""
    apron = 20 * scale
    rows = (np.arange(scale * (geometry.height - 1) + 1 + 2 * apron) - apron) / scale
    columns = (np.arange(scale * (geometry.width - 1) + 1 + 2 * apron) - apron) / scale

    def moved(parameters: Tensor, amplitude: Tensor) -> np.ndarray:
        angle = 2 * np.pi * float(parameters[0])
        return float(amplitude) * gain * np.array([np.cos(angle), np.sin(angle)])

    def sampled(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        at = np.meshgrid(y, x, indexing="ij")
        return np.stack([ndimage.map_coordinates(c, at, order=3, mode="mirror") for c in image])

    offset = geometry.margin + layers.phase[sample].double().numpy()
    shift = moved(layers.background_motion[0][sample], layers.background_motion[1][sample])
    background = layers.background[sample].double().numpy()
    canvas = sampled(background, columns - shift[0] + offset[0], rows - shift[1] + offset[1])
    for k in reversed(range(layers.objects.shape[1])):
        # SciPy mirrors; far enough out that is the mirror image of nothing.
        image = np.pad(layers.objects[sample, k].double().numpy(), ((0, 0), (60, 60), (60, 60)))
        centre = layers.centres[sample, k].double().numpy()
        centre = centre + moved(layers.object_motion[0][sample, k], layers.object_motion[1][sample, k])
        middle = (image.shape[-1] - 1) / 2
        x, y = columns - centre[0] + middle, rows - centre[1] + middle
        rgba = sampled(image, np.clip(x, 0, 2 * middle), np.clip(y, 0, 2 * middle))
        canvas = rgba[:3] + (1 - rgba[3]) * canvas
    reach = int(np.ceil(3.3 * scale))
    smooth = ndimage.gaussian_filter(canvas, sigma * scale, axes=(1, 2), radius=reach)
    return smooth[:, apron:-apron:scale, apron:-apron:scale]


@pytest.mark.parametrize("fast", [True, False], ids=["separable", "field"])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_equals_a_painters_algorithm(fast: bool, scale: int) -> None:
    geometry = Geometry(height=21, width=30, margin=24, object_size=31, max_objects=4)
    layers = scene(geometry, 4)
    renderer = Renderer(geometry, Translation(), supersampling=scale, fast_translation=fast)
    frames = renderer.render(layers, GAINS, SIGMA)
    assert frames.shape == (2, 3, 3, 21, 30)
    for sample in range(2):
        for frame, gain in zip(frames[sample], GAINS[sample].tolist(), strict=True):
            expected = painted(geometry, layers, sample, gain, scale, float(SIGMA[sample]))
            assert np.abs(frame.double().numpy() - expected).max() < 2e-4


@pytest.mark.parametrize("size", [(17, 40), (33, 8), (24, 24)])
@pytest.mark.parametrize("objects", [0, 5])
@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_both_paths_give_the_same(size: tuple[int, int], objects: int, kernel: str) -> None:
    geometry = Geometry(*size, margin=14, object_size=26, max_objects=objects)
    layers = scene(geometry, objects)
    one, other = (
        Renderer(geometry, Translation(), kernel, fast_translation=fast).render(layers, GAINS, SIGMA)
        for fast in (True, False)
    )
    assert one.shape == (2, 3, 3, *size)
    assert (one - other).abs().max() < 1e-4


def test_no_objects_and_empty_objects_are_the_same() -> None:
    geometry = Geometry(height=20, width=24, margin=14, object_size=16, max_objects=3)
    layers = scene(geometry, 3)
    layers.objects = layers.objects * 0
    renderer = Renderer(geometry, Translation())
    empty = renderer.render(layers, GAINS, SIGMA)
    layers.objects = layers.objects[:, :0]
    assert (renderer.render(layers, GAINS, SIGMA) - empty).abs().max() < 1e-6


def test_an_object_far_outside_changes_nothing() -> None:
    geometry = Geometry(height=20, width=24, margin=14, object_size=28, max_objects=2)
    layers = scene(geometry, 2)
    layers.centres = torch.tensor([[[-60.0, 5.0], [9.0, 80.0]], [[100.0, 90.0], [12.0, -70.0]]])
    renderer = Renderer(geometry, Translation())
    outside = renderer.render(layers, GAINS, SIGMA)
    layers.objects = layers.objects * 0
    assert (renderer.render(layers, GAINS, SIGMA) - outside).abs().max() < 1e-6


@pytest.mark.parametrize("sigma", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("supersampling", [2, 3])
def test_antialiasing_has_the_asked_standard_deviation(sigma: float, supersampling: int) -> None:
    """Variances of what is convolved add up: a blob of 9 px² gains the Gaussian's, along both axes."""
    geometry = Geometry(height=41, width=45, margin=4, object_size=12, max_objects=0)
    height, width = geometry.background_size
    y, x = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
    blob = torch.exp(-0.5 * (x[None, :] ** 2 + y[:, None] ** 2) / 9.0)
    layers = Layers(
        background=blob.expand(1, 3, -1, -1),
        objects=torch.zeros(1, 0, 4, 12, 12),
        centres=torch.zeros(1, 0, 2),
        phase=torch.zeros(1, 2),
        background_motion=(torch.zeros(1, 1), torch.zeros(1)),
        object_motion=(torch.zeros(1, 0, 1), torch.zeros(1, 0)),
    )
    renderer = Renderer(geometry, Translation(), supersampling=supersampling, max_antialias=1.0)
    frame = renderer.render(layers, torch.zeros(1, 1), torch.tensor([sigma]))[0, 0, 0].double()
    for axis, size in ((0, 41), (1, 45)):
        profile = frame.sum(1 - axis)
        steps = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
        variance = (profile * steps**2).sum() / profile.sum()
        assert float((variance - 9.0).sqrt()) == pytest.approx(sigma, rel=0.03)
    # And it keeps the light.
    assert float(frame.sum()) == pytest.approx(float(blob.double().sum()), rel=1e-3)


def test_steep_fields_are_solved_further() -> None:
    geometry = Geometry(height=20, width=24, margin=14, object_size=16, max_objects=1)
    steps = [Renderer(geometry, Rotation(), max_gradient=g).inversion_steps for g in (0.1, 0.25, 0.5)]
    assert steps == sorted(steps)
    for gradient, count in zip((0.1, 0.25, 0.5), steps, strict=True):
        assert gradient**count < 5e-4


@pytest.mark.parametrize("sigma", [0.0, 2.0, 6.0])
def test_blur_of_a_mirrored_line(sigma: float) -> None:
    torch.manual_seed(0)
    line = torch.rand(40, dtype=torch.float64)
    blurred = gaussian_operator(40, torch.tensor([sigma]))[0].double() @ line
    # SciPy's "mirror" is the one about the outermost samples. A line this short is mirrored once by us.
    expected = ndimage.gaussian_filter1d(line.numpy(), sigma, mode="mirror", truncate=6.0) if sigma else line
    assert np.abs(blurred.numpy() - np.asarray(expected)).max() < 1e-5


def test_blur_of_images_each_its_own() -> None:
    """Of a batch in which some are not blurred, against each alone; what is not, is untouched."""
    torch.manual_seed(0)
    images = torch.rand(4, 3, 40, 24)
    before = images.clone()
    sigma = torch.tensor([2.0, 0.0, 5.0, 0.0])
    blurred = blur_some(images, sigma)
    assert torch.equal(images, before)
    assert torch.equal(blurred, blur(images, sigma))
    for image, width, result in zip(before, sigma.tolist(), blurred, strict=True):
        expected = ndimage.gaussian_filter(
            image.double().numpy(), (0, width, width), mode="mirror", truncate=6
        )
        assert np.abs(result.numpy() - expected).max() < 1e-5
        assert torch.equal(result, image) == (width == 0)
    assert torch.equal(blur_some(images, torch.zeros(4)), images)


@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_resampling_matrix_keeps_polynomials(kernel: str) -> None:
    """What a kernel reproduces: constants all of them, straight lines those of order 2 and more."""
    positions = torch.tensor([[7.0, 8.25, 9.5, 12.999]])
    matrix = resampling_matrix(positions, 24, kernel, mirror=True)
    prefilter = prefilter_matrix(24, kernel, torch.device("cpu"))
    if prefilter is not None:
        matrix = matrix @ prefilter
    assert (matrix.sum(-1) - 1).abs().max() < 1e-5
    steps = torch.arange(24.0)
    if kernel != "torch-bicubic":
        assert (matrix @ steps - positions).abs().max() < 1e-4
        assert (matrix @ (steps / 10) ** 2 - (positions / 10) ** 2).abs().max() < 1e-3
    # On a sample it is that sample.
    assert (matrix[0, 0] - (steps == 7).float()).abs().max() < 1e-5


def test_mirror_beyond_the_ends() -> None:
    """Positions −x and 2(n−1) − x show what x shows, however far out."""
    inside = torch.tensor([0.0, 0.3, 3.7, 5.0])
    matrices = [
        resampling_matrix(positions, 9, "keys", mirror=True)
        for positions in (inside, -inside, 16 - inside, inside - 16, inside + 32)
    ]
    for matrix in matrices[1:]:
        assert (matrix - matrices[0]).abs().max() < 5e-6


def test_zero_beyond_the_ends() -> None:
    matrix = resampling_matrix(torch.tensor([-2.0, -40.0, 10.0, 99.0]), 9, "keys", mirror=False)
    assert torch.equal(matrix, torch.zeros(4, 9))
    image = torch.ones(1, 1, 6, 6)
    place = torch.tensor([[[-3.5, 9.1]]])
    for kernel in KERNELS:
        assert resample_field(image, place, place, kernel, mirror=False).abs().max() < 1e-6


@pytest.mark.parametrize("kernel", ["keys", "torch-bicubic"])
def test_cubic_convolution_is_torchs(kernel: str) -> None:
    """With torch's own parameter the weights are those of its grid_sample, with Keys' they are not."""
    torch.manual_seed(0)
    line = torch.rand(1, 1, 1, 20)
    positions = torch.linspace(3, 16, 50)
    ours = resampling_matrix(positions, 20, kernel, mirror=True) @ line[0, 0, 0]
    grid = torch.stack((positions / 19 * 2 - 1, torch.zeros(50)), dim=-1)[None, None]
    theirs = torch.nn.functional.grid_sample(line, grid, "bicubic", "border", align_corners=True)[0, 0, 0]
    if kernel == "torch-bicubic":
        assert (ours - theirs).abs().max() < 1e-5
    else:
        assert (ours - theirs).abs().max() > 0.01


@pytest.mark.parametrize("present", [0, 3])
def test_leaving_out_empty_patches_changes_no_bit(present: int, monkeypatch: pytest.MonkeyPatch) -> None:
    geometry = Geometry(height=20, width=24, margin=6, object_size=24)
    layers = scene(geometry, objects=6)
    # The second sample has fewer objects than the first one, and neither has all.
    layers.objects[:, present:] = 0.0
    layers.objects[1:, max(0, present - 1) :] = 0.0
    samples = layers.objects.shape[0]
    gains, antialias = torch.tensor([[0.0, 2.5]]).expand(samples, -1), torch.full((samples,), 0.8)
    renderer = Renderer(geometry, Translation())
    trimmed = renderer.render(layers, gains, antialias)
    assert layers.trimmed().objects.shape[1] == present
    monkeypatch.setattr(Layers, "trimmed", lambda layers: layers)
    assert torch.equal(renderer.render(layers, gains, antialias), trimmed)

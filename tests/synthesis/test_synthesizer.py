"""The whole synthesis: reproducible, the subsets, the sensor, the perturbed frames, and no waiting."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mm.errors import InputError
from mm.synthesis import SUBSETS, Geometry, Mixture, MotionLimits, SubsetConfig, Synthesizer, subset_index
from mm.synthesis.rendering import Layers, _lattice_to_grid, blur
from mm.synthesis.resampling import _prefilter

MakeBatch = Callable[..., dict[str, Tensor]]
FRAMES = ("xa", "xb", "y", "xb_perturbed", "y_perturbed")
EVERYTHING = dict.fromkeys(("translation", "rotation", "scaling", "shear", "elastic", "wave"), 1.0)
SHARP, BLURRED, BACKGROUND, STATIC, OBJECTS = range(5)


def small(**changes: Any) -> Synthesizer:
    settings: dict[str, Any] = {
        "height": 34,
        "width": 44,
        "limits": MotionLimits(max_motion=3.0, max_magnified=8.0),
        "object_size": 22,
        "max_objects": 4,
    }
    return Synthesizer(**(settings | changes))


def pick(batch: dict[str, Tensor], places: list[int]) -> dict[str, Tensor]:
    return {name: values[places] for name, values in batch.items()}


def test_shapes_and_ranges(make_batch: MakeBatch) -> None:
    synthesizer = small()
    batch = make_batch(synthesizer.geometry, [5, 6, 7], [SHARP, BLURRED, OBJECTS])
    out = synthesizer(batch)
    for name in FRAMES:
        assert out[name].shape == (3, 3, 34, 44)
        assert out[name].dtype == torch.float32
        assert out[name].min() >= 0
        assert out[name].max() <= 1
        assert out[name].std() > 0.02
    # All but the clean target are 8-bit values.
    for name in FRAMES:
        levels = out[name] * 255
        assert ((levels - levels.round()).abs().max() < 1e-4) == (name != "y")
    assert out["factor"].shape == (3,)
    assert ((out["factor"] >= 1) & (out["factor"] <= 100)).all()
    assert out["motion"].shape == (3, 5, 2)
    for name in ("seed", "subset", "index"):
        assert torch.equal(out[name], batch[name])


def test_unquantised_frames_round_to_the_quantised_ones(make_batch: MakeBatch) -> None:
    synthesizer, exact = small(), small(quantised=False)
    batch = make_batch(synthesizer.geometry, [5, 6], [SHARP, BLURRED])
    rounded, whole = synthesizer(batch), exact(batch)
    for name in FRAMES[:2] + FRAMES[3:]:
        levels = whole[name] * 255
        assert (levels - levels.round()).abs().max() > 0.3
        assert 0 < (rounded[name] - whole[name]).abs().max() < 1.001 / 255
        assert whole[name].min() >= 0
        assert whole[name].max() <= 1
    assert torch.equal(rounded["y"], whole["y"])


def test_a_share_of_the_samples_is_rounded_to_the_nearest(make_batch: MakeBatch) -> None:
    exact = small(quantised=False)
    batch = make_batch(exact.geometry, list(range(12)), [SHARP] * 12)
    whole = exact(batch)
    found = {share: small(nearest=share)(batch) for share in (0.0, 0.5, 1.0)}
    farthest = {
        share: (frames["xb"] - whole["xb"]).abs().flatten(1).amax(1) * 255 for share, frames in found.items()
    }
    assert (farthest[0.0] > 0.9).all()
    assert (farthest[1.0] < 0.501).all()
    # A sample is rounded in one way, and its other numbers are the same.
    near = farthest[0.5] < 0.501
    assert 2 <= near.sum() <= 10
    for share, chosen in ((1.0, near), (0.0, ~near)):
        assert torch.equal(found[0.5]["xb"][chosen], found[share]["xb"][chosen])
    with pytest.raises(InputError, match="a share of the samples, from 0 to 1, got 2"):
        small(nearest=2)


def test_has_no_parameters_and_nothing_in_checkpoints() -> None:
    synthesizer = small()
    assert not list(synthesizer.parameters())
    assert synthesizer.state_dict() == {}


# -- reproducible ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("motion", ["translation", "mixture"])
def test_a_sample_does_not_depend_on_its_batch(motion: str, make_batch: MakeBatch) -> None:
    """Bit for bit on the CPU: alone, in a batch of four, in another order, a second time."""
    synthesizer = small(motion=Mixture(EVERYTHING) if motion == "mixture" else None)
    seeds = [3, 2**40 + 1, 11, 2**61 + 9]
    batch = make_batch(synthesizer.geometry, seeds, [SHARP, BLURRED, STATIC, OBJECTS])
    together = synthesizer(batch)
    order = [2, 0, 3, 1]
    shuffled = synthesizer(pick(batch, order))
    for name in (*FRAMES, "factor", "motion"):
        assert torch.equal(shuffled[name], together[name][order]), name
        for place in range(4):
            alone = synthesizer(pick(batch, [place]))
            assert torch.equal(alone[name][0], together[name][place]), name
    for name in FRAMES:
        assert torch.equal(synthesizer(batch)[name], together[name])


def test_a_sample_does_not_depend_on_the_global_generator(make_batch: MakeBatch) -> None:
    synthesizer = small()
    batch = make_batch(synthesizer.geometry, [3])
    torch.manual_seed(0)
    first = synthesizer(batch)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    second = synthesizer(batch)
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in FRAMES)


def test_seeds_make_different_samples(make_batch: MakeBatch) -> None:
    synthesizer = small()
    batch = make_batch(synthesizer.geometry, [3] * 4)
    batch["seed"] = torch.tensor([3, 4, 3 + 2**32, 3 + 2**45])
    out = synthesizer(batch)
    assert len(set(out["factor"].tolist())) == 4
    for i in range(1, 4):
        assert (out["xa"][i] - out["xa"][0]).abs().mean() > 0.01


def test_room_for_more_objects_changes_nothing(make_batch: MakeBatch) -> None:
    few, many = small(max_objects=2), small(max_objects=6)
    batch = make_batch(few.geometry, [8, 9])
    more = dict(batch)
    empty = torch.zeros(2, 4, *batch["objects"].shape[2:], dtype=torch.uint8)
    more["objects"] = torch.cat((batch["objects"], empty), dim=1)
    one, other = few(batch), many(more)
    assert torch.equal(one["factor"], other["factor"])
    assert torch.equal(one["motion"], other["motion"][:, :3])
    assert all((one[name] - other[name]).abs().max() < 1.5 / 255 for name in FRAMES)
    assert (one["y"] - other["y"]).abs().max() < 1e-5


# -- precision ---------------------------------------------------------------------------------------------


@pytest.fixture
def restored_precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("restored_precision")
@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_the_trainers_precision_does_not_reach_it(precision: str, make_batch: MakeBatch) -> None:
    synthesizer = small()
    batch = make_batch(synthesizer.geometry, [3, 4])
    expected = synthesizer(batch)
    torch.set_float32_matmul_precision(precision)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = synthesizer(batch)
        assert torch.is_autocast_enabled("cpu")
    assert torch.get_float32_matmul_precision() == precision
    assert all(torch.equal(found[name], expected[name]) for name in FRAMES)


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch has one precision interface only"
)
def test_precision_set_through_the_newer_interface(make_batch: MakeBatch) -> None:
    """Torch refuses to read the older settings once the newer ones were used."""
    synthesizer = small()
    batch = make_batch(synthesizer.geometry, [3])
    expected = synthesizer(batch)
    owners: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [owner.fp32_precision for owner in owners]
    try:
        for owner, setting in zip(owners, ("tf32", "ieee"), strict=True):
            owner.fp32_precision = setting
        found = synthesizer(batch)
        assert [owner.fp32_precision for owner in owners] == ["tf32", "ieee"]
    finally:
        for owner, setting in zip(owners, before, strict=True):
            owner.fp32_precision = setting
    assert torch.equal(found["xb"], expected["xb"])


# -- no host synchronisation -------------------------------------------------------------------------------


@pytest.mark.parametrize("motion", ["translation", "mixture"])
@pytest.mark.parametrize(
    "subsets",
    [
        SUBSETS,
        (SubsetConfig("plain"),),
        (SubsetConfig("plain"), SubsetConfig("own", noise=(0, 0.1), limits={"max_magnified": 9.0})),
    ],
)
def test_nothing_is_read_on_the_host(
    motion: str, subsets: tuple[SubsetConfig, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fake tensors have no values: ``.item()``, ``bool()``, boolean indexing and the like raise."""
    # What is done on a CPU alone, where looking is free; these fake tensors stand for a GPU's.
    monkeypatch.setattr(Layers, "trimmed", lambda layers: layers)
    monkeypatch.setattr("mm.synthesis.rendering.blur_some", blur)
    synthesizer = small(motion=Mixture(EVERYTHING) if motion == "mixture" else None, subsets=subsets)
    geometry = synthesizer.geometry
    # Matrices that are kept between calls must be real ones, and none of this test may be kept.
    for cache in (_prefilter, _lattice_to_grid):
        cache.cache_clear()
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            batch = {
                "background": torch.empty(2, 3, *geometry.background_size, dtype=torch.uint8),
                "objects": torch.empty(2, 4, 4, 22, 22, dtype=torch.uint8),
                "seed": torch.empty(2, dtype=torch.int64),
                "subset": torch.zeros(2, dtype=torch.int64),
                "index": torch.zeros(2, dtype=torch.int64),
            }
            out = synthesizer(batch)
    finally:
        for cache in (_prefilter, _lattice_to_grid):
            cache.cache_clear()
    assert out["y"].shape == (2, 3, 34, 44)


def test_nothing_is_copied_to_the_device(make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor made of Python numbers is copied to the device, and torch waits for that."""
    synthesizer = small(motion=Mixture(EVERYTHING))
    batch = make_batch(synthesizer.geometry, [3, 4])
    synthesizer(batch)  # fills the caches

    def refuse(*args: object, **kwargs: object) -> Tensor:
        raise AssertionError("a tensor was made of Python numbers")

    for name in ("tensor", "as_tensor", "from_numpy"):
        monkeypatch.setattr(torch, name, refuse)
    synthesizer(batch)


# -- subsets -----------------------------------------------------------------------------------------------


def test_recipes_are_the_papers() -> None:
    assert [subset.name for subset in SUBSETS] == ["sharp", "blurred", "background", "static", "objects"]
    assert SUBSETS[BACKGROUND].objects == (0, 0)
    for index in (SHARP, BLURRED, STATIC, OBJECTS):
        assert SUBSETS[index].objects == (7, 15)
    assert subset_index("static") == STATIC
    with pytest.raises(InputError, match="no subset is called 'sharpp'"):
        subset_index("sharpp")


def test_what_moves_in_each_subset(make_batch: MakeBatch) -> None:
    synthesizer = small(noise=(0.0, 0.0))
    seeds = list(range(5))
    out = synthesizer(make_batch(synthesizer.geometry, seeds, seeds))
    background, objects = out["motion"][:, 0].norm(dim=-1), out["motion"][:, 1:].norm(dim=-1)
    for index in (SHARP, BLURRED, BACKGROUND):
        assert background[index] > 0.005
    for index in (STATIC, OBJECTS):
        assert background[index] == 0
    for index in (SHARP, BLURRED, OBJECTS):
        assert objects[index].min() > 0.005
    for index in (BACKGROUND, STATIC):
        assert objects[index].max() == 0


def test_static_frames_differ_by_noise_alone(make_batch: MakeBatch) -> None:
    """y is the noiseless scene, so xa and xb average to it and scatter about it as photons do."""
    synthesizer = small(height=96, width=96, noise=(0.02, 0.02))
    out = synthesizer(make_batch(synthesizer.geometry, [1, 2], [STATIC, STATIC]))
    inner = (out["y"] > 0.15) & (out["y"] < 0.85)
    for name in ("xa", "xb"):
        error = (out[name] - out["y"])[inner]
        assert abs(error.mean()) < 4 * 0.02 / error.numel() ** 0.5
        scaled = error / (out["y"][inner] / 0.5).sqrt()
        assert float(scaled.std()) == pytest.approx(0.02, rel=0.03)
    a, b = ((out[name] - out["y"])[inner] for name in ("xa", "xb"))
    assert abs(torch.corrcoef(torch.stack((a, b)))[0, 1]) < 0.03


def test_objects_subset_has_a_static_background(make_batch: MakeBatch) -> None:
    synthesizer = small(noise=(0.0, 0.0), max_objects=1)
    out = synthesizer(make_batch(synthesizer.geometry, list(range(12)), [OBJECTS] * 12))
    change = (out["y"] - out["xa"]).abs().amax(dim=1)
    still = change < 1.5 / 255
    # The object and what it uncovers is a part of the frame, in every sample.
    assert still.float().mean(dim=(1, 2)).min() > 0.3
    assert still.float().mean() < 0.98


def test_blurred_background_is_blurred_and_pale(make_batch: MakeBatch) -> None:
    synthesizer = small(noise=(0.0, 0.0))
    batch = make_batch(synthesizer.geometry, [1, 1], [SHARP, BLURRED], objects=0)
    sharp, blurred = synthesizer(batch)["y"]
    assert blurred.std() < 0.7 * sharp.std()
    assert blurred.diff(dim=-1).std() / blurred.std() < 0.9 * sharp.diff(dim=-1).std() / sharp.std()
    assert (blurred.mean(dim=(1, 2)) - sharp.mean(dim=(1, 2))).abs().max() < 0.06


# -- sensor and colour -------------------------------------------------------------------------------------


def test_a_subset_may_have_noise_and_limits_of_its_own(make_batch: MakeBatch) -> None:
    """Each sample is that of a synthesizer which has its subset's values throughout."""
    limits = MotionLimits(min_motion=0.5, max_motion=3.0, max_magnified=11.0, min_factor=2.0, max_factor=4.0)
    # What the subset leaves out is the synthesizer's.
    given = {name: value for name, value in asdict(limits).items() if name != "max_motion"}
    own = SubsetConfig("own", noise=(0.1, 0.1), limits=given)
    mixed = small(noise=(0.0, 0.0), subsets=(SubsetConfig("usual"), own))
    usual = small(noise=(0.0, 0.0), subsets=(SubsetConfig("usual"), SubsetConfig("other")))
    # The margin is for the farthest of all motions.
    assert mixed.geometry.margin == small(limits=limits).geometry.margin > usual.geometry.margin
    seeds = list(range(40))
    both = mixed(make_batch(mixed.geometry, seeds, [0, 1] * 20))
    first = usual(make_batch(usual.geometry, seeds, [0, 1] * 20))
    assert torch.equal(both["factor"][::2], first["factor"][::2])
    torch.testing.assert_close(both["motion"][::2], first["motion"][::2])
    motion, factor = both["motion"][1::2].norm(dim=-1), both["factor"][1::2]
    assert factor.min() >= 2
    assert factor.max() <= 4
    assert motion.min() > 0.49
    magnified = (motion * factor[:, None]).amax()
    assert 9 < magnified < 11.01
    assert 2.5 < motion.max() < 3.01
    alone = small(noise=(0.1, 0.1), limits=limits, subsets=(SubsetConfig("usual"), SubsetConfig("own")))
    expected = alone(make_batch(alone.geometry, seeds, [0, 1] * 20))
    for name in ("xa", "xb", "y", "factor"):
        torch.testing.assert_close(both[name][1::2], expected[name][1::2])
        assert not torch.allclose(both[name][::2], expected[name][::2])


def test_the_target_can_have_noise_too(make_batch: MakeBatch) -> None:
    clean, noisy = small(noise=(0.02, 0.02)), small(noise=(0.02, 0.02), clean_target=False)
    batch = make_batch(clean.geometry, [1])
    truth, out = clean(batch), noisy(batch)
    levels = out["y"] * 255
    assert (levels - levels.round()).abs().max() < 1e-4
    assert float((out["y"] - truth["y"]).std()) == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize("clean_target", [True, False])
def test_without_the_perturbed_frames_the_others_are_of_the_same_scene(
    clean_target: bool, make_batch: MakeBatch
) -> None:
    every, fewer = (
        small(noise=(1e-6, 1e-6), clean_target=clean_target, perturbed=given) for given in (True, False)
    )
    batch = make_batch(every.geometry, [1, 2], [SHARP, STATIC])
    whole, part = every(batch), fewer(batch)
    assert set(whole) - set(part) == {"xb_perturbed", "y_perturbed"}
    for name in ("xa", "xb", "y"):
        # The rounding is another draw.
        torch.testing.assert_close(part[name], whole[name], rtol=0, atol=1.01 / 255)
    for name in ("change", "factor", "motion"):
        assert torch.equal(part[name], whole[name])


def test_perturbed_frames_differ_in_colour_and_not_in_motion(make_batch: MakeBatch) -> None:
    """One affine map of the colours takes xb to its perturbed frame, and the same map takes y to its own."""
    synthesizer = small(noise=(0.0, 0.0), height=64, width=64, colour=0.6)
    out = synthesizer(make_batch(synthesizer.geometry, list(range(6))))
    for i in range(6):
        xb, y = (out[name][i].flatten(1).T.double() for name in ("xb", "y"))
        target = out["xb_perturbed"][i].flatten(1).T.double()
        visible = ((target > 0.02) & (target < 0.98)).all(-1)
        one = torch.ones(len(xb), 1, dtype=torch.float64)
        colours = torch.linalg.lstsq(torch.cat((xb, one), 1)[visible], target[visible]).solution
        assert (colours[:3] - torch.eye(3)).abs().max() > 0.05
        mapped = (torch.cat((y, one), 1) @ colours).clamp(0, 1)
        found = out["y_perturbed"][i].flatten(1).T.double()
        # Within stochastic rounding, and the fit's error.
        assert (mapped - found).abs().max() < 2.5 / 255


def test_no_colour_change(make_batch: MakeBatch) -> None:
    synthesizer = small(noise=(0.0, 0.0), colour=0.0)
    out = synthesizer(make_batch(synthesizer.geometry, [1, 2]))
    assert (out["y_perturbed"] - out["y"]).abs().max() < 1.01 / 255


# -- sizes and limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(8, 8), (33, 47), (50, 20)])
@pytest.mark.parametrize("supersampling", [1, 2, 3])
@pytest.mark.parametrize("motion", ["translation", "mixture"])
def test_sizes(size: tuple[int, int], supersampling: int, motion: str, make_batch: MakeBatch) -> None:
    synthesizer = small(
        height=size[0],
        width=size[1],
        supersampling=supersampling,
        motion=Mixture(EVERYTHING) if motion == "mixture" else None,
        limits=MotionLimits(min_factor=0.3, max_factor=50.0, max_motion=2.0, max_magnified=4.0),
        max_objects=2,
    )
    out = synthesizer(make_batch(synthesizer.geometry, [1, 2, 3]))
    for name in FRAMES:
        assert out[name].shape == (3, 3, *size)
        assert out[name].isfinite().all()


@pytest.mark.parametrize("motion", ["translation", "mixture"])
def test_no_room_for_objects(motion: str, make_batch: MakeBatch) -> None:
    synthesizer = small(max_objects=0, motion=Mixture(EVERYTHING) if motion == "mixture" else None)
    out = synthesizer(make_batch(synthesizer.geometry, [1, 2], [BACKGROUND, BLURRED]))
    assert out["motion"].shape == (2, 1, 2)
    assert (out["y"] - out["xa"]).abs().mean() > 0


def test_below_factor_1_y_moves_less(make_batch: MakeBatch) -> None:
    limits = MotionLimits(min_motion=2.0, max_motion=3.0, min_factor=0.1, max_factor=0.1)
    synthesizer = small(limits=limits, noise=(0.0, 0.0))
    out = synthesizer(make_batch(synthesizer.geometry, [1], objects=0))
    assert (out["y"] - out["xa"]).abs().mean() < 0.3 * (out["xb"] - out["xa"]).abs().mean()


def test_layers_of_another_size_are_refused(make_batch: MakeBatch) -> None:
    batch = make_batch(Geometry(40, 40, 11, 22, 4), [1])
    with pytest.raises(InputError, match=r"\(62, 62\) and 22 px do not fit"):
        small()(batch)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": (0.1, 0.05)}, r"noise must be a range .* got \(0.1, 0.05\)"),
        ({"noise": (0.0, 7.0)}, "3 of 255 is 0.0118"),
        ({"noise": (0.0, 5.01)}, "at most 5 "),
        ({"noise": (0.0, 0.1), "noise_distribution": "log-uniform"}, "begins above 0"),
        ({"noise_distribution": "normal"}, "uniform or log-uniform, got 'normal'"),
        (
            {"subsets": (SubsetConfig("own", limits={"max_magnified": 0.2}),)},
            "subset 'own': limits: min_motion × max_factor = 1 px is more than max_magnified = 0.2 px",
        ),
        ({"subsets": (SubsetConfig("own", noise=(0.0, 7.0)),)}, "noise of subset own is in .* at most 5 "),
        (
            {
                "noise": (0.01, 0.1),
                "noise_distribution": "log-uniform",
                "subsets": (SubsetConfig("own", noise=(0.0, 0.1)),),
            },
            "log-uniform noise of subset own needs a range that begins above 0",
        ),
        ({"antialias": (0.0, 1.0)}, "antialias must be a range"),
        ({"supersampling": 0}, "supersampling must be at least 1, got 0"),
        ({"kernel": "bicubic"}, "no interpolation kernel is called 'bicubic'"),
        ({"height": 4}, "height must be at least 8 px, got 4"),
        ({"object_size": 5}, "object_size must be at least 12 px, got 5"),
        ({"max_objects": -1}, "max_objects must be at least 0 .* got -1"),
        ({"max_objects": 300}, "at most 254, got 300"),
    ],
)
def test_bad_settings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        small(**arguments)


def test_noise_that_may_be_of_grey_levels_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="divide grey levels by 255"):
        small(noise=(0.0, 1.0))


def test_the_widest_range_of_noise() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small(noise=(0.0, 0.5))
        small(noise=(0.0001, 2.0), noise_distribution="log-uniform")


def test_is_a_module() -> None:
    assert isinstance(small(), nn.Module)


def test_log_uniform_noise_has_as_many_samples_in_each_decade(make_batch: MakeBatch) -> None:
    """A third of the strengths from 0.0002 to 0.2 lie in each of the three decades."""
    synthesizer = small(height=32, width=32, noise=(0.0002, 0.2), noise_distribution="log-uniform")
    out = synthesizer(make_batch(synthesizer.geometry, list(range(48)), [STATIC] * 48))
    difference = (out["xb"] - out["xa"]).flatten(1).std(dim=1) / 2**0.5
    # Below 0.002 the rounding to 8 bits hides the noise; above, clamping takes some of the strongest away.
    assert 0.5 < float((difference < 0.012).float().mean()) < 0.8
    assert float((difference > 0.03).float().mean()) > 0.1


def test_a_filtered_reference_has_the_clean_change_and_less_noise(make_batch: MakeBatch) -> None:
    batch = make_batch(small().geometry, list(range(6)))
    noise = {"noise": (0.02, 0.02), "quantised": False, "perturbed": False}
    plain, filtered = (small(**noise, filtered=share)(batch) for share in (0.0, 1.0))
    clean = small(noise=(0.0, 0.0), quantised=False, perturbed=False)(batch)
    assert torch.equal(plain["xb"], filtered["xb"])
    change = clean["xb"] - clean["xa"]
    excess = {
        name: (found["xb"] - found["xa"] - change).std((1, 2, 3))
        for name, found in {"pair": plain, "band": filtered}.items()
    }
    # Of twice the power of one frame's noise a share between 0.005 and 0.5 passes.
    ratio = (excess["band"] / excess["pair"]) ** 2
    assert bool(((ratio > 0.0025 * 0.9) & (ratio < 0.25 * 1.1)).all())
    assert len(ratio.unique()) == len(ratio)

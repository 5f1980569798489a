"""The ground truth agrees with geometry written out by hand, and with the frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage
from torch import Tensor

from mm.synthesis import Mixture, MotionLimits, Synthesizer, ground_truth

MakeBatch = Callable[..., dict[str, Tensor]]
EVERYTHING = dict.fromkeys(("translation", "rotation", "scaling", "shear", "elastic", "wave"), 1.0)


def build(motion: Mixture | None = None, max_objects: int = 3, subsets: int = 0) -> Synthesizer:
    limits = MotionLimits(min_motion=0.3, max_motion=3.0, min_factor=2.0, max_factor=10.0, max_magnified=8.0)
    return Synthesizer(
        56, 72, motion=motion, limits=limits, noise=(0.0, 0.0), object_size=40, max_objects=max_objects
    )


def test_visible_layer_and_displacement(make_batch: MakeBatch) -> None:
    """Discs of radius 16 at the centres that are reported, the first in front."""
    synthesizer = build()
    batch = make_batch(synthesizer.geometry, [4, 5, 6])
    out = synthesizer(batch)
    y, x = np.mgrid[:56, :72]
    for i, truth in enumerate(ground_truth(synthesizer, batch)):
        assert [layer.label for layer in truth.layers] == [1, 2, 3, 0]
        assert [layer.kind for layer in truth.layers] == ["object"] * 3 + ["background"]
        assert truth.factor == pytest.approx(float(out["factor"][i]))
        expected, certain = np.zeros((56, 72), int), np.ones((56, 72), bool)
        for layer in reversed(truth.layers[:-1]):
            distance = np.hypot(x - layer.centre[0], y - layer.centre[1])
            expected[distance < 15.5] = layer.label
            certain &= abs(distance - 15.5) > 1
        assert certain.mean() > 0.7
        visible = truth.visible.numpy()
        assert (visible == expected)[certain].all()
        for layer in truth.layers:
            assert layer.motion == "translation"
            assert layer.is_translation
            assert layer.displacement == pytest.approx(out["motion"][i, layer.label].tolist(), abs=1e-6)
            assert layer.magnified == pytest.approx([truth.factor * d for d in layer.displacement])
            moves = truth.displacement.numpy()[visible == layer.label]
            if len(moves):
                assert np.abs(moves - layer.displacement).max() < 1e-6
        assert truth.layers[-1].centre == (35.5, 27.5)


def test_absent_objects_are_left_out(make_batch: MakeBatch) -> None:
    synthesizer = build()
    truth = ground_truth(synthesizer, make_batch(synthesizer.geometry, [4], objects=1))[0]
    assert [layer.label for layer in truth.layers] == [1, 0]
    assert set(truth.visible.unique().tolist()) <= {0, 1}


def test_no_objects_at_all(make_batch: MakeBatch) -> None:
    synthesizer = build(max_objects=0)
    truth = ground_truth(synthesizer, make_batch(synthesizer.geometry, [4]))[0]
    assert [layer.kind for layer in truth.layers] == ["background"]
    assert truth.visible.max() == 0


def test_a_mixture_names_each_layers_generator(make_batch: MakeBatch) -> None:
    synthesizer = build(Mixture(EVERYTHING))
    truths = ground_truth(synthesizer, make_batch(synthesizer.geometry, list(range(12))))
    layers = [layer for truth in truths for layer in truth.layers]
    assert {layer.motion for layer in layers} == set(EVERYTHING)
    assert all(layer.is_translation == (layer.motion == "translation") for layer in layers)


@pytest.mark.parametrize("motion", ["translation", "mixture"])
def test_the_field_takes_xa_to_xb_and_to_y(motion: str, make_batch: MakeBatch) -> None:
    """At p + factor · d(p) in y, and at p + d(p) in xb, is what is at p in xa, where nothing covers it."""
    synthesizer = build(Mixture(EVERYTHING) if motion == "mixture" else None)
    batch = make_batch(synthesizer.geometry, list(range(8)))
    out = synthesizer(batch)
    y, x = np.mgrid[:56, :72]
    for i, truth in enumerate(ground_truth(synthesizer, batch)):
        visible = truth.visible.numpy()
        displacement = truth.displacement.numpy()
        # Away from the layers' edges and the frame's, and where no layer comes in front.
        inner = ndimage.minimum_filter(visible, 7) == ndimage.maximum_filter(visible, 7)
        xa = out["xa"][i].double().numpy()
        for name, gain in (("xb", 1.0), ("y", truth.factor)):
            frame = out[name][i].double().numpy()
            to = [y + gain * displacement[..., 1], x + gain * displacement[..., 0]]
            stays = ndimage.map_coordinates(visible.astype(float), to, order=0, cval=-1) == visible
            where = inner & stays & (to[0] > 3) & (to[0] < 52) & (to[1] > 3) & (to[1] < 68)
            warped = np.stack([ndimage.map_coordinates(c, to, order=3) for c in frame])
            error = np.abs(warped - xa).mean(0)[where]
            unmoved = np.abs(frame - xa).mean(0)[where]
            assert np.median(error) < 1.5 / 255
            assert np.median(error) < 0.5 * np.median(unmoved) or np.median(unmoved) < 1.5 / 255


def test_displacement_of_the_moved_frame_is_that_of_its_discs(make_batch: MakeBatch) -> None:
    """Discs of radius 16, each a known way from its centre in xa, the first in front."""
    limits = MotionLimits(min_motion=0.3, max_motion=6.0, min_factor=1.0, max_factor=1.0, max_magnified=8.0)
    synthesizer = Synthesizer(56, 72, limits=limits, object_size=40, max_objects=3, displacement=True)
    batch = make_batch(synthesizer.geometry, [4, 5, 6, 7])
    out = synthesizer(batch)
    y, x = np.mgrid[:56, :72]
    for found, truth in zip(out["displacement"].numpy(), ground_truth(synthesizer, batch), strict=True):
        *discs, background = truth.layers
        expected = np.tile(np.array(background.displacement)[:, None, None], (1, 56, 72))
        certain = np.ones((56, 72), bool)
        for disc in reversed(discs):
            (left, top), (right, down) = disc.centre, disc.displacement
            distance = np.hypot(x - left - right, y - top - down)
            expected[:, distance < 15.5] = np.array(disc.displacement)[:, None]
            certain &= abs(distance - 15.5) > 1
        assert certain.mean() > 0.7
        assert np.abs(found - expected)[:, certain].max() < 1e-5


@pytest.mark.parametrize("motion", ["translation", "mixture"])
def test_displacement_leads_back_to_the_reference(motion: str, make_batch: MakeBatch) -> None:
    """At p in xb is what is at p − d(p) in xa, but where something comes into view; other frames stay."""
    limits = MotionLimits(min_motion=0.3, max_motion=3.0, min_factor=1.0, max_factor=1.0, max_magnified=8.0)
    plain, synthesizer = (
        Synthesizer(
            56,
            72,
            motion=Mixture(EVERYTHING) if motion == "mixture" else None,
            limits=limits,
            noise=(0.0, 0.0),
            quantised=False,
            object_size=40,
            max_objects=3,
            displacement=wanted,
        )
        for wanted in (False, True)
    )
    batch = make_batch(synthesizer.geometry, list(range(8)))
    out, other = synthesizer(batch), plain(batch)
    assert set(out) - set(other) == {"displacement"}
    assert all((out[name] == value).all() for name, value in other.items())
    y, x = np.mgrid[:56, :72].astype(float)
    for xa, xb, moved in zip(out["xa"].numpy(), out["xb"].numpy(), out["displacement"].numpy(), strict=True):
        back = [ndimage.map_coordinates(channel, (y - moved[1], x - moved[0]), order=3) for channel in xa]
        error = np.abs(np.stack(back) - xb).mean(0)[6:-6, 6:-6]
        still = np.abs(xa - xb).mean(0)[6:-6, 6:-6]
        assert np.median(error) < 0.1 * np.median(still)

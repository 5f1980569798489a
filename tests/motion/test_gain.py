"""The gain of an output that is made to have a known one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.motion import motion_gain
from mm.motion.metric import MotionGain

TRUTH = (6.0, -3.0)


def texture(at: tuple[float, float], seed: int = 0, side: int = 128) -> Tensor:
    """A sum of plane waves, moved by ``at``: known everywhere by formula."""
    generator = torch.Generator().manual_seed(seed)
    angle, period, phase, size = torch.rand(4, 60, 1, 1, generator=generator, dtype=torch.float64)
    angle, period, phase = 2 * math.pi * angle, 5 + 40 * period, 2 * math.pi * phase
    position = torch.arange(side, dtype=torch.float64)
    along = angle.cos() * (position - at[0]) + angle.sin() * (position[:, None] - at[1])
    return (
        (0.5 + 0.05 * (size * torch.cos(2 * math.pi * along / period + phase)).sum(0))
        .float()
        .expand(3, -1, -1)
    )


def scaled(share: float, seed: int = 0) -> Tensor:
    return texture((share * TRUTH[0], share * TRUTH[1]), seed)


@pytest.mark.parametrize("share", [1.0, 0.0, 0.01, 0.5, 1.25, -0.5])
def test_the_gain_is_the_share_of_the_motion(share: float) -> None:
    gain = motion_gain(scaled(0)[None], scaled(share)[None], scaled(1)[None])
    assert gain.shape == (1,)
    assert gain.item() == pytest.approx(share, abs=2e-3)


def test_motion_across_the_true_one_does_not_count() -> None:
    across = texture((TRUTH[0] + 3, TRUTH[1] + 6))
    assert motion_gain(scaled(0), across, scaled(1)).item() == pytest.approx(1, abs=0.03)


def test_each_sample_has_its_own_gain_and_a_static_one_has_none() -> None:
    shares = [1.0, 0.3, 0.7]
    rest = torch.stack([scaled(0, s) for s in range(3)])
    output = torch.stack([scaled(share, s) for s, share in enumerate(shares)])
    truth = torch.stack([scaled(1, 0), scaled(0, 1), scaled(1, 2)])
    gain = motion_gain(rest, output, truth)
    assert gain[0].item() == pytest.approx(1.0, abs=2e-3)
    assert gain[1].isnan()
    assert gain[2].item() == pytest.approx(0.7, abs=2e-3)
    assert motion_gain(torch.full((1, 3, 64, 64), 0.5), *[torch.full((1, 3, 64, 64), 0.5)] * 2).isnan().all()


def test_windows_that_do_not_move_do_not_dilute() -> None:
    """Half of the frame is still; the gain is that of the moving half."""
    still = scaled(0)
    output, truth = (torch.cat([still[..., :64], moved[..., 64:]], -1) for moved in (scaled(0.5), scaled(1)))
    assert motion_gain(still, output, truth).item() == pytest.approx(0.5, abs=0.02)


def test_an_edge_gives_the_gain_across_it() -> None:
    def edge(at: float) -> Tensor:
        return torch.sigmoid((torch.arange(96.0) - 48 - at) / 1.5).expand(3, 96, 96)

    assert motion_gain(edge(0), edge(2), edge(4)).item() == pytest.approx(0.5, abs=0.02)


def test_an_output_that_lost_its_content_is_not_left_out() -> None:
    noise = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    gain = motion_gain(scaled(0)[None], noise, scaled(1)[None])
    assert gain.isfinite().all()
    assert abs(gain.item() - 1) > 0.2


def test_sizes_must_agree() -> None:
    with pytest.raises(InputError, match="of one size"):
        motion_gain(torch.zeros(3, 64, 64), torch.zeros(3, 64, 66), torch.zeros(3, 64, 64))


def test_the_metric_is_the_median_of_the_samples_that_move() -> None:
    still, moved = texture((0, 0))[None], texture(TRUTH)[None]
    half, whole = texture((3.0, -1.5))[None], moved
    metric = MotionGain(samples=4)
    metric.update(still, still, still)
    assert metric.compute().isnan()
    metric.update(still.expand(2, -1, -1, -1), torch.cat([half, whole]), moved.expand(2, -1, -1, -1))
    metric.update(still, whole, moved)
    # Beyond the samples that are measured.
    metric.update(still, still, moved)
    assert float(metric.compute()) == pytest.approx(1.0, abs=0.02)
    metric.reset()
    metric.update(still, half, moved)
    assert float(metric.compute()) == pytest.approx(0.5, abs=0.02)

"""Pairs cut from clips: their reference differs from the frame by the motion in the band alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mm.data import CodecStage, FilteredClips, MagnificationDataModule
from mm.errors import InputError
from mm.motion import measure_displacement
from mm.synthesis import ClipSynthesizer, MotionLimits, SubsetConfig, Synthesizer, TrajectoryConfig

LIMITS = MotionLimits(min_motion=0.1, max_motion=0.5, max_magnified=4.0, min_factor=3.0, max_factor=8.0)
SHAKEN = TrajectoryConfig(frequencies=(0.12, 0.4), drift=(0.5, 1.0), shake=(0.05, 0.2), share=1.0)


def batches(photographs: Path, cutouts: Path, clips: FilteredClips, **more: Any) -> list[dict[str, Tensor]]:
    synthesizer = Synthesizer(
        64,
        64,
        noise=(0.0, 0.0),
        quantised=False,
        limits=LIMITS,
        max_objects=1,
        perturbed=False,
        displacement=True,
        subsets=[SubsetConfig("background", objects=(0, 0))],
    )
    module = MagnificationDataModule(
        str(photographs),
        str(cutouts),
        synthesizer,
        num_workers=0,
        validation_samples=0,
        batch_size=4,
        clips=clips,
        render_on="workers",
        **({"samples_per_epoch": 4} | more),
    )
    module.setup("fit")
    return list(module.train_dataloader())


def test_the_reference_is_the_frame_without_the_motion_in_the_band(photographs: Path, cutouts: Path) -> None:
    """Drift and shake, ten times the vibration, are in both frames; measured by registration."""
    clips = FilteredClips(share=1.0, pairs=2, margin=10, trajectories=SHAKEN)
    (batch, *_) = batches(photographs, cutouts, clips)
    assert batch["xa"].shape == (4, 3, 64, 64)
    inner = (..., slice(8, -8), slice(8, -8))
    true = batch["displacement"].mean((-2, -1))
    assert true.norm(dim=-1).amax() > 0.1
    seen = torch.cat(
        [
            measure_displacement(a[None], b[None])
            for a, b in zip(batch["xa"][inner], batch["xb"][inner], strict=True)
        ]
    )
    torch.testing.assert_close(seen, true, atol=0.03, rtol=0.12)
    shown = torch.cat(
        [
            measure_displacement(a[None], b[None], limit=16)
            for a, b in zip(batch["xb"][inner], batch["y"][inner], strict=True)
        ]
    )
    torch.testing.assert_close(shown, (batch["factor"] - 1)[:, None] * true, atol=0.05, rtol=0.02)


def test_a_share_of_the_batches_is_cut_from_clips(photographs: Path, cutouts: Path) -> None:
    clips = FilteredClips(0.5, 20, 2, 4, codec=CodecStage(codecs=("mjpeg",), crf=(4, 8)))
    made = batches(photographs, cutouts, clips, samples_per_epoch=24)
    # A batch of pairs has an entry more.
    from_clips = ["change" not in batch for batch in made]
    assert len(set(from_clips)) == 2
    for batch, clip in zip(made, from_clips, strict=True):
        assert len(set(batch["seed"].tolist())) == (2 if clip else 4)
        assert batch["displacement"].shape == (4, 2, 64, 64)


def test_clips_need_a_synthesizer_of_pairs() -> None:
    with pytest.raises(InputError, match="share"):
        FilteredClips(share=0.0)
    with pytest.raises(InputError, match="at least 20"):
        FilteredClips(frames=16)
    with pytest.raises(InputError, match="ClipSynthesizer"):
        MagnificationDataModule(synthesizer=ClipSynthesizer(), clips=FilteredClips())

"""Pairs as temporal mode makes them, cut from rendered clips behind a codec and a temporal filter.

In temporal mode the reference of a network is the frame less its band. Such pairs train a network through the
filter where its representation of motion is the frame itself.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mm.data.codec import CodecStage
from mm.errors import InputError
from mm.synthesis import Camera, ClipSynthesizer, Geometry, Synthesizer, TrajectoryConfig
from mm.synthesis.random import SampleRandom
from mm.temporal import Band, from_band


class FilteredClips(nn.Module):
    """Renders a share of the training batches as clips, and cuts pairs from them.

    A clip has the layers, limits and noise of its sample; :meth:`fit` takes them from the synthesizer of the
    pairs. Of the samples of a batch as many are rendered as give the batch's number of pairs.

    Args:
        share: of the batches, above 0 and up to 1, drawn by the seed of a batch's first sample.
        frames: of a clip.
        pairs: cut from a clip, each at its own time.
        margin: frames at either end from which no pair is cut, where the filter settles.
        trajectories: ranges of the motion over time; None for the defaults.
        camera: what the camera does; None adds nothing but the synthesizer's noise and rounding.
        codec: the round trip of each clip; None for uncompressed clips.
        filter: a name in :data:`mm.temporal.FILTERS`.

    Raises:
        InputError: for a number out of range.
    """

    def __init__(
        self,
        share: float = 0.5,
        frames: int = 32,
        pairs: int = 4,
        margin: int = 8,
        trajectories: TrajectoryConfig | None = None,
        camera: Camera | None = None,
        codec: CodecStage | None = None,
        filter: str = "butter",
    ) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise InputError(f"data.clips.share must be above 0 and at most 1, got {share:g}")
        lowest = (trajectories or TrajectoryConfig()).frequencies[0]
        if frames * lowest < 1:
            raise InputError(
                f"data.clips.frames must be at least {math.ceil(1 / lowest)}, a period of the lowest of "
                f"data.clips.trajectories.frequencies, {lowest:g} cycles a frame; got {frames}"
            )
        self.share, self.frames, self.pairs, self.margin = share, frames, pairs, margin
        self.trajectories, self.camera, self.codec, self.filter = trajectories, camera, codec, filter
        self.pair: Synthesizer | None = None
        self.clip: ClipSynthesizer | None = None

    def fit(self, synthesizer: Synthesizer) -> None:
        """Render pairs by this synthesizer, and clips of the same scenes."""
        self.pair = synthesizer
        self.clip = ClipSynthesizer.of(
            synthesizer,
            frames=self.frames,
            trajectories=self.trajectories,
            camera=self.camera,
            truth_frames=self.pairs,
            truth_margin=self.margin,
        )

    @property
    def geometry(self) -> Geometry:
        """Sizes of the layers, with room for all motion of a clip."""
        assert self.clip is not None
        return self.clip.geometry

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Render a batch of layers as pairs.

        Args:
            batch: as :meth:`mm.synthesis.Synthesizer.forward` takes it, of this object's ``geometry``.

        Returns:
            what the synthesizer returns, or, for a batch of clips, of that ``xa``, ``xb``, ``y``, ``factor``,
            ``displacement``, ``seed``, ``subset`` and ``index``.
        """
        assert self.pair is not None
        assert self.clip is not None
        first = SampleRandom(batch["seed"][:1])
        if float(first.uniform("rendered as a clip")) < self.share:
            return self._pairs(batch)
        spare = self.geometry.margin - self.pair.geometry.margin
        inner = slice(spare, -spare or None)
        rendered: dict[str, Tensor] = self.pair(
            batch | {"background": batch["background"][..., inner, inner]}
        )
        return rendered

    def _pairs(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        assert self.clip is not None
        size = len(batch["seed"])
        count = -(-size // self.pairs)
        clips = self.clip({name: value[:count] for name, value in batch.items()})
        if self.codec:
            clips = self.codec(clips)
        cut = [
            self._band(frames, band)[index]
            for frames, band, index in zip(
                clips["frames"], clips["band"].tolist(), clips["truth_index"], strict=True
            )
        ]
        xb = torch.cat([frames[at] for frames, at in zip(clips["frames"], clips["truth_index"], strict=True)])
        out = {"xa": xb - torch.cat(cut), "xb": xb, "y": clips["truth"].flatten(0, 1)}
        out["displacement"] = clips["displacement"].flatten(0, 1)
        for name in ("factor", "seed", "subset", "index"):
            out[name] = clips[name].repeat_interleave(self.pairs)
        return {name: value[:size] for name, value in out.items()}

    def _band(self, frames: Tensor, edges: list[float]) -> Tensor:
        """Return the band (T, 3, H, W) of a clip; its edges are in cycles per frame."""
        return from_band(Band(edges[0], edges[1], 1.0, self.filter)).filter_all(frames)

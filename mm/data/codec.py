"""Codec round trips: what compression leaves of a clip, on the CPU, as a stage of the data."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import torch
from torch import Tensor

from mm.errors import InputError
from mm.synthesis.random import SampleRandom
from mm.video.colour import BT601, Colour
from mm.video.pixels import describe, frames_to_rgb, rgb_to_frames

# name -> encoder, decoder, pixel format, the lowest and the highest quality setting.
CODECS = {
    "h264": ("libx264", "h264", "yuv420p", 0, 51),
    "hevc": ("libx265", "hevc", "yuv420p", 0, 51),
    # Its setting is the quantiser's scale.
    "mjpeg": ("mjpeg", "mjpeg", "yuvj420p", 2, 31),
}
RATE = 30  # frames per second, against which bit rates are meant


def check_codec(codec: str, crf: float | None, bit_rate: float | None) -> None:
    """Raise InputError unless ``codec`` can encode at this quality or rate."""
    if codec not in CODECS:
        raise InputError(f"codec must be one of {', '.join(CODECS)}, got {codec!r}")
    encoder, _, _, best, worst = CODECS[codec]
    if encoder not in av.codecs_available:
        known = [name for name, entry in CODECS.items() if entry[0] in av.codecs_available]
        raise InputError(
            f"codec {codec} needs the encoder {encoder}, which this build of PyAV lacks; "
            f"choose {' or '.join(known) or 'another build'}"
        )
    if (crf is None) == (bit_rate is None):
        raise InputError(f"give either crf or bit_rate, got crf {crf} and bit_rate {bit_rate}")
    if crf is not None and not best <= crf <= worst:
        raise InputError(f"crf of {codec} must be between {best} and {worst}, got {crf:g}")
    if bit_rate is not None and not bit_rate >= 1000:
        raise InputError(f"bit_rate must be at least 1000 bits per second, got {bit_rate:g}")


def encode_decode(
    frames: Tensor,
    codec: str = "h264",
    *,
    crf: float | None = None,
    bit_rate: float | None = None,
    gop: int = 250,
    preset: str = "medium",
) -> Tensor:
    """Return a clip as a decoder shows it after encoding with halved chroma (4:2:0), on one thread.

    Args:
        frames: (T, 3, H, W) uint8 R'G'B'. Odd sizes are padded by repeating the last row or column.
        codec: one of :data:`CODECS`.
        crf: constant rate factor, 0 to 51; 0 keeps the planes exactly. For mjpeg the quantiser's scale,
            2 to 31.
        bit_rate: bits per second at 30 frames per second, instead of ``crf``.
        gop: frames from one key frame to the next at most.
        preset: of the encoders x264 and x265.

    Returns:
        (T, 3, H, W) uint8.

    Raises:
        InputError: for a codec, quality or rate that cannot be.
    """
    check_codec(codec, crf, bit_rate)
    if gop < 1:
        raise InputError(f"gop must be at least 1 frame, got {gop}")
    height, width = frames.shape[-2:]
    encoder_name, decoder_name, pixel_format, *_ = CODECS[codec]
    # Phones and JPEG use BT.601; JPEG has the full range.
    colour = Colour(BT601, full_range=codec == "mjpeg")
    # Halved chroma needs even sides. x265 writes past its buffers where a side has fewer than 52 px.
    least = 64 if codec == "hevc" else 2
    right, bottom = (max(least, side + side % 2) - side for side in (width, height))
    rgb = torch.nn.functional.pad(frames.float() / 255, (0, right, 0, bottom), mode="replicate")
    encoder: Any = av.CodecContext.create(encoder_name, "w")
    encoder.width, encoder.height, encoder.pix_fmt = rgb.shape[-1], rgb.shape[-2], pixel_format
    encoder.time_base, encoder.framerate = Fraction(1, RATE), Fraction(RATE)
    encoder.thread_count = 1
    encoder.gop_size = gop
    encoder.options = _options(codec, crf, bit_rate, gop, preset)
    if bit_rate is not None:
        encoder.bit_rate = round(bit_rate)
    decoder: Any = av.CodecContext.create(decoder_name, "r")
    decoder.thread_count = 1
    packets = []
    try:
        for number, frame in enumerate(rgb_to_frames(rgb, pixel_format, colour)):
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
        decoded = [frame for packet in (*packets, None) for frame in decoder.decode(packet)]
    except av.FFmpegError as error:
        raise InputError(
            f"{encoder_name} cannot encode {rgb.shape[-1]}×{rgb.shape[-2]} px with preset {preset}: "
            f"{error.strerror}"
        ) from error
    decoded.sort(key=lambda frame: frame.pts)
    shown = frames_to_rgb(decoded, describe(pixel_format), colour)
    return shown[..., :height, :width].mul(255).round_().to(torch.uint8)


def _options(codec: str, crf: float | None, bit_rate: float | None, gop: int, preset: str) -> dict[str, str]:
    if codec == "mjpeg":
        return {} if crf is None else {"qmin": f"{crf:.0f}", "qmax": f"{crf:.0f}"}
    options = {"preset": preset}
    if codec == "hevc":
        parameters = ["log-level=none", "pools=none", "frame-threads=1", f"keyint={gop}"]
        # CRF 0 of x265 is not lossless, unlike that of x264.
        parameters += ["lossless=1"] if crf == 0 else []
        options["x265-params"] = ":".join(parameters)
    if crf is not None and not (codec == "hevc" and crf == 0):
        options["crf"] = f"{crf:g}"
    return options


@dataclass(frozen=True)
class CodecStage:
    """A codec round trip of each clip of a batch, drawn by the sample's seed.

    Attributes:
        codecs: each as likely.
        crf: range of the constant rate factor of H.264 and HEVC; mjpeg takes it too, at most 31.
        bits_per_pixel: range of the bit rate, instead of ``crf``.
        gop: range of the frames from one key frame to the next.
        share: of the clips that are compressed, 0 to 1.
        preset: of the encoders.

    Raises:
        InputError: for a codec or a range that cannot be.
    """

    codecs: tuple[str, ...] = ("h264",)
    crf: tuple[float, float] = (14.0, 30.0)
    bits_per_pixel: tuple[float, float] | None = None
    gop: tuple[int, int] = (12, 250)
    share: float = 1.0
    preset: str = "veryfast"

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("codecs", "crf", "gop", "bits_per_pixel"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(value))
        if not self.codecs:
            raise InputError("codecs must name at least one codec")
        for codec in self.codecs:
            for crf in self.crf if self.bits_per_pixel is None else ():
                check_codec(codec, crf, None)
        for name, least in (("crf", 0.0), ("gop", 1), ("bits_per_pixel", 0.001)):
            if getattr(self, name) is not None:
                low, high = getattr(self, name)
                if not least <= low <= high:
                    raise InputError(f"{name} must satisfy {least:g} ≤ low ≤ high, got {low:g} and {high:g}")
        if not 0 <= self.share <= 1:
            raise InputError(f"share must be between 0 and 1, got {self.share:g}")

    def __call__(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return a batch of clips with ``frames`` (B, T, 3, H, W) as they are after the round trip."""
        frames = batch["frames"]
        clips = (frames.detach().cpu() * 255).round_().to(torch.uint8)
        random = SampleRandom(batch["seed"].cpu())
        drawn = [random.uniform(f"codec {name}").tolist() for name in ("share", "kind", "quality", "gop")]
        shown = []
        for clip, share, kind, quality, gop in zip(clips, *drawn, strict=True):
            if share >= self.share:
                shown.append(clip)
                continue
            low, high = self.bits_per_pixel or self.crf
            value = low * (high / low) ** quality if self.bits_per_pixel else low + (high - low) * quality
            rate = value * clip.shape[-1] * clip.shape[-2] * RATE if self.bits_per_pixel else None
            shown.append(
                encode_decode(
                    clip,
                    self.codecs[int(kind * len(self.codecs))],
                    crf=None if self.bits_per_pixel else value,
                    bit_rate=None if rate is None else max(rate, 1000.0),
                    gop=round(self.gop[0] * (self.gop[1] / self.gop[0]) ** gop),
                    preset=self.preset,
                )
            )
        return batch | {"frames": (torch.stack(shown).float() / 255).to(frames.device)}

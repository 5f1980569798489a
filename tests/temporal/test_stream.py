"""A stream's result is the whole clip's, in bounded memory, without bursts, in float32 and less."""

import math

import pytest
import torch

from mm.temporal import FILTERS, make_filter

BAND = (1.0, 4.0, 30.0)
NARROW = [(0.04, 0.4, 30.0), (72.0, 92.0, 600.0), (0.2, 0.25, 24.0)]


def clip(frames: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(frames, *shape, generator=torch.Generator().manual_seed(seed)) + 3


@pytest.mark.parametrize("storage", [None, torch.float16])
@pytest.mark.parametrize("frames", [30, 31, 47, 150])
@pytest.mark.parametrize("name", list(FILTERS))
def test_streamed_equals_offline_exactly(name: str, frames: int, storage: torch.dtype | None) -> None:
    x = clip(frames, 2, 5, 3)
    filter_ = make_filter(name, *BAND, storage=storage)
    whole = filter_.filter_all(x)
    assert whole.shape == x.shape
    for sizes in ([1] * frames, [7] * frames, [frames - 1, 1], [0, 3, 0, 20, 1, frames]):
        parts = [filter_.push(part) for part in cut(x, sizes)]
        parts.append(filter_.flush())
        assert torch.equal(torch.cat(parts), whole)


def cut(x: torch.Tensor, sizes: list[int]) -> list[torch.Tensor]:
    parts, at = [], 0
    for size in sizes:
        parts.append(x[at : at + size])
        at += size
    return parts


@pytest.mark.parametrize("name", list(FILTERS))
def test_aligned_blocks_hold_the_input_that_the_output_is_for(name: str) -> None:
    x = clip(100, 4, 2)
    filter_ = make_filter(name, *BAND)
    blocks = [*filter_.push_aligned(x[:60]), *filter_.push_aligned(x[60:]), *filter_.flush_aligned()]
    assert torch.allclose(torch.cat([block.input for block in blocks]), x, atol=1e-6)
    assert torch.equal(torch.cat([block.band for block in blocks]), filter_.filter_all(x))


@pytest.mark.parametrize("name", [name for name in FILTERS if name != "ideal"])
def test_output_is_late_by_no_more_than_the_delay_and_memory_stays(name: str) -> None:
    filter_ = make_filter(name, *BAND)
    x = clip(300, 50)
    given, held = 0, 0
    for t, frame in enumerate(x.split(1)):
        given += len(filter_.push(frame))
        assert given >= t + 1 - filter_.delay
        held = max(held, sum(row.nbytes for row in filter_._rows))
    assert given < 300 or filter_.delay == 0
    state = filter_._state
    assert state is not None
    assert held + state.nbytes + x[0].nbytes == filter_.memory(50, 300)
    assert filter_.memory(50, 10**6) == filter_.memory(50, 300)


def test_ideal_says_its_memory_beforehand_and_gives_nothing_before_the_end() -> None:
    filter_ = make_filter("ideal", *BAND)
    assert filter_.memory(50, 300) >= 2 * 300 * 50 * 4
    assert len(filter_.push(clip(300, 50))) == 0
    assert len(filter_.flush()) == 300


@pytest.mark.parametrize("storage", [None, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", list(FILTERS))
def test_what_stands_still_gives_zero_from_the_first_frame(name: str, storage: torch.dtype | None) -> None:
    x = clip(1, 10).expand(60, -1) * 100
    assert not make_filter(name, *BAND, storage=storage).filter_all(x).any()


@pytest.mark.parametrize("phase", [0.0, math.pi / 2])
@pytest.mark.parametrize("name", list(FILTERS))
def test_no_burst_at_the_ends(name: str, phase: float) -> None:
    x = 100 + torch.sin(2 * math.pi * 2 * torch.arange(90) / 30 + phase)
    out = make_filter(name, *BAND).filter_all(x)
    # At worst the clip starts on a crest, which looks like a step of its height to what comes before.
    assert out.abs().max() < 2


@pytest.mark.parametrize("name", list(FILTERS))
@pytest.mark.parametrize("band", NARROW)
def test_float32_stays_accurate_at_narrow_bands(name: str, band: tuple[float, float, float]) -> None:
    x = clip(800, 3) + 10 * (clip(800, 3, seed=1) - 3).cumsum(0)
    single = make_filter(name, *band).filter_all(x)
    double = make_filter(name, *band).filter_all(x.double())
    assert double.dtype == torch.float64
    # Against the range of the input, drift included, which is what float32 has to hold.
    assert (single - double).abs().max() < 1e-5 * (x - x[0]).abs().max()


def test_half_precision_keeps_three_digits_of_the_change() -> None:
    x = 1000 + clip(100, 20) * 0.01
    full = make_filter("butter", *BAND).filter_all(x)
    half = make_filter("butter", *BAND, storage=torch.float16).filter_all(x)
    assert (half - full).abs().max() < 1e-3 * (x - x[0]).abs().max()


def test_half_precision_clips_rather_than_overflows() -> None:
    x = torch.zeros(60, 2)
    x[30] = 1e6
    assert make_filter("butter", *BAND, storage=torch.float16).filter_all(x).isfinite().all()


def test_autocast_does_not_reach_into_the_filter() -> None:
    x = clip(60, 8)
    expected = make_filter("butter", *BAND).filter_all(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(make_filter("butter", *BAND).filter_all(x), expected)


def test_a_flushed_filter_takes_another_clip() -> None:
    filter_ = make_filter("butter", *BAND)
    filter_.filter_all(clip(50, 4))
    x = clip(40, 7, seed=1)
    assert torch.equal(
        torch.cat([filter_.push(x), filter_.flush()]), make_filter("butter", *BAND).filter_all(x)
    )


def test_a_clip_of_no_frames_gives_none() -> None:
    assert len(make_filter("butter", *BAND).flush()) == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", list(FILTERS))
def test_cuda_agrees_with_the_cpu(name: str) -> None:
    x = clip(120, 3, 10)
    on_cpu = make_filter(name, *BAND).filter_all(x)
    assert torch.allclose(make_filter(name, *BAND).filter_all(x.cuda()).cpu(), on_cpu, atol=1e-4)

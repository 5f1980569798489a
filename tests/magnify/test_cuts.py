"""Cuts are found where they are, and nowhere else: not in noise, flashes, flicker or fast motion."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mm.magnify.cuts import LOOK_AHEAD, CutDetector, at_cuts
from mm.video import open_clip

HEIGHT, WIDTH = 60, 80


def scene(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """A picture (3, height, width) with detail of all sizes, as photographs have."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.zeros(3, height, width)
    for cells in (2, 4, 8, 16, 32):
        coarse = torch.rand(1, 3, cells, cells, generator=generator)
        made += torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0] / cells**0.5
    return ((made - made.min()) / (made.max() - made.min())).clamp(0, 1)


def pan(seed: int, frames: int, step: int) -> Tensor:
    """A view of a larger scene that moves by ``step`` px a frame."""
    wide = scene(seed, HEIGHT, WIDTH + step * frames)
    return torch.stack([wide[..., step * i : step * i + WIDTH] for i in range(frames)])


def shot(seed: int, frames: int) -> Tensor:
    return pan(seed, frames, 1)


def found(frames: Tensor, chunk: int = 7) -> list[int]:
    detector = CutDetector()
    answers = [answer for some in frames.split(chunk) for answer in detector.push(some)] + detector.flush()
    assert len(answers) == len(frames)
    return [number for number, cut in enumerate(answers) if cut]


def noisy(frames: Tensor, deviation: float) -> Tensor:
    generator = torch.Generator().manual_seed(99)
    return (frames + deviation * torch.randn(frames.shape, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("deviation", [0.0, 0.05, 0.1])
def test_cuts_are_found_to_the_frame(chunk: int, deviation: float) -> None:
    frames = noisy(torch.cat([shot(1, 12), shot(2, 9), shot(3, 15)]), deviation)
    assert found(frames, chunk) == [12, 21]


def test_every_pair_of_shots() -> None:
    for seed in range(10, 40):
        assert found(torch.cat([shot(seed, 8), shot(seed + 100, 8)])) == [8]


@pytest.mark.parametrize("before", [1, 2])
def test_a_cut_at_the_very_beginning_and_at_the_very_end(before: int) -> None:
    assert found(torch.cat([shot(1, before), shot(2, 10)])) == [before]
    assert found(torch.cat([shot(2, 10), shot(1, before)])) == [10]


def test_a_still_picture_before_and_after() -> None:
    assert found(torch.cat([scene(1).expand(10, -1, -1, -1), scene(2).expand(10, -1, -1, -1)])) == [10]


def test_shots_of_a_few_frames() -> None:
    assert found(torch.cat([shot(1, 10), shot(2, 4), shot(3, 4), shot(4, 10)])) == [10, 14, 18]


def test_from_black_and_to_black() -> None:
    black = torch.zeros(8, 3, HEIGHT, WIDTH)
    assert found(torch.cat([black, shot(1, 8), black])) == [8, 16]


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(torch.rand(30, 3, 24, 32, generator=torch.Generator().manual_seed(0)), id="noise"),
        pytest.param(noisy(shot(1, 30) * 0.1, 0.1), id="a dark, noisy clip"),
        pytest.param(pan(1, 25, 12), id="fast motion"),
        pytest.param(pan(1, 20, 12)[[0] * 10 + list(range(20))], id="still, then fast"),
        pytest.param(pan(1, 20, 12)[[*range(20)] + [19] * 10], id="fast, then still"),
        pytest.param(shot(1, 20) * torch.tensor([1.0, 0.3] * 10).view(-1, 1, 1, 1), id="flicker"),
        pytest.param(shot(1, 20) * torch.linspace(0, 1, 20).view(-1, 1, 1, 1), id="from black, faded in"),
        pytest.param(torch.full((10, 3, HEIGHT, WIDTH), 0.5), id="one colour"),
        pytest.param(
            torch.linspace(0, 1, 10).view(-1, 1, 1, 1).expand(-1, 3, 9, 9), id="colours, no picture"
        ),
        pytest.param(scene(1)[None], id="one frame"),
        pytest.param(torch.cat([scene(1)[None], scene(1).flip(-1)[None] * 0.01]), id="nearly nothing"),
    ],
)
def test_no_cut(frames: Tensor) -> None:
    expected = [1] if len(frames) == 2 else []
    assert found(frames) == expected


@pytest.mark.parametrize("length", range(1, LOOK_AHEAD + 1))
@pytest.mark.parametrize("what", ["white", "black", "another picture"])
def test_a_flash_is_no_cut(what: str, length: int) -> None:
    frames = shot(1, 30)
    frames[12 : 12 + length] = {"white": torch.ones(1), "black": torch.zeros(1)}.get(what, scene(2))
    assert found(frames) == []


def test_a_light_switched_on_is_no_cut() -> None:
    frames = shot(1, 20)
    frames[:10] *= 0.25
    assert found(frames) == []


def test_something_that_covers_half_the_frame_is_no_cut() -> None:
    frames, cover = shot(1, 20), scene(2)
    for number in range(5, 15):
        right = min(WIDTH // 2, 8 * (number - 4), 8 * (15 - number))
        frames[number, :, :, :right] = cover[:, :, :right]
    assert found(frames) == []


def test_a_detector_is_ready_for_another_clip() -> None:
    detector = CutDetector()
    for _ in range(2):
        answers = detector.push(torch.cat([shot(1, 6), shot(2, 6)])) + detector.flush()
        assert [number for number, cut in enumerate(answers) if cut] == [6]
    assert detector.flush() == []


class TestChunks:
    def chunks(self, frames: Tensor, size: int) -> list[tuple[Tensor, tuple[int, ...]]]:
        times = tuple(range(len(frames)))
        return [
            (some, times[at * size : at * size + len(some)]) for at, some in enumerate(frames.split(size))
        ]

    @pytest.mark.parametrize("size", [1, 3, 5, 100])
    def test_chunks_are_divided_at_cuts_and_nothing_is_lost(self, size: int) -> None:
        frames = torch.cat([shot(1, 7), shot(2, 9)])
        parts = list(at_cuts(self.chunks(frames, size), CutDetector()))
        assert torch.equal(torch.cat([part for part, _, _ in parts]), frames)
        assert [time for _, pts, _ in parts for time in pts] == list(range(16))
        assert [pts[0] for _, pts, begins in parts if begins] == [7]

    def test_without_cuts_they_are_the_same_chunks(self) -> None:
        chunks = self.chunks(shot(1, 17), 5)
        parts = list(at_cuts(chunks, CutDetector()))
        assert len(parts) == len(chunks)
        for (frames, pts), (part, times, begins) in zip(chunks, parts, strict=True):
            assert part.data_ptr() == frames.data_ptr()
            assert (times, begins) == (pts, False)

    @pytest.mark.parametrize("size", [1, 4])
    def test_a_constant_number_of_frames_is_held(self, size: int) -> None:
        taken = 0

        def counted() -> object:
            nonlocal taken
            for chunk in self.chunks(shot(1, 60), size):
                taken += len(chunk[1])
                yield chunk

        given = most = 0
        for _, pts, _ in at_cuts(counted(), CutDetector()):  # type: ignore[arg-type]
            most = max(most, taken - given)
            given += len(pts)
        assert most <= 2 * size + LOOK_AHEAD


CLIPS = ("baby", "guitar", "face", "crane_crop", "gun", "cat_toy", "turtle")


def small(path: Path, count: int) -> Tensor:
    with open_clip(path) as clip:
        parts: list[Tensor] = []
        for frames, _ in clip.chunks(5):
            parts.append(torch.nn.functional.interpolate(frames, (72, 96), mode="area"))
            if 5 * len(parts) >= count:
                break
    return torch.cat(parts)[:count]


def test_real_clips_have_none_and_cuts_between_them_are_found(material: Path) -> None:
    """None of them has a cut, also at three times its speed."""
    shots = [small(material / "clips" / f"{name}.mp4", 10) for name in CLIPS]
    for frames in shots:
        assert found(frames) == found(frames[::3]) == []
        assert found(noisy(frames, 0.08)) == []
    assert found(torch.cat(shots)) == [10 * number for number in range(1, len(shots))]

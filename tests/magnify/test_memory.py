"""Memory of the machine or of its container, and the clips that it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.magnify.framing import Framing
from mm.magnify.memory import check_frame, check_memory, frame_fits
from mm.methods import AccelerationMagnifier, LearnedMagnifier, Magnifier
from mm.networks import MagnificationNetwork
from mm.runtime import machine_memory
from mm.temporal import Band
from mm.video.grid import Region

GIB = 2**30
MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None


@pytest.mark.parametrize(("text", "expected"), [("1048576\n", 2**20), ("max\n", MACHINE), (None, MACHINE)])
def test_the_container_s_limit(tmp_path: Path, text: str | None, expected: int) -> None:
    if text is not None:
        (tmp_path / "memory.max").write_text(text)
    assert machine_memory(tmp_path / "memory.max") == expected


class Holds(Magnifier):
    """A method that holds so many bytes."""

    def __init__(self, held: int) -> None:
        self.held = held

    def push(self, frames: Tensor) -> Tensor:
        return frames

    def flush(self) -> Tensor:
        return torch.empty(0, 3, 0, 0)

    def memory(self, height: int, width: int, frames: int) -> int:
        return self.held


def framing(size: tuple[int, int], region: Region | None = None, side_by_side: bool = False) -> Framing:
    return Framing(size, size, region, side_by_side)


def check(
    monkeypatch: pytest.MonkeyPatch,
    held: int,
    device: str = "cpu",
    side_by_side: bool = False,
    filter: str = "ideal",
) -> None:
    """On a machine of 4 GiB with a GPU of 1 GiB; 1000 frames of 1000×100 px."""
    monkeypatch.setattr("mm.magnify.memory.machine_memory", lambda: 4 * GIB)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (GIB, GIB))
    view = framing((100, 1000), side_by_side=side_by_side)
    check_memory(Holds(held), view, 1000, Band(1, 2, 30, filter), torch.device(device))


@pytest.mark.filterwarnings("ignore:the ideal filter holds")
def test_each_place_holds_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    check(monkeypatch, 3 * GIB)
    with pytest.raises(
        InputError, match="holds 5 GiB for 1000 frames of 1000×100 px, and this machine has 4 GiB"
    ):
        check(monkeypatch, 5 * GIB)
    with pytest.raises(InputError, match=r"holds 3 GiB .* and the GPU has 1 GiB"):
        check(monkeypatch, 3 * GIB, "cuda")
    # 0.56 GiB of frames wait on the CPU: too much beside 3.5 GiB there, but nothing that the GPU must hold.
    with pytest.raises(InputError, match=r"holds 4\.1 GiB .* this machine has 4 GiB"):
        check(monkeypatch, 7 * GIB // 2, side_by_side=True)
    check(monkeypatch, GIB // 2, "cuda", side_by_side=True)


def test_a_streaming_filter_is_refused_with_another_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"holds 5 GiB .*, or raise --low"):
        check(monkeypatch, 5 * GIB, filter="butter")


def test_a_filter_of_the_method_s_own_making_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mm.magnify.memory.machine_memory", lambda: 1000)
    band = Band(2, 4, 30)
    magnifier = AccelerationMagnifier(10.0, "temporal", band)
    with pytest.raises(InputError, match=r"Laplacian of Gaussian for 3 Hz") as told:
        check_memory(magnifier, framing((48, 64)), 100, band, torch.device("cpu"))
    assert "butter" not in str(told.value)


@pytest.mark.filterwarnings("ignore:--precision bf16")
def test_a_frame_that_is_too_large_to_work_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mm.magnify.memory.machine_memory", lambda: 8 * GIB)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * GIB, 2 * GIB))
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    hd, large = (framing(size) for size in ((1080, 1920), (4320, 7680)))
    network = MagnificationNetwork()
    method = LearnedMagnifier(network)
    for device in (cpu, cuda):
        with pytest.raises(InputError, match=r"about 40 GiB for a frame of 7680×4320 px, .* has \d GiB; use"):
            check_frame(method, large, device)
    check_frame(method, hd, cpu)
    with pytest.raises(InputError, match=r"about 2\.5 GiB .* and the GPU has 2 GiB"):
        check_frame(method, hd, cuda)
    check_frame(LearnedMagnifier(network, precision="bf16"), hd, cuda)
    four = LearnedMagnifier(network, batch=4)
    with pytest.raises(InputError, match=r"about 9\.9 GiB for 4 frames of .*; use --batch 1,"):
        check_frame(four, hd, cpu)
    assert not frame_fits(four, hd, cpu)
    assert frame_fits(method, hd, cpu)
    # Of a region only that is worked on; and what does not say how much it needs is let through.
    check_frame(method, framing((4320, 7680), (0, 0, 640, 480)), cpu)
    check_frame(AccelerationMagnifier(10.0, "temporal", Band(2, 4, 30)), large, cpu)


def test_the_whole_clip_s_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match="ideal filter holds 2 GiB for 1000 frames"):
        check(monkeypatch, 2 * GIB)

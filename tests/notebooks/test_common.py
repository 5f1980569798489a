"""What the notebooks share: measures held against patterns whose answer is known, bad input, verdicts."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

import mm

FOLDER = Path(__file__).parents[2] / "notebooks"


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("MM_NOTEBOOK_OUT", str(tmp_path / "out"))
    monkeypatch.delenv("MM_CLIPS", raising=False)
    import common as module

    yield module
    sys.modules["matplotlib.pyplot"].close("all")


def test_course_is_taken_apart_into_what_it_was_made_of(common: ModuleType) -> None:
    times = common.seconds(60, 30.0)
    course = 0.4 + 1.5 * times + common.sine(0.2, 3.0, times) + 0.1 * torch.cos(2 * math.pi * 9.0 * times)
    found = common.parts_of(course, 30.0, (3.0, 9.0))
    assert found.amplitudes == pytest.approx((0.2, 0.1), abs=1e-9)
    assert found.phases == pytest.approx((0.0, math.pi / 2), abs=1e-6)
    assert found.slope == pytest.approx(1.5, abs=1e-9)
    # A comparison of numpy's numbers is no bool, which JSON lacks.
    assert {type(each) for each in (*found.amplitudes, *found.phases)} == {float}


def test_spectrum_peaks_at_the_frequency_with_the_amplitude(common: ModuleType) -> None:
    times = common.seconds(90, 30.0)
    frequencies, amplitudes = common.spectrum(common.sine(0.3, 5.0, times) + 2 * times, 30.0)
    assert frequencies[amplitudes.argmax()] == pytest.approx(5.0, abs=0.1)
    assert amplitudes.max() == pytest.approx(0.3, rel=0.05)


def test_overshoot_is_zero_for_moved_content_and_the_excess_for_what_is_made_up(common: ModuleType) -> None:
    # Of a period of 8 px, so that whatever comes in at the border is within reach as well.
    frames = torch.rand(2, 3, 24, 8, generator=torch.Generator().manual_seed(0)).repeat(1, 1, 1, 4)
    assert common.overshoot(torch.roll(frames, 3, -1), frames, 7) == 0
    assert common.overshoot(torch.ones_like(frames), torch.full_like(frames, 0.8), 3) == pytest.approx(
        51, abs=1e-3
    )


def test_edges_kept_is_one_for_the_truth_and_less_for_a_blur(common: ModuleType) -> None:
    truth = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(1))
    where = torch.ones(2, 32, 40, dtype=torch.bool)
    assert common.edges_kept(truth, truth, where) == pytest.approx(1, abs=1e-6)
    blurred = torch.nn.functional.avg_pool2d(truth, 3, 1, 1)
    assert common.edges_kept(blurred, truth, where) < 0.7
    assert common.edges_kept(0.5 * truth, truth, where) == pytest.approx(0.5, abs=1e-6)


def test_error_and_ssim_look_only_where_they_are_told_to(common: ModuleType) -> None:
    truth = torch.rand(1, 3, 32, 40, generator=torch.Generator().manual_seed(2))
    output = truth.clone()
    output[..., :16] = (output[..., :16] + 0.2).clamp(0, 2)
    left, right = torch.zeros(1, 32, 40, dtype=torch.bool), torch.zeros(1, 32, 40, dtype=torch.bool)
    left[..., :16], right[..., 26:] = True, True
    assert common.error_in(output, truth, left) == pytest.approx(51, abs=1e-3)
    assert common.error_in(output, truth, right) == 0
    assert common.ssim_in(output, truth, right) == pytest.approx(1, abs=1e-4)
    assert common.ssim_in(output, truth, left) < 0.99


def test_film_moves_what_it_is_told_to_and_finds_the_edges(common: ModuleType) -> None:
    course = torch.tensor([[0.0, 0.0], [1.5, -0.5]])
    footage = (
        common.Set(64, 80, seed=0)
        .disc("disc", 40, 32, 18, (0.3, 0.3, 0.6))
        .film(30.0, {"disc": course}, noise=0.0)
    )
    inside = footage.shares()[0, footage.index("disc")] > 0.99
    moved = common.course(footage.frames[0], footage.frames, inside)
    assert torch.allclose(moved, course.double(), atol=0.03)
    near = common.near_edges(footage.shares(), 2)[0]
    assert near[32, 40 - 18]
    assert not near[32, 40]
    assert not near[2, 2]


def test_exceeds_tells_what_is_too_close_to_tell(common: ModuleType) -> None:
    assert common.exceeds(2.0, 1.0) is True
    assert common.exceeds(1.0, 2.0) is False
    assert common.exceeds(0.84, 0.835, margin=0.01) is None
    assert common.exceeds(1.04, 1.0, relative=0.05) is None
    with pytest.raises(ValueError, match="nothing was measured"):
        common.exceeds(float("nan"), 1.0)


def test_report_tells_the_verdict_from_its_claims(
    common: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = common.Report("figure00", "a trial")
    assert report.verdict == "nothing was judged"
    report.judge("rendered", "one", "1.0", True)
    assert report.verdict == "agrees"
    report.judge("rendered", "two", "2.0", None)
    assert report.verdict == "agrees in part"
    figure, _ = common.panels(1, 2)
    report.save(figure, "picture")
    assert report.conclude() == "agrees in part"
    written = json.loads((tmp_path / "out" / "figure00.json").read_text(encoding="utf-8"))
    assert written["pictures"] == ["figure00_picture.png"]
    assert [claim["agrees"] for claim in written["claims"]] == [True, None]
    assert "NO CLEAR DIFFERENCE" in capsys.readouterr().out
    nothing = common.Report("figure00", "a trial")
    nothing.judge("rendered", "one", "1.0", False)
    assert nothing.verdict == "does not agree"


def test_a_notebook_begins_with_its_report_and_the_networks_that_are_named(
    common: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mm.networks import MagnificationNetwork, NetworkConfig, save

    small = {"stem_channels": 4, "channels": 4, "decoder_blocks": 1}
    save(MagnificationNetwork(NetworkConfig.from_dict(small)), tmp_path / "own.safetensors", {})
    monkeypatch.setenv("MM_WEIGHTS", str(tmp_path / "own.safetensors"))
    monkeypatch.delenv("MM_RELEASE", raising=False)
    report, network = common.begin("figure00", "a trial")
    assert (report.name, report.title, report.claims) == ("figure00", "a trial", [])
    assert network.config.channels == 4
    assert list(common.networks()) == ["learned"]
    monkeypatch.setenv("MM_RELEASE", str(tmp_path / "own.safetensors"))
    assert [(name, each.config.channels) for name, each in common.networks().items()] == [
        ("learned", 4),
        ("2018 release", 4),
    ]


def test_a_closer_look_has_a_column_a_clip(common: ModuleType) -> None:
    still = torch.rand(5, 3, 140, 180, generator=torch.Generator().manual_seed(0))
    moved = common.sideways(torch.tensor([0.0, 2.0]))
    assert moved.tolist() == [[0, 0], [2, 0]]
    figure = common.closer_look({"input": still, "phase": still.flip(0)}, {"phase": 1.5}, 20.0, 10.0)
    axes = figure.get_axes()
    assert [axis.get_title() for axis in axes] == [
        *("input", "phase, ×20"),
        *("detail", "detail"),
        *("x–t at y = 70", "x–t at y = 70"),
    ]
    assert [axis.get_xlabel() for axis in axes[:2]] == ["", "beyond what is there: 1.50/255"]
    last = torch.as_tensor(axes[1].images[0].get_array()).permute(2, 0, 1)
    assert torch.equal(last, still[0])
    detail = torch.as_tensor(axes[2].images[0].get_array()).permute(2, 0, 1)
    assert torch.equal(detail, still[-1, :, 60:132, 70:166])


def test_clips_are_optional_but_a_wrong_folder_is_told(
    common: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert common.clip_path("baby.mp4") is None
    monkeypatch.setenv("MM_CLIPS", str(tmp_path / "nowhere"))
    with pytest.raises(mm.InputError, match=r"MM_CLIPS is .* no folder"):
        common.clip_path("baby.mp4")
    monkeypatch.setenv("MM_CLIPS", str(tmp_path))
    assert common.clip_path("baby.mp4") is None


def test_part_of_a_clip_is_cut_and_reduced(common: ModuleType, tmp_path: Path) -> None:
    from mm.video import write_clip

    frames = torch.rand(9, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    frames = (frames * 255).round() / 255
    write_clip(tmp_path / "clip", frames, rate=30)
    part = common.read_part(tmp_path / "clip", first=2, frames=4, roi=(8, 4, 24, 16))
    assert torch.allclose(part, frames[2:6, :, 4:20, 8:32], atol=1e-6)
    assert common.read_part(tmp_path / "clip", frames=3, scale=0.5).shape == (3, 3, 16, 24)
    with pytest.raises(mm.InputError, match="not within"):
        common.read_part(tmp_path / "clip", roi=(40, 0, 24, 16))
    with pytest.raises(mm.InputError, match="number 20"):
        common.read_part(tmp_path / "clip", first=20)

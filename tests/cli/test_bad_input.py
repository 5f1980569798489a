"""Input that cannot be used: one line with the thing, the value and the way out; code 2; no output."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from mm.cli import main
from mm.networks import MagnificationNetwork, NetworkConfig
from mm.networks.weights import save
from mm.video import read_clip, write_clip

TINY = NetworkConfig(
    stem_channels=2, channels=2, encoder_blocks=1, texture_blocks=1, shape_blocks=1, decoder_blocks=1
)

BAND = ["--mode", "temporal", "--low", "3", "--high", "8"]


@dataclass
class Place:
    """A folder with a good clip, weights, and an empty folder for what is written."""

    folder: Path
    run: Callable[..., tuple[int, list[str]]]

    @property
    def clip(self) -> Path:
        return self.folder / "good.mp4"

    @property
    def weights(self) -> Path:
        return self.folder / "tiny.safetensors"

    @property
    def out(self) -> Path:
        return self.folder / "out"


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    write_clip(tmp_path / "good.mp4", torch.rand(12, 3, 24, 32, generator=torch.Generator().manual_seed(0)))
    torch.manual_seed(0)
    save(MagnificationNetwork(TINY), tmp_path / "tiny.safetensors", {"max_magnified_motion": 10.0})
    (tmp_path / "out").mkdir()

    def run(*arguments: object) -> tuple[int, list[str]]:
        code = main(["magnify", *(str(argument) for argument in arguments)])
        return code, capsys.readouterr().err.splitlines()

    return Place(tmp_path, run)


def write(path: Path, size: tuple[int, int], frames: int) -> None:
    """An H.264 clip of (height, width) by PyAV alone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        container.start_encoding()
        for number in range(frames):
            frame = av.VideoFrame(size[1], size[0], "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([100 + number]) * plane.buffer_size)
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def refuse(place: Place, *arguments: object, source: Path | None = None, target: Path | None = None) -> str:
    """Run the command, hold what every refusal has in common, and return its line."""
    written = place.out / "out.mp4" if target is None else target
    code, lines = place.run(
        place.clip if source is None else source,
        written,
        "--weights",
        place.weights,
        "--device",
        "cpu",
        *arguments,
    )
    assert code == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith("mm: error: ")
    assert list(place.out.iterdir()) == []
    return lines[0]


class TestSource:
    def test_missing(self, place: Place) -> None:
        assert "no file or folder" in (line := refuse(place, source=place.folder / "gone.mp4"))
        assert "gone.mp4; check the path" in line

    def test_a_directory_without_images(self, place: Place) -> None:
        (place.folder / "docs").mkdir()
        (place.folder / "docs" / "notes.txt").touch()
        line = refuse(place, source=place.folder / "docs")
        assert "docs is a folder without images (.png, .tif" in line
        assert "name a video" in line

    def test_a_text_file(self, place: Place) -> None:
        path = place.folder / "text.mp4"
        path.write_text("Dear video,\n" * 50)
        assert "text.mp4 cannot be read as a video" in refuse(place, source=path)

    def test_truncated_before_its_index(self, place: Place) -> None:
        path = place.folder / "cut.mp4"
        write(path, (32, 48), 30)  # FFmpeg puts the index last unless told otherwise.
        path.write_bytes(path.read_bytes()[:-200])
        assert "cut.mp4 cannot be read as a video" in refuse(place, source=path)

    def test_truncated_after_its_index(self, place: Place) -> None:
        path = place.folder / "cut.mp4"
        data = place.clip.read_bytes()
        path.write_bytes(data[: data.index(b"mdat") + 12])
        assert "cut.mp4 has no frame that could be decoded" in refuse(place, source=path)

    def test_truncated_is_kept_and_said(self, place: Place) -> None:
        frames = torch.rand(60, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        write_clip(place.folder / "whole.mp4", frames)
        data = (place.folder / "whole.mp4").read_bytes()
        (place.folder / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
        target = place.out / "out.mp4"
        code, lines = place.run(
            place.folder / "cut.mp4", target, "--weights", place.weights, "--device", "cpu", "--factor", "1"
        )
        assert code == 0
        assert len(lines) >= 1
        assert all(line.startswith("mm: warning: ") for line in lines)
        assert any("cut.mp4" in line and "could be decoded" in line for line in lines)
        assert 20 <= len(read_clip(target)[0]) < 60

    @pytest.mark.parametrize("suffix", ["mkv", "mp4"])
    def test_no_frames(self, place: Place, suffix: str) -> None:
        path = place.folder / f"none.{suffix}"
        write(path, (32, 32), 0)
        line = refuse(place, source=path)
        # Which of the three depends on what the container writes without frames.
        told = ("has no frame", "has no video stream", "cannot be read as a video")
        assert any(f"none.{suffix} {text}" in line for text in told)

    @pytest.mark.parametrize("options", [[], ["--mode", "dynamic"]])
    def test_one_frame(self, place: Place, options: list[str]) -> None:
        write_clip(place.folder / "one.mp4", torch.rand(1, 3, 32, 32))
        assert "one.mp4 has one frame" in refuse(place, *options, source=place.folder / "one.mp4")

    def test_one_frame_in_a_folder(self, place: Place) -> None:
        (place.folder / "frames").mkdir()
        cv2.imwrite(str(place.folder / "frames" / "1.png"), np.zeros((16, 16, 3), np.uint8))
        line = refuse(place, source=place.folder / "frames", target=place.out / "new")
        assert "motion needs at least 2" in line

    def test_a_change_of_size(self, place: Place) -> None:
        data = b""
        for size in ((32, 48), (48, 64)):
            write(place.folder / "part.h264", size, 6)
            data += (place.folder / "part.h264").read_bytes()
        (place.folder / "both.h264").write_bytes(data)
        line = refuse(place, source=place.folder / "both.h264")
        assert "changes its frame size from 48×32 to 64×48 at frame 6" in line

    def test_frames_too_small_for_the_network(self, place: Place) -> None:
        line = refuse(place, "--scale", "0.2")
        assert "at least 8 px" in line


class TestValues:
    @pytest.mark.parametrize("value", ["nan", "-3", "inf"])
    def test_factor(self, place: Place, value: str) -> None:
        assert (
            f"factor must be a finite number of at least 0 (1 keeps motion as it is), got {value}"
            in refuse(place, f"--factor={value}")
        )

    def test_motion_beyond_the_training_is_a_warning(self, place: Place) -> None:
        noise = torch.rand(1, 1, 20, 24, generator=torch.Generator().manual_seed(0))
        scene = torch.nn.functional.interpolate(noise, scale_factor=8, mode="bicubic").clamp(0, 1)
        frames = torch.cat([scene[..., 8:136, 8 + 2 * i : 168 + 2 * i] for i in (0, 1, 0)])
        write_clip(place.folder / "moves.mp4", frames.expand(-1, 3, -1, -1))
        arguments = [place.folder / "moves.mp4", place.out / "out.mp4", "--weights", place.weights]
        code, lines = place.run(*arguments, "--device", "cpu", "--factor", "20")
        assert code == 0
        assert len(lines) == 1
        assert "mm: warning: " in lines[0]
        assert "past the 10 px that the weights were trained for" in lines[0]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--mode", "temporal"], "temporal mode needs a band"),
            (["--mode", "temporal", "--low", "2"], "--low 2 Hz is given, --high is missing"),
            (["--mode", "temporal", "--low", "4", "--high", "2"], "got 4 Hz to 2 Hz"),
            (["--mode", "temporal", "--low", "4", "--high", "4"], "got 4 Hz to 4 Hz"),
            (["--mode", "temporal", "--low", "4", "--high", "20"], "hold only frequencies below 15 Hz"),
            (["--mode", "temporal", "--low", "0.5", "--high", "2"], "60 frames at 30 a second"),
            (["--mode", "temporal", "--low", "nan", "--high", "2"], "must be a number above 0 Hz, got nan"),
            (["--mode", "temporal", "--low", "3", "--high", "8", "--fps", "0"], "must be a number above 0"),
            (["--mode", "static", "--low", "4", "--high", "8"], "static mode magnifies all frequencies"),
            (
                ["--roi", "20,0,20,10"],
                "roi 20,0,20,10 (x,y,width,height) does not lie within the frame of 32×24",
            ),
            (["--roi", "0,0,0,10"], "roi 0,0,0,10"),
            (["--roi=-1,0,10,10"], "roi -1,0,10,10"),
            (["--roi", "1,2,3"], "--roi must be 4 whole numbers"),
            (["--start", "0.2", "--end", "0.1"], "start must come before end, got start 0.2 s and end 0.1 s"),
            (["--start", "5"], "no frame between 5 s and its end: the clip lasts 0.40 s"),
            (["--start", "-1"], "start must be a time of at least 0 s, got -1 s"),
            (["--scale", "0"], "scale must be a number above 0, got 0"),
            (["--scale", "nan"], "scale must be a number above 0, got nan"),
            (["--batch", "0"], "batch must be at least 1 frame, got 0"),
            (["--crf", "99"], "crf must be from 0 (best) to 51, got 99"),
            (["--method", "lerned"], "did you mean 'learned'?"),
            (["--preset", "pulze"], "no preset is called 'pulze'; did you mean 'pulse'?"),
            (
                ["--preset", "string"],
                "preset string looks at 72 Hz to 92 Hz, which takes more than 184 frames",
            ),
            (["-o", "orientations"], "--option must be NAME=VALUE, got 'orientations'"),
            (["-o", "size=1"], "the learned method has no option 'size' (it has direction)"),
            (["-o", "factor=3"], "factor is no option of the learned method alone; set it with --factor"),
            (["-o", "a=1", "-o", "a=2"], "--option a is given twice"),
            (["--taps", "30"], "--taps 30 is the temporal filter's, but there is no band"),
            (["--filter", "fir"], "--filter fir is the temporal filter's, but there is no band"),
            (["--fps", "0"], "--fps must be a number above 0 frames a second, got 0"),
            (["--fps", "-5"], "above 0 frames a second, got -5"),
            (["--order", "4"], "--order 4 is the temporal filter's, but there is no band"),
            ([*BAND, "--taps", "30"], "the butter filter has no taps, got 30"),
            ([*BAND, "--filter", "fir", "--taps", "2"], "needs at least 3 taps, got 2"),
            ([*BAND, "--filter", "fir", "--order", "4"], "the fir filter has no order, got 4"),
            ([*BAND, "--order", "3"], "must be 2, 4, 6 or 8, got 3"),
            (["--taps", "many"], "invalid int value: 'many'"),
            (["--mode", "temporal", "--low", "0.8", "--high", "2"], "38 frames at 30 a second"),
        ],
    )
    def test_options(self, place: Place, options: list[str], message: str) -> None:
        assert message in refuse(place, *options)

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ("orientation=8", "no option 'orientation'; did you mean 'orientations'?"),
            ("orientations=x", "option orientations must be int, got x"),
            ("orientations=99", "99"),
            ("channels=hue", "option channels must be luminance | rgb, got hue"),
            ("scales=9", "have at most"),
        ],
    )
    def test_a_method_s_options(self, place: Place, option: str, message: str) -> None:
        code, lines = place.run(place.clip, place.out / "out.mp4", "--method", "phase", "-o", option)
        assert code == 2
        assert len(lines) == 1
        assert message in lines[0]
        assert list(place.out.iterdir()) == []

    def test_a_folder_of_images_needs_a_rate_for_a_preset_with_a_band(self, place: Place) -> None:
        write_clip(place.folder / "frames", torch.rand(12, 3, 16, 16))
        code, lines = place.run(place.folder / "frames", place.out / "out.mp4", "--preset", "tremor")
        assert code == 2
        assert "no frame rate; give it with --fps" in lines[0]

    def test_a_folder_of_images_needs_a_rate_for_a_band(self, place: Place) -> None:
        write_clip(place.folder / "frames", torch.rand(12, 3, 16, 16))
        line = refuse(
            place, "--mode", "temporal", "--low", "3", "--high", "8", source=place.folder / "frames"
        )
        assert "no frame rate; give it with --fps" in line

    def test_a_device_that_is_not_there(self, place: Place) -> None:
        count = torch.cuda.device_count()
        line = refuse(place, "--device", f"cuda:{count}")
        assert f"device 'cuda:{count}' is not there: torch sees {count} CUDA devices" in line

    def test_a_device_that_is_none(self, place: Place) -> None:
        assert "no device is called 'tpu9'" in refuse(place, "--device", "tpu9")


class TestTarget:
    def test_the_input(self, place: Place) -> None:
        before = place.clip.read_bytes()
        assert "good.mp4 is the input; name another file" in refuse(place, target=place.clip)
        assert place.clip.read_bytes() == before

    def test_the_input_by_another_name(self, place: Place) -> None:
        link = place.folder / "link.mp4"
        link.symlink_to(place.clip)
        assert "link.mp4 is the input" in refuse(place, target=link)

    def test_the_input_folder(self, place: Place) -> None:
        write_clip(place.folder / "frames", torch.rand(3, 3, 16, 16))
        line = refuse(place, source=place.folder / "frames", target=place.folder / "frames")
        assert "frames is the input" in line
        assert len(list((place.folder / "frames").iterdir())) == 3

    def test_a_folder_that_is_not_there(self, place: Place) -> None:
        assert "gone; make it first" in refuse(place, target=place.folder / "gone" / "out.mp4")

    @pytest.mark.skipif(
        not Path("/proc/self").is_dir(), reason="needs a folder that not even root may write to"
    )
    @pytest.mark.parametrize("name", ["out.mp4", "frames"])
    def test_an_unwritable_folder(self, place: Place, name: str) -> None:
        line = refuse(place, target=Path("/proc/self") / name)
        assert f"cannot write /proc/self/{name}" in line
        assert "name a folder that you may write to" in line

    def test_a_suffix_that_is_no_video(self, place: Place) -> None:
        assert "the suffix '.ogv' is none of .mp4" in refuse(place, target=place.out / "out.ogv")

    def test_lossless_where_it_cannot_be(self, place: Place) -> None:
        assert "name the output .mkv" in refuse(place, "--lossless")

    def test_an_earlier_output_survives_a_failure(self, place: Place) -> None:
        target = place.folder / "old.mp4"
        target.write_bytes(b"an earlier result")
        refuse(place, "--mode", "temporal", "--low", "0.5", "--high", "2", target=target)
        assert target.read_bytes() == b"an earlier result"


class Evil:
    """What a stranger's file could hold: an order to write a file when it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return (Path.touch, (self.trace,))


class TestWeights:
    def test_missing(self, place: Place) -> None:
        assert "no weights file" in refuse(place, "--weights", place.folder / "gone.safetensors")

    def test_another_architecture(self, place: Place) -> None:
        from safetensors.torch import load_file, save_file

        path = place.folder / "other.safetensors"
        metadata = {"network_config": '{"channels": 4}', "card": "{}"}
        save_file(load_file(place.weights), path, metadata=metadata)
        assert "other.safetensors holds weights of another architecture" in refuse(place, "--weights", path)

    def test_another_program_s_file(self, place: Place) -> None:
        from safetensors.torch import save_file

        path = place.folder / "foreign.safetensors"
        save_file({"weight": torch.zeros(3)}, path)
        assert "was not saved by this project" in refuse(place, "--weights", path)

    @pytest.mark.parametrize("form", ["pickle", "torch"])
    def test_a_stranger_s_pickle_is_not_executed(self, place: Place, form: str) -> None:
        path, trace = place.folder / "gift.ckpt", place.folder / "trace"
        evil = {"state_dict": {}, "hyper_parameters": Evil(trace)}
        if form == "pickle":
            path.write_bytes(pickle.dumps(evil))
        else:
            torch.save(evil, path)
        line = refuse(place, "--weights", path)
        assert "gift.ckpt is refused" in line
        assert not trace.exists()
        # The trap is a real one.
        with path.open("rb") as file:
            pickle.load(file) if form == "pickle" else torch.load(path, weights_only=False)
        assert trace.exists()

    def test_rubbish(self, place: Place) -> None:
        for suffix in (".safetensors", ".ckpt", ".npz"):
            path = place.folder / f"rubbish{suffix}"
            path.write_bytes(b"no weights at all" * 10)
            assert "rubbish" in refuse(place, "--weights", path)

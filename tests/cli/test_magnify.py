"""``mm magnify`` as it is typed."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from mm.cli import main
from mm.cli.magnify import summary
from mm.magnify.clip import magnify
from mm.magnify.settings import Settings
from mm.methods import LearnedMagnifier, PhaseMagnifier
from mm.networks import MagnificationNetwork, NetworkConfig
from mm.networks.weights import save
from mm.video import read_clip, write_clip

TINY = NetworkConfig(
    stem_channels=2, channels=2, encoder_blocks=1, texture_blocks=1, shape_blocks=1, decoder_blocks=1
)


@pytest.fixture
def weights(tmp_path: Path) -> str:
    torch.manual_seed(0)
    save(MagnificationNetwork(TINY), tmp_path / "tiny.safetensors", {})
    return str(tmp_path / "tiny.safetensors")


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "in.mp4"
    write_clip(path, torch.rand(12, 3, 24, 32, generator=torch.Generator().manual_seed(0)), rate=30)
    return str(path)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--mode", "dynamic", "--factor", "8"],
        ["--mode", "temporal", "--low", "5", "--high", "8", "--filter", "fir"],
        ["--mode", "temporal", "--low", "60", "--high", "80", "--fps", "600", "--filter", "iir"],
        ["--precision", "bf16", "--side-by-side", "--scale", "0.75"],
        ["--roi", "4,4,16,12", "--crf", "20", "--batch", "3"],
        ["--start", "0.1", "--end", "0.3"],
        ["--mode", "temporal", "--low", "3", "--high", "7.5", "--filter", "fir", "--taps", "30"],
        ["--mode", "temporal", "--low", "5", "--high", "8", "--order", "4", "--ignore-cuts"],
    ],
)
def test_magnifies(
    source: str, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    target = tmp_path / "out.mp4"
    assert main(["magnify", source, str(target), "--weights", weights, "--device", "cpu", *options]) == 0
    frames, info = read_clip(target)
    assert len(frames) == (6 if "--start" in options else 12)
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(
        f"{target}: {len(frames)} frames of {info.width}×{info.height} px at 30 a second"
    )
    assert out[1].startswith("learned, ")
    assert f"; weights {Path(weights).name}" in out[1]
    assert "frames a second" in out[2]
    if "temporal" in options:
        assert f"{options[3]}–{options[5]} Hz" in out[1]


def test_weights_and_precision_inside_layered(
    source: str, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["magnify", source, str(tmp_path / "o.mp4"), "--device", "cpu", "--method", "layered"]
    arguments += ["-o", "region=4,4,24,16", "--weights", weights, "--precision", "bf16", "--ignore-cuts"]
    assert main([*arguments, "-o", "inner=learned"]) == 0
    said = capsys.readouterr()
    assert "inside it learned, static, factor 10, bf16 on cpu" in said.out
    assert "changes nothing" not in said.err
    assert main([*arguments, "-o", "inner=phase", "--overwrite"]) == 2
    assert "the phase method inside layered has no weights, got --weights" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "where"), [([], ""), (["-o", "region=4,4,24,16"], " inside layered")])
def test_a_precision_that_means_nothing_is_told(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], where: str
) -> None:
    arguments = [
        "magnify",
        source,
        str(tmp_path / "o.mp4"),
        "--device",
        "cpu",
        "--precision",
        "bf16",
        *options,
    ]
    assert main([*arguments, "--method", "layered" if options else "phase", "--ignore-cuts"]) == 0
    line = f"mm: warning: --precision bf16 changes nothing: the phase method{where} works in 32 bits"
    assert capsys.readouterr().err.splitlines().count(line) == 1


@pytest.mark.parametrize("method", ["linear", "acceleration"])
def test_a_band_alone_asks_for_temporal_mode(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    arguments = ["magnify", source, str(tmp_path / "o.mp4"), "--device", "cpu", "--method", method]
    assert main([*arguments, "--low", "5", "--high", "8"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{method}, temporal, ")
    assert main([*arguments, "--overwrite"]) == (2 if method == "acceleration" else 0)
    said = capsys.readouterr()
    if method == "acceleration":
        assert "in a band of frequencies, and none is given" in said.err
    else:
        assert said.out.splitlines()[1].startswith("linear, static")


def test_an_odd_size_is_told(weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(tmp_path / "in.mkv", torch.rand(3, 3, 25, 33), lossless=True)
    arguments = ["magnify", str(tmp_path / "in.mkv"), "--weights", weights, "--device", "cpu"]
    assert main([*arguments, str(tmp_path / "out.mp4")]) == 0
    assert "34×26 px" in (line := capsys.readouterr().out.splitlines()[0])
    assert "the last column and row repeated" in line
    assert main([*arguments, str(tmp_path / "out.mkv"), "--lossless"]) == 0
    assert "33×25 px at 30 a second" in capsys.readouterr().out


def test_quiet(source: str, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["magnify", source, str(tmp_path / "o"), "--weights", weights, "--device", "cpu", "--quiet"])
        == 0
    )
    assert capsys.readouterr().out == ""
    assert len(list((tmp_path / "o").glob("*.png"))) == 12


def test_a_method_that_is_a_plug_in(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MM_PLUGINS", "")
    plugin = tmp_path / "upside_down_test.py"
    plugin.write_text(
        textwrap.dedent("""
            import torch
            from mm.methods import Magnifier
            from mm.registry import methods

            @methods.register("upside-down-test")
            class UpsideDown(Magnifier):
                def __init__(self, factor, band, device): ...
                def push(self, frames): return frames.flip(-2)
                def flush(self): return torch.empty(0, 3, 24, 32)
                def memory(self, height, width, frames): return 0
                def describe(self): return "upside down"
        """)
    )
    arguments = ["magnify", source, str(tmp_path / "o"), "--method", "upside-down-test", "--device", "cpu"]
    assert main(arguments) == 2
    assert "no method is called 'upside-down-test'" in capsys.readouterr().err
    assert main([*arguments, "--plugins", str(plugin)]) == 0
    assert "upside down" in capsys.readouterr().out
    expected = read_clip(source)[0].flip(-2)
    torch.testing.assert_close(read_clip(tmp_path / "o")[0], expected, atol=0.6 / 255, rtol=0)


def test_a_method_s_own_options(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["magnify", source, str(tmp_path / "o"), "--method", "phase", "--device", "cpu"]
    assert main([*arguments, "-o", "orientations=6", "--option", "limit=1.5"]) == 0
    assert "6 orientations, 1 octave, luminance, limit 1.5 rad" in capsys.readouterr().out


def test_a_plug_in_s_options(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MM_PLUGINS", "")
    plugin = tmp_path / "dimmer_test.py"
    plugin.write_text(
        textwrap.dedent('''
            import torch
            from mm.methods import Magnifier
            from mm.registry import methods

            @methods.register("dimmer-test")
            class Dimmer(Magnifier):
                """Makes the frames darker.

                Args:
                    share: of the light [0, 1] that is left.
                """
                def __init__(self, factor, band, device, *, share: float = 0.5): self.share = share
                def push(self, frames): return frames * self.share
                def flush(self): return torch.empty(0, 3, 24, 32)
                def memory(self, height, width, frames): return 0
                def describe(self): return f"dimmer {self.share:g}"
        ''')
    )
    arguments = ["magnify", source, str(tmp_path / "o"), "--method", "dimmer-test", "--device", "cpu"]
    assert main([*arguments, "--plugins", str(plugin), "-o", "share=0.25"]) == 0
    assert "dimmer 0.25" in capsys.readouterr().out
    expected = read_clip(source)[0] * 0.25
    torch.testing.assert_close(read_clip(tmp_path / "o")[0], expected, atol=0.6 / 255, rtol=0)
    arguments[2] = str(tmp_path / "again")
    assert main([*arguments, "-o", "shore=0.25"]) == 2
    assert "no option 'shore'; did you mean 'share'?" in capsys.readouterr().err
    assert main(["methods", "dimmer-test", "--plugins", str(plugin)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "dimmer-test: Makes the frames darker." in out
    assert "of the light [0, 1] that is left." in out


def test_a_preset_is_printed_before_the_work(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []
    push = PhaseMagnifier.push

    def note(self: PhaseMagnifier, frames: Tensor) -> Tensor:
        printed.append(capsys.readouterr().out)
        return push(self, frames)

    monkeypatch.setattr(PhaseMagnifier, "push", note)
    arguments = [
        "magnify",
        source,
        str(tmp_path / "o"),
        "--preset",
        "string",
        "--fps",
        "600",
        "--device",
        "cpu",
    ]
    assert main([*arguments, "--factor", "12", "-o", "orientations=6"]) == 0
    lines = [line.split() for line in printed[0].splitlines()]
    assert lines[0][:2] == ["preset", "string:"]
    assert ["method", "phase"] in lines
    assert ["factor", "12", "(given)"] in lines
    assert ["band", "72", "Hz", "to", "92", "Hz"] in lines
    assert ["option", "orientations", "6", "(given)"] in lines
    assert "factor 12, 6 orientations" in capsys.readouterr().out
    printed.clear()
    arguments[2] = str(tmp_path / "again")
    assert main([*arguments, "--quiet"]) == 0
    assert "".join(printed) == ""


def test_a_cut_is_a_line(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dark = torch.linspace(0, 0.3, 32).expand(8, 3, 24, 32)
    rows = torch.linspace(0, 6.28 * 3, 24).view(-1, 1)
    write_clip(
        tmp_path / "cut.mkv", torch.cat([dark, (0.5 + 0.5 * rows.sin()).expand(8, 3, 24, 32)]), rate=30
    )
    arguments = ["magnify", str(tmp_path / "cut.mkv"), str(tmp_path / "o.mkv"), "--method", "phase"]
    assert main(arguments) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"mm: warning: {tmp_path / 'cut.mkv'} has a cut before frame 8 (0.27 s): ")
    assert main([*arguments, "--ignore-cuts", "--overwrite"]) == 0
    assert capsys.readouterr().err == ""


def test_never_imports_the_training_side(source: str, weights: str, tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from mm.cli import main
        code = main(["magnify", *sys.argv[1:]])
        heavy = ("mm.training", "mm.data", "mm.synthesis", "mm.evaluation", "lightning",
                 "pytorch_lightning", "kornia", "albumentations", "wandb", "torchmetrics", "jsonargparse")
        print([name for name in sys.modules if name.startswith(heavy)])
        sys.exit(code)
    """)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            script,
            source,
            str(tmp_path / "out.mp4"),
            "--weights",
            weights,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_leaves_nothing_behind(
    source: str,
    weights: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    code: int,
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    push, seen = LearnedMagnifier.push, []

    def push_and_be_stopped(self: LearnedMagnifier, frames: Tensor) -> Tensor:
        seen.append(sorted(name.suffix for name in folder.iterdir()))
        if len(seen) == 3:
            signal.raise_signal(number)
        return push(self, frames)

    monkeypatch.setattr(LearnedMagnifier, "push", push_and_be_stopped)
    handler = signal.getsignal(signal.SIGTERM)
    # A shell starts background jobs with SIGINT ignored, and Python then leaves it so.
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    # nohup ignores it.
    hang_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        returned = main(
            [
                "magnify",
                source,
                str(folder / "out.mp4"),
                "--weights",
                weights,
                "--device",
                "cpu",
                "--batch",
                "2",
            ]
        )
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGHUP, hang_up)
    assert returned == code
    # Until then it was being written, under another name.
    assert seen == [[".part"]] * 3
    assert list(folder.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is handler
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("largest", "factor", "said"),
    [
        (12.0, 100.0, "about 12 px; a factor of at most 2.5 keeps it within 30 px"),
        (1.0, 20.0, "about 1 px"),
        (0.0, 10.0, "too small to measure here; mm spectrum measures less"),
        (0.0, 2000.0, "measures less. Past 0.015 px, × 2000 is past the 30 px of the training"),
    ],
)
def test_what_the_motion_means_for_the_factor_is_said(largest: float, factor: float, said: str) -> None:
    report = SimpleNamespace(
        size=(8, 8), target="o.mp4", frames=2, rate=30.0, method="m", seconds=1.0, speed=2.0, padding=(0, 0)
    )
    report.largest_motion, report.trained_reach, report.settings = largest, 30.0, Settings(factor=factor)
    report.largest_amplitude = largest / 2
    assert summary(report)[-1].endswith(said)  # type: ignore[arg-type]


def test_several_clips_go_into_a_folder(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.MOV"
    write_clip(other, torch.rand(5, 3, 24, 32, generator=torch.Generator().manual_seed(1)), rate=30)
    broken = tmp_path / "broken.ts"
    broken.write_text("no video")
    folder = tmp_path / "made" / "here"
    arguments = ["magnify", source, str(broken), str(other), "--out-dir", str(folder), "--method", "linear"]
    assert main([*arguments, "--factor", "2"]) == 1
    said = capsys.readouterr()
    assert "broken.ts" in said.err
    assert "1 of 3" in said.err
    assert {path.name for path in folder.iterdir()} == {"in.mp4", "other.MOV"}
    assert [len(read_clip(folder / name)[0]) for name in ("in.mp4", "other.MOV")] == [12, 5]
    # What is there is looked at before the first clip is begun.
    assert main([*arguments, "--factor", "2"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["magnify", source, "--out-dir", str(tmp_path), "--overwrite"]) == 2
    assert "is the input" in capsys.readouterr().err
    assert main(["magnify", source, str(other), str(tmp_path / "third.mp4")]) == 2
    assert "--out-dir" in capsys.readouterr().err
    (tmp_path / "in").mkdir()
    same = tmp_path / "in" / "in.mp4"
    same.write_bytes(Path(source).read_bytes())
    assert main(["magnify", source, str(same), "--out-dir", str(tmp_path / "new")]) == 2
    assert "both" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_progress_is_lines_where_there_is_no_terminal(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mm.magnify.progress._LINES", (0.0, 0.0))
    arguments = ["magnify", source, str(tmp_path / "out.mp4"), "--method", "linear", "--batch", "4"]
    assert main(arguments) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("in.mp4: ")]
    assert lines[-1].startswith("in.mp4: 12 of 12 frames, ")
    assert len(lines) == 6
    assert main([*arguments, "--overwrite", "--quiet"]) == 0
    assert not capsys.readouterr().out


def test_a_function_of_progress_may_end_the_work(source: str, tmp_path: Path) -> None:
    seen: list[tuple[float, int | None]] = []

    def progressed(frames: float, total: int | None) -> None:
        seen.append((frames, total))
        if frames >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        magnify(source, tmp_path / "out.mp4", method="linear", batch=2, progress=progressed)
    assert seen[:2] == [(1.0, 12), (2.0, 12)]
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4"}


@pytest.mark.slow
def test_a_job_for_each_clip(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("submitit")
    broken = tmp_path / "broken.ts"
    broken.write_text("no video")
    folder = tmp_path / "made"
    arguments = ["magnify", source, str(broken), "--method", "linear", "--submit", "local"]
    assert main(arguments) == 2
    assert "--out-dir" in capsys.readouterr().err
    arguments += ["--out-dir", str(folder)]
    assert main([*arguments, "--job", "no_such_thing=1"]) == 2
    assert "no_such_thing" in capsys.readouterr().err
    assert main([*arguments, "--job", "timeout_min=5"]) == 1
    assert "broken.ts" in capsys.readouterr().err
    assert len(read_clip(folder / "in.mp4")[0]) == 12
    # Again: what is there is left.
    before = (folder / "in.mp4").stat().st_mtime_ns
    assert main([*arguments, "--resume"]) == 1
    assert (folder / "in.mp4").stat().st_mtime_ns == before

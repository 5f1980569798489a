"""``mm measure`` as it is typed."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from mm.cli import main
from mm.video import write_clip

FPS, FRAMES, HERTZ, AMPLITUDE = 50, 64, 6.0, 0.3


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    time = torch.arange(FRAMES) / FPS
    x = torch.arange(96) - AMPLITUDE * torch.sin(2 * math.pi * HERTZ * time)[:, None, None]
    y = torch.arange(64)[:, None]
    grey = 0.5 + 0.2 * torch.sin(x * 0.5 + 0.3 * y) + 0.15 * torch.sin(x * 0.7 - 0.4 * y)
    pixels = (grey * 255).round()[:, None].expand(-1, 3, -1, -1) / 255
    write_clip(tmp_path / "a clip.mkv", pixels, rate=FPS, lossless=True)
    return tmp_path


def test_writes_every_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--point", "30,30", "--line", "20,30,60,30", "--mm-per-px", "0.5", "--shape", "6", "--out", "m"]
    assert main(["measure", "a clip.mkv", *words]) == 0
    assert "point 1" in capsys.readouterr().out
    report = json.loads(Path("m/report.json").read_text())
    peak = report["points"][0]["peaks"][0]
    assert peak["frequency_hz"] == pytest.approx(HERTZ, rel=0.001)
    assert peak["amplitude_px"] == pytest.approx(AMPLITUDE, rel=0.02)
    assert peak["amplitude_mm"] == pytest.approx(0.5 * peak["amplitude_px"])
    assert 0 < peak["frequency_hz_u"] < 0.05
    assert 0 < peak["amplitude_px_u"] < 0.01
    assert [point["name"] for point in report["points"]][1:] == [f"line 1, {n} of 2" for n in (1, 2)]
    assert report["points"][1]["relative_to_first"][0]["phase_deg"] == pytest.approx(0, abs=3)
    assert "mm" in report["versions"]
    with open("m/waveform.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["place"] == "point 1"]
    assert len(rows) == FRAMES
    for row in rows[::9]:
        wanted = AMPLITUDE * math.sin(2 * math.pi * HERTZ * float(row["time_s"]))
        assert float(row["x_displacement_px"]) == pytest.approx(wanted, abs=0.02)
        assert float(row["x_displacement_mm"]) == pytest.approx(
            0.5 * float(row["x_displacement_px"]), rel=1e-3
        )
        assert float(row["along_acceleration_mm_s2_u"]) > 0
    with open("m/spectrum.csv", newline="") as file:
        spectrum = [row for row in csv.DictReader(file) if row["place"] == "point 1"]
    top = max(spectrum, key=lambda row: float(row["x_amplitude_px"]))
    assert float(top["frequency_hz"]) == pytest.approx(HERTZ, abs=FPS / FRAMES)
    assert Image.open("m/place_1.png").width > 500
    assert Image.open("m/shape_6Hz.png").width > 500
    assert Image.open("m/shape_6Hz.gif").n_frames > 10
    page = Path("m/report.html").read_text()
    # Nothing is fetched from elsewhere.
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert page.count("data:image/png") == 5


def test_an_earlier_measurement_is_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["measure", "a clip.mkv", "--point", "30,30", "--end", "0.5"]
    assert main(words) == 0
    assert Path("a clip_measured/report.html").exists()
    assert main(words) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--point", "30"], "--point"),
        (["--roi", "1,2,3,a"], "--roi"),
        (["--point", "300,30"], "lies outside of the frame"),
        (["--mm-per-px", "0"], "mm-per-px must be a number above 0"),
    ],
)
def test_bad_input_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["measure", "a clip.mkv", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("a clip_measured").exists()

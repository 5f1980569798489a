"""A catalogue of bad inputs, one row each: the command line, and what its one line of error names.

``@`` is a folder with the files of :func:`folder`; in ``@/out`` nothing may be left.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mm.cli import main
from mm.cli.main import TRACEBACK_VARIABLE
from mm.networks import MagnificationNetwork, NetworkConfig, config_to_dict
from mm.networks.weights import save
from mm.video import write_clip

TINY = NetworkConfig(
    stem_channels=2, channels=2, encoder_blocks=1, texture_blocks=1, shape_blocks=1, decoder_blocks=1
)
LONG = "x" * 300
MAGNIFY = "magnify @/clip.mp4 @/out/o.mp4 --device cpu --method linear"
BAND = f"{MAGNIFY} --mode temporal --low 3 --high 8"
LEARNED = "magnify @/clip.mp4 @/out/o.mp4 --device cpu --weights"
SMOKE = f"fit --config {Path(__file__).parents[2]}/experiments/smoke.yaml --trainer.default_root_dir @/out"

ROWS = {
    # Names
    "name of 300 letters, read": (f"magnify @/{LONG}.mp4 @/out/o.mp4", "name too long"),
    "name of 300 letters, written": (f"magnify @/clip.mp4 @/out/{LONG}.mp4 --method linear", "name too long"),
    "line break in a name": ("magnify '@/a\nb.mp4' @/out/o.mp4", r"a\nb.mp4"),
    "NUL in a name": ("magnify '@/a\0.mp4' @/out/o.mp4", r"a\x00.mp4"),
    "a folder of nothing": ("spectrum @/empty --fps 30 --out @/out/o.png", "without images"),
    # Clips
    "text": ("magnify @/text.mp4 @/out/o.mp4", "text.mp4 cannot be read as a video"),
    "text, sliced": ("slice @/text.mp4 --row 1 --out @/out/o.png", "text.mp4 cannot be read as a video"),
    "text, measured": ("measure @/text.mp4 --out @/out/m", "text.mp4 cannot be read as a video"),
    "nothing": ("spectrum @/none.mkv --out @/out/o.png", "none.mkv cannot be read as a video"),
    "no decoder": ("magnify @/xxxx.mp4 @/out/o.mp4", "codec that FFmpeg decodes"),
    "image that is none": ("magnify @/images @/out/o --method linear", "2.png cannot be read as an image"),
    "image of another size": ("magnify @/sizes @/out/o --method linear", "2.png changes the frame size"),
    "TIFF that is none": (
        "magnify @/text.tif @/out/o --method linear",
        "text.tif cannot be read as an image",
    ),
    "TIFF of float samples": ("magnify @/float.tif @/out/o --method linear", "float32 samples"),
    "depth of a video": (f"{MAGNIFY} --depth 12", "depth is for images"),
    # Numbers
    "taps": (f"{BAND} --filter fir --taps 1000000000", "100000 taps at most"),
    "order": (f"{BAND} --order 1000000000", "got 1000000000"),
    "period": (f"{MAGNIFY} --mode temporal --low 1e-9 --high 8", "more than 100000 frames"),
    "band that is too narrow": (f"{BAND} --high 3.0000001", "more than 100000 frames"),
    "capture rate": (f"{BAND} --fps 1e300", "more than 100000 frames"),
    "a band above the rate": (f"{BAND} --fps 1e-300", "--fps"),
    "scale": (f"{MAGNIFY} --scale 1e9", "scale 1e+09 makes frames of"),
    "scale of a spectrum": ("spectrum @/clip.mp4 --scale 1e9 --out @/out/o.png", "scale 1e+09 makes frames"),
    "crf": (f"{MAGNIFY} --crf nan", "crf must be from 0"),
    "roi": (f"{MAGNIFY} --roi 0,0,99999999999999999999,4", "does not lie within the frame"),
    "end": (f"{MAGNIFY} --end 1e400", "end must be a time"),
    "orientations": (f"{MAGNIFY} --method phase -o orientations=1000000000", "1000000000"),
    "row": ("slice @/clip.mp4 --row 99999 --out @/out/o.png", "row 99999 lies outside"),
    "peaks": ("spectrum @/clip.mp4 --peaks 0 --out @/out/o.png", "--peaks must be at least 1"),
    "millimetres": ("measure @/clip.mp4 --mm-per-px nan --out @/out/m", "mm-per-px must be a number above 0"),
    "place": ("measure @/clip.mp4 --point 1e9,1 --out @/out/m", "lies outside of the frame"),
    "largest motion": (
        "synthesize --count 1 --size 32x32 --max-magnified 1e9 --out @/out/s",
        "max_magnified must be at most 1000 px, got 1e+09",
    ),
    "frame of 0 px": ("synthesize --count 1 --size 0x0 --out @/out/s", "at least 8 px, got 0"),
    "frame of 1e9 px": ("synthesize --count 1 --size 1000000000x1000000000 --out @/out/s", "1000000000"),
    "levels": ("evaluate gain --levels nan --out @/out/e", "nan"),
    "factor of the demo": ("demo --factor nan --out @/out/d", "got nan"),
    # Outputs
    "an output that is the input": ("magnify @/clip.mp4 @/clip.mp4 --overwrite", "is the input"),
    "an output within the input": (
        "spectrum @/images --fps 30 --out @/images/1.png --overwrite",
        "is a file of the input",
    ),
    "an output that exists": ("slice @/clip.mp4 --row 1 --out @/old.png", "add --overwrite"),
    "a second clip by a shell's star": ("magnify @/clip.mp4 @/other.mp4", "add --overwrite"),
    "no folder": ("magnify @/clip.mp4 @/gone/o.mp4", "make it first"),
    # Weights, cards and checkpoints
    "weights: text": (f"{LEARNED} @/text.safetensors", "text.safetensors"),
    "weights: empty checkpoint": (f"{LEARNED} @/none.ckpt", "none.ckpt"),
    "weights: empty archive": (f"{LEARNED} @/none.npz", "none.npz"),
    "weights: a card of the wrong types": (f"{LEARNED} @/card.safetensors", "max_magnified_motion"),
    "weights: a nested card": (f"{LEARNED} @/nested.safetensors", "nested.safetensors"),
    "weights: a million blocks": (f"{LEARNED} @/blocks.safetensors", "decoder_blocks"),
    "weights: numbers that overflow": (f"{LEARNED} @/overflow.safetensors", "overflow.safetensors"),
    "exported text": ("export @/none.ckpt @/out/w.safetensors", "none.ckpt"),
    # Configurations
    "fit: no configuration": ("fit", "--config"),
    "fit: a binary configuration": ("fit --config @/clip.mp4", "clip.mp4"),
    "fit: an alias bomb": ("fit --config @/bomb.yaml", "bomb.yaml"),
    "fit: nested too deeply": ("fit --config @/nested.yaml", "nested.yaml"),
    "fit: an interval of 0": (f"{SMOKE} --trainer.val_check_interval 0", "val_check_interval"),
    "fit: -7 devices": (f"{SMOKE} --trainer.devices=-7", "devices"),
    "sweep: a binary file": ("sweep @/clip.mp4 --out @/out/s", "clip.mp4"),
    # Words
    "a command": ("magnifi @/clip.mp4", "did you mean 'magnify'?"),
    "an option": (f"{MAGNIFY} --factr 3", "did you mean '--factor'?"),
    "a method": ("methods phse", "did you mean 'phase'?"),
    "a preset": ("presets breathin", "did you mean 'breathing'?"),
    "a plug-in": (f"{MAGNIFY} --plugins @/text.mp4", "text.mp4"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the rows name."""
    at = tmp_path_factory.mktemp("catalogue")
    for name in ("empty", "images", "sizes"):
        (at / name).mkdir()
    frames = torch.rand(12, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    write_clip(at / "clip.mp4", frames)
    (at / "xxxx.mp4").write_bytes((at / "clip.mp4").read_bytes().replace(b"avc1", b"xxxx"))
    for name in ("text.mp4", "text.tif", "text.safetensors"):
        (at / name).write_text("Dear video,\n" * 50)
    for name in ("none.mkv", "none.ckpt", "none.npz", "old.png", "other.mp4"):
        (at / name).touch()
    for where, size in (("images", 24), ("sizes", 32)):
        cv2.imwrite(str(at / where / "1.png"), np.zeros((24, 24), np.uint8))
        cv2.imwrite(str(at / where / "2.png"), np.zeros((24, size), np.uint8))
    (at / "images" / "2.png").write_bytes(b"no picture")
    cv2.imwrite(str(at / "float.tif"), np.zeros((24, 24), np.float32))
    torch.manual_seed(0)
    save(MagnificationNetwork(TINY), at / "tiny.safetensors", {"max_magnified_motion": 10.0})
    tensors = load_file(at / "tiny.safetensors")
    config = json.dumps(config_to_dict(TINY))
    for name, settings, card in (
        ("card", config, '{"max_magnified_motion": "abc"}'),
        ("nested", config, "[" * 100_000 + "]" * 100_000),
        ("blocks", '{"decoder_blocks": 1000000}', "{}"),
    ):
        save_file(tensors, at / f"{name}.safetensors", {"network_config": settings, "card": card})
    network = MagnificationNetwork(TINY)
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(1e30)
    save(network, at / "overflow.safetensors", {"max_magnified_motion": 10.0})
    links = "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(12)
    )
    (at / "bomb.yaml").write_text("a: &a [x, x, x, x, x, x, x, x, x]\n" + links)
    (at / "nested.yaml").write_text("[" * 5000)
    return at


@pytest.mark.parametrize("row", ROWS)
def test_a_bad_input_is_one_line(
    row: str, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, named = ROWS[row]
    out = folder / "out"
    out.mkdir(exist_ok=True)
    monkeypatch.chdir(out)
    code = main(shlex.split(line.replace("@", str(folder))))
    said = [text for text in capfd.readouterr().err.splitlines() if not text.startswith("mm: warning: ")]
    assert code == 2, said
    assert len(said) == 1, said
    assert said[0].startswith("mm: error: ")
    assert named in said[0]
    # A sentence was written for it.
    assert TRACEBACK_VARIABLE not in said[0]
    assert list(out.rglob("*")) == []


def test_a_name_is_no_formula(folder: Path, tmp_path: Path) -> None:
    name = tmp_path / r"$\frac{x^$.mp4"
    name.write_bytes((folder / "clip.mp4").read_bytes())
    for command in ("slice --row 1", "spectrum"):
        out = tmp_path / f"{command[:5]}.png"
        assert main([*command.split()[:1], str(name), *command.split()[1:], "--out", str(out)]) == 0
        assert out.stat().st_size > 1000

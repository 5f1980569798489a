"""Where bfloat16 is imitated, a user who asks for it is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mm.cli.fit import build
from mm.methods.learned import LearnedMagnifier
from mm.networks import MagnificationNetwork
from mm.runtime import bf16_in_software

SMOKE = Path(__file__).parents[2] / "experiments" / "smoke.yaml"
CPU = torch.device("cpu")


@pytest.fixture
def processor(monkeypatch):
    """Set what torch knows of the processor."""

    def be(**capabilities):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    return be


@pytest.mark.parametrize(
    ("capabilities", "imitated"),
    [
        ({"architecture": "x86_64", "avx2": True, "avx512_bf16": False, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, False),
        # Of others nothing is known.
        ({"architecture": "aarch64"}, False),
    ],
)
def test_where_it_is_imitated(processor, capabilities, imitated):
    processor(**capabilities)
    assert bf16_in_software(CPU) == imitated
    assert not bf16_in_software(torch.device("cuda"))


def test_an_older_torch_tells_nothing(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not bf16_in_software(CPU)


@pytest.mark.parametrize("fast", [True, False])
def test_a_training_in_bf16_says_so(processor, tmp_path, capsys, fast):
    processor(architecture="x86_64", avx512_bf16=fast)
    options = ["--config", str(SMOKE), "--trainer.default_root_dir", str(tmp_path)]
    for precision in ("32-true", "bf16-mixed"):
        made = build(
            [*options, "--trainer.accelerator", "cpu", f"--trainer.precision={precision}"], run=False
        )
        # Parts that are only made, as a sweep's check does, say nothing.
        assert "bfloat16" not in capsys.readouterr().err
        made.before_fit()
        said = [line for line in capsys.readouterr().err.splitlines() if "no bfloat16 arithmetic" in line]
        assert len(said) == (not fast and precision == "bf16-mixed")
        assert all(line.startswith("mm: warning: bf16-mixed: ") for line in said)


def test_one_rank_says_it(processor, tmp_path, capsys, monkeypatch):
    processor(architecture="x86_64", avx512_bf16=False)
    options = [
        "--config",
        str(SMOKE),
        "--trainer.default_root_dir",
        str(tmp_path),
        "--trainer.accelerator",
        "cpu",
    ]
    made = build([*options, "--trainer.precision=bf16-mixed"], run=False)
    monkeypatch.setattr(type(made.trainer), "is_global_zero", False)
    made.before_fit()
    assert "bfloat16" not in capsys.readouterr().err


def test_a_clip_in_bf16_says_so(processor, recwarn):
    processor(architecture="x86_64", avx512_bf16=False)
    network = MagnificationNetwork()
    LearnedMagnifier(network)
    assert not recwarn
    with pytest.warns(UserWarning, match="--precision bf16: this CPU has no bfloat16 arithmetic"):
        LearnedMagnifier(network, precision="bf16")

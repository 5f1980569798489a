# %% [markdown]
# # Figure 8: how small a motion, and how much noise
#
# **What the paper claims** (Oh et al. 2018, section 5.2 and Figure 8). On rendered scenes whose magnified truth is known,
# the learned method is nearer to the truth (SSIM) than the phase-based one, (a) for every motion down to 0.01 px, which is
# magnified to 10 px, and (b, c) at every strength of noise, for 0.05 px × 200 and for 0.5 px × 20. The phase-based method
# falls to the baseline, which does nothing, as the noise factor passes 1. The smaller motion (b) is shown worse than the
# larger one (c), since it is harder to tell from noise.
#
# **What is done here.** The same measurements (`mm evaluate subpixel`, `mm evaluate noise`) at a few levels, on one small
# scene: textured objects that overlap, rendered exactly. The phase-based method is given a clip and the paper's filter
# (30 taps, 0.5–7.5 Hz, motion of 3 Hz at 30 frames a second), the learned one two frames.
#
# `MM_RELEASE` may name the 2018 release's weights (.npz), which then stand beside this project's; `MM_LEVELS=all` takes
# all of the protocol's levels (minutes).

# %%
import math
import os

import matplotlib.pyplot as plt
import torch
from common import Report, networks
from torch import Tensor

from mm.evaluation import random_texture, soft_mask
from mm.evaluation.candidates import BASELINE, candidates, learned
from mm.evaluation.figures import draw_figure8
from mm.evaluation.noise import Noise
from mm.evaluation.protocol import NOISE_CASES
from mm.evaluation.runner import Conditions
from mm.evaluation.scene_spec import Pictures
from mm.evaluation.subpixel import Subpixel
from mm.evaluation.tables import Row

SIZE, SCENES = (96, 96), 1  # px
everything = os.environ.get("MM_LEVELS") == "all"
MOTIONS = None if everything else (0.01, 0.05, 0.2, 1.0)  # px
NOISES = None if everything else (0.1, 1.0, 10.0)

report = Report("figure08", "quantitative: sub-pixel motion and noise")
device = torch.device("cpu")
# The input itself, which shows what doing nothing scores, and the phase-based method.
methods = [
    *candidates(["phase"], device, clips=True),
    *(learned(name, network, device) for name, network in networks().items()),
]

# %% [markdown]
# ## The scenes
#
# Pictures without files: a textured wall, and textured objects of irregular outline.


# %%
def photograph(seed: int, index: int) -> Tensor:
    return random_texture(180, 180, torch.Generator().manual_seed(100 * seed + index), contrast=0.12, slope=1.2).float()


def cutout(seed: int, index: int, number: int) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * seed + 10 * index + number + 3)
    colour, waves = torch.rand(3, generator=generator) * 0.6 + 0.2, torch.rand(3, generator=generator)
    rows, columns = torch.meshgrid(*(torch.arange(64, dtype=torch.float64) - 31.5,) * 2, indexing="ij")
    angle = torch.atan2(rows, columns)
    outline = 22 + sum(4 * float(wave) * torch.cos(k * angle + 6 * float(wave)) for k, wave in zip((2, 3, 5), waves, strict=True))
    texture = random_texture(64, 64, generator, colour=colour.tolist(), contrast=0.15)
    return torch.cat([texture, soft_mask(torch.hypot(rows, columns) - outline).clamp(0, 1)[None]]).float()


pictures = Pictures(photograph, cutout)
rows: list[Row] = []
for test in (Subpixel(pictures, SIZE, MOTIONS, gain=False), Noise(pictures, SIZE, NOISES)):
    rows += test.rows(test.run(methods, Conditions(SCENES, seed=2, renderers=("fourier",), device=device)))

# %% [markdown]
# ## What comes out


# %%
def scores(method: str, measurement: str, motion: float | None = None) -> dict[float, float]:
    """Return the mean SSIM by level: px of motion of "subpixel", noise factor of "noise" at one motion."""
    chosen = [row for row in rows if (row.method, row.measurement) == (method, measurement)]
    if measurement == "subpixel":
        return {row.motion: row.ssim for row in chosen}
    return {row.noise: row.ssim for row in chosen if row.motion == motion}


def least_lead(ours: dict[float, float], theirs: dict[float, float]) -> tuple[float, float]:
    """Return the level at which the lead is least, and the lead there."""
    level = min(ours, key=lambda each: ours[each] - theirs[each])
    return level, ours[level] - theirs[level]


small, large = (motion for motion, _ in NOISE_CASES)
print("SSIM with the truth")
for measurement, motion in (("subpixel", None), ("noise", small), ("noise", large)):
    what = "noise factor" if motion else "px"
    for method in methods:
        line = ", ".join(f"{level:g}: {value:.3f}" for level, value in scores(method.name, measurement, motion).items())
        print(f"  {measurement}{f' at {motion:g} px' if motion else ''}, {method.name}, by {what}: {line}")

for network in (each.name for each in methods if each.network is not None):
    level, lead = least_lead(scores(network, "subpixel"), scores("phase", "subpixel"))
    least, most = min(scores(network, "subpixel")), max(scores(network, "subpixel"))
    report.judge(
        network,
        "(a) for every motion it is nearer to the truth than the phase-based method",
        f"of {least:g} to {most:g} px its lead is least at {level:g} px: {lead:+.3f} of SSIM",
        lead > 0,
    )
    for letter, motion in (("b", small), ("c", large)):
        level, lead = least_lead(scores(network, "noise", motion), scores("phase", "noise", motion))
        report.judge(
            network,
            f"({letter}) at every strength of noise it is nearer to the truth than the phase-based method, {motion:g} px",
            f"its lead is least at a noise factor of {level:g}: {lead:+.3f} of SSIM",
            lead > 0,
        )
    harder, easier = (scores(network, "noise", motion) for motion in (small, large))
    mean = [sum(each.values()) / len(each) for each in (harder, easier)]
    report.judge(
        network,
        "(b, c) the smaller motion suffers more from noise",
        f"mean SSIM over the noise factors {mean[0]:.3f} at {small:g} px, {mean[1]:.3f} at {large:g} px",
        mean[0] < mean[1],
    )

fallen = {
    motion: max(
        scores("phase", "noise", motion)[level] - scores(BASELINE, "noise", motion)[level]
        for level in scores("phase", "noise", motion)
        if level >= 1
    )
    for motion in (small, large)
}
report.judge(
    "phase",
    "from a noise factor of 1 on the phase-based method is no better than doing nothing",
    ", ".join(f"at {motion:g} px it is at most {lead:+.3f} of SSIM above the input" for motion, lead in fallen.items()),
    all(lead < 0.05 for lead in fallen.values()) and not any(math.isnan(lead) for lead in fallen.values()),
)

# %%
path = report.folder / f"{report.name}_ssim.png"
draw_figure8(path, rows)
report.pictures.append(path.name)
figure, axis = plt.subplots(figsize=(13.2, 3.5), layout="constrained")
axis.imshow(plt.imread(path), interpolation="bilinear")
axis.set_axis_off()
plt.show()

# %%
verdict = report.conclude()

# %% [markdown]
# # Figure 9: what the encoder looks for
#
# **What the paper claims** (Oh et al. 2018, section 5.3 and Figure 9). The encoder is not linear, but each of its channels
# can be approximated by a linear kernel. The kernels of the shape that are approximated best look like what earlier
# methods were built from by hand: detectors of directed edges (Gabor filters), Laplacians, and corners. Many of the
# texture's kernels blur.
#
# **What is done here.** The response of every channel to a small impulse is averaged over places and pictures
# (`mm evaluate kernels`); it is the kernel. How well it describes the channel is the share of the channel's variance over
# pictures that it explains. What a kernel *is* is then not guessed by eye but computed: how much of it is left of an
# even picture (a derivative has none, a blur all), and whether it prefers a direction.

# %%
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from common import Report, networks, panels
from torch import Tensor

from mm.evaluation import random_scene, random_texture
from mm.evaluation.scene_spec import Pictures
from mm.evaluation.kernels import Kernels, kernel_pictures, measure_kernels

COUNT = 3  # pictures
BEST = 8  # kernels, as many as the paper shows
BLUR, DERIVATIVE = 0.5, 0.25  # of a kernel's response to an even picture: a blur has more, a derivative less
DIRECTED = 0.35  # a preference for a direction: a Gaussian's derivative has 1/2, a Gabor filter more
SIMPLE = 1.5  # spread × mean frequency: what has more is no filter that has a name

report = Report("figure09", "linear kernels of the encoder")

# %% [markdown]
# ## The kernels
#
# The pictures are rendered: textured shapes of random outline that overlap, with edges in every direction.


# %%
def photograph(seed: int, index: int) -> Tensor:
    scene = random_scene(224, 224, seed=100 * seed + index, objects=(8, 12), margin=8)
    return scene.frames(torch.zeros(1, len(scene.layers), 2))[0]


def cutout(seed: int, index: int, number: int) -> Tensor:
    generator = torch.Generator().manual_seed(10000 * seed + 100 * index + number)
    return torch.cat([random_texture(32, 32, generator), torch.ones(1, 32, 32)]).float()


pictures = kernel_pictures(Pictures(photograph, cutout), seed=9, count=COUNT)
found = {name: measure_kernels(network.encode, pictures) for name, network in networks().items()}
for name, parts in found.items():
    for part, kernels in parts.items():
        best = kernels.explained[kernels.best(BEST)]
        print(
            f"{name}, {part}: of the variance the {BEST} best kernels explain {float(best.min()):.0%} to "
            f"{float(best.max()):.0%}, the median channel's {float(kernels.explained.nanmedian()):.0%}"
        )

# %% [markdown]
# ## What they are
#
# From a kernel's frequency response *H*:
#
# - **evenness** is |*H*(0)| over the largest |*H*|: 1 for a blur, 0 for a derivative of any kind;
# - **direction** is how much the energy |*H*|² prefers one axis of the plane of frequencies, 0 to 1: near 1 for an edge
#   detector with a long edge, 1/2 for a Gaussian's derivative, 0 for a Laplacian, for which all directions are alike;
# - **complexity** is how far the kernel spreads times how fast it varies, a number without unit: a fifth for a Gaussian,
#   below one for a Gabor filter, many for what changes at random from pixel to pixel over a wide area.


# %%
@dataclass(frozen=True)
class Character:
    """What a kernel is.

    Attributes:
        evenness: in [0, 1].
        direction: in [0, 1].
        complexity: at least some 0.16, the uncertainty relation's limit.
        kind: in a word.
    """

    evenness: float
    direction: float
    complexity: float

    @property
    def kind(self) -> str:
        if self.complexity > SIMPLE:
            return "diffuse"
        if self.evenness > BLUR:
            return "blur"
        if self.evenness > DERIVATIVE:
            return "mixed"
        return "edge" if self.direction > DIRECTED else "spot or corner"


def character(kernel: Tensor) -> Character:
    """Return what a kernel (L, L) is."""
    response = torch.fft.fft2(kernel.double(), s=(128, 128))
    energy = response.abs() ** 2
    frequency = torch.fft.fftfreq(128, dtype=torch.float64)
    down, across = torch.meshgrid(frequency, frequency, indexing="ij")
    # The angle is doubled, so that opposite directions are one and orthogonal ones cancel.
    angle = 2 * torch.atan2(down, across)
    directed = energy * (torch.hypot(down, across) > 0)
    leaning = torch.hypot((directed * angle.cos()).sum(), (directed * angle.sin()).sum()) / directed.sum()
    variation = ((down**2 + across**2) * energy).sum() / energy.sum()
    weight = kernel.double() ** 2 / kernel.double().square().sum()
    place = torch.arange(len(kernel), dtype=torch.float64)
    spread = sum((weight.sum(axis) * place**2).sum() - (weight.sum(axis) * place).sum() ** 2 for axis in (0, 1))
    return Character(
        float(response.abs()[0, 0] / response.abs().max()),
        float(leaning),
        float((torch.as_tensor(spread) * variation).sqrt()),
    )


def best_of(kernels: Kernels) -> dict[int, Character]:
    """Return what the best kernels are, by channel."""
    return {channel: character(kernels.weights[channel]) for channel in kernels.best(BEST)}


# Kernels whose character is known, to hold the two measures to.
line = torch.arange(-8.0, 9.0)
y, x = torch.meshgrid(line, line, indexing="ij")
blur = torch.exp(-(x**2 + y**2) / 8)
known = {
    "Gaussian": blur,
    "its derivative along x": -x * blur,
    "its Laplacian": ((x**2 + y**2) / 16 - 0.5) * blur,
    "Gabor filter": torch.cos(1.5 * (x + y) / 2**0.5) * blur,
    "random kernel": torch.randn(17, 17, generator=torch.Generator().manual_seed(0)),
}
for name, kernel in known.items():
    kind = character(kernel)
    numbers = f"evenness {kind.evenness:.2f}, direction {kind.direction:.2f}, complexity {kind.complexity:.2f}"
    print(f"{name}: {numbers}: {kind.kind}")

# %%
for name, parts in found.items():
    kinds = {part: [each.kind for each in best_of(kernels).values()] for part, kernels in parts.items()}

    def told(part: str, kinds: dict[str, list[str]] = kinds) -> str:
        return ", ".join(f"{kinds[part].count(kind)} {kind}" for kind in dict.fromkeys(kinds[part]))

    least = float(parts["shape"].explained[parts["shape"].best(BEST)].min())
    report.judge(
        name,
        "channels of the shape are near to linear kernels",
        f"the {BEST} best kernels explain {least:.0%} of their channel's variance, or more",
        least > 0.5,
    )
    derivatives = kinds["shape"].count("edge") + kinds["shape"].count("spot or corner")
    report.judge(
        name,
        "most of the shape's best kernels are derivatives: edges, Laplacians (spots), corners",
        f"of {BEST}: {told('shape')}",
        derivatives > BEST / 2,
    )
    report.judge(
        name,
        "directed edge detectors are among them",
        f"{kinds['shape'].count('edge')} of {BEST}",
        "edge" in kinds["shape"],
    )
    report.judge(
        name,
        "many of the texture's kernels blur",
        f"of {BEST}: {told('texture')}",
        kinds["texture"].count("blur") > BEST / 4,
    )

# %%
lines = [(name, kernels) for name, parts in found.items() for kernels in (parts["shape"], parts["texture"])]
figure, axes = panels(len(lines), BEST, 1.5, 2.0)
for axes_line, (name, kernels) in zip(axes, lines, strict=True):
    for axis, (channel, kind) in zip(axes_line, best_of(kernels).items(), strict=True):
        weights = kernels.weights[channel]
        most = float(weights.abs().max())
        axis.imshow(weights.numpy(), cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_title(f"{channel}: {float(kernels.explained[channel]):.0%}", fontsize=8)
        axis.set_xlabel(f"{kind.kind}\n{kind.evenness:.2f}, {kind.direction:.2f}, {kind.complexity:.1f}", fontsize=8)
    axes_line[0].set_ylabel(f"{name}: {kernels.part}", fontsize=9)
size = lines[0][1].weights.shape[-1]
figure.suptitle(
    f"above: channel, variance explained; below: kind, and evenness, direction, complexity; {size}×{size} px, red is positive, "
    "each to its own peak",
    fontsize=9,
)
report.save(figure, "kernels")
plt.show()

# %%
verdict = report.conclude()

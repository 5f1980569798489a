"""Configurations of the network: the paper's choices, the 2018 release's, and everything between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mm.errors import InputError, check_fields

PaddingMode = Literal["reflect", "replicate", "zeros"]
StridedPadding = Literal["symmetric", "same"]
InputRange = Literal["unit", "signed"]
ManipulatorKind = Literal["nonlinear", "linear"]
Anchor = Literal["a", "b"]
Initialisation = Literal["linear-start", "he"]


# More than any network needs; a configuration comes with a stranger's weights.
MOST_CHANNELS, MOST_BLOCKS = 1024, 128


@dataclass(frozen=True)
class NetworkConfig:
    """Every choice in the three-part network; the defaults are the paper's network as this project trains it.

    The paper is Oh et al., "Learning-based Video Motion Magnification", ECCV 2018, section 3.1 and its
    appendix. Where it leaves a choice open (biases, padding, input range), the default says ours.
    ``dataclasses.asdict`` gives a JSON-able dictionary and :meth:`from_dict` reads it back.

    Args:
        stem_channels: channels of the encoder's first convolution (7×7, full resolution).
        channels: channels of the shape and of the texture representation; the decoder has twice as many.
        encoder_blocks: residual blocks shared by both branches, at half resolution.
        texture_blocks: residual blocks of the texture branch, at a quarter of the resolution.
        shape_blocks: residual blocks of the shape branch, at half resolution.
        decoder_blocks: residual blocks of the decoder, at half resolution.
        shape_conv: whether the shape branch begins with a convolution of its own, as in the paper.
        bias: whether the encoder's and decoder's convolutions have biases. The manipulator never has:
            a zero difference must stay zero, so that what does not move is not changed.
        manipulator: "nonlinear", h(gain · g(difference)), or "linear", gain · difference.
        manipulator_kernel: side of g's kernel, odd, at most 7.
        anchor: the shape that the manipulated difference is added to. "b": M_b + h((α−1)·g(M_b − M_a)),
            which at a factor of 1 is M_b exactly; "a": M_a + h(α·g(M_b − M_a)), the paper's text.
            For a linear manipulator the two are the same function.
        padding: how convolutions continue the image past its border.
        strided_padding: where the two stride-2 convolutions pad: "symmetric", one pixel on each side in
            the mode of ``padding``, or "same", TensorFlow's rule, which on even sizes is one row of zeros
            below and one column of zeros on the right.
        input_range: the network's own range: "unit" is [0, 1], "signed" is [−1, 1].
        clip_output: whether ``decode`` clips to the range. The gradient vanishes where it clips, so it is
            off for training; ``magnify_pair`` clamps in any case.
        initialisation: "linear-start" or "he"; see :mod:`mm.networks.init`.

    Raises:
        InputError: for a value that names nothing or is out of its limits.
    """

    stem_channels: int = 16
    channels: int = 32
    encoder_blocks: int = 3
    texture_blocks: int = 2
    shape_blocks: int = 2
    decoder_blocks: int = 9
    shape_conv: bool = True
    bias: bool = True
    manipulator: ManipulatorKind = "nonlinear"
    manipulator_kernel: int = 3
    anchor: Anchor = "b"
    padding: PaddingMode = "reflect"
    strided_padding: StridedPadding = "symmetric"
    input_range: InputRange = "signed"
    clip_output: bool = False
    initialisation: Initialisation = "linear-start"

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in fields(self):
            value, hint = getattr(self, field.name), hints[field.name]
            if get_origin(hint) is Literal:
                if value not in get_args(hint):
                    known = ", ".join(repr(choice) for choice in get_args(hint))
                    raise InputError(f"network config: {field.name} must be one of {known}, got {value!r}")
            elif type(value) is not hint:
                raise InputError(
                    f"network config: {field.name} must be of type {hint.__name__}, got {value!r}"
                )
        limits = {"stem_channels": (1, MOST_CHANNELS), "channels": (1, MOST_CHANNELS)}
        limits |= {f"{part}_blocks": (0, MOST_BLOCKS) for part in ("encoder", "texture", "shape", "decoder")}
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise InputError(
                    f"network config: {name} must be between {least} and {most}, got {getattr(self, name)}"
                )
        # The shape of the smallest frame is 4 px wide, and reflection reaches at most 3 px into it.
        if self.manipulator_kernel not in (1, 3, 5, 7):
            raise InputError(
                f"network config: manipulator_kernel must be 1, 3, 5 or 7, got {self.manipulator_kernel}"
            )

    @classmethod
    def paper(cls) -> NetworkConfig:
        """The paper's network, as this project trains it: the defaults.

        Two choices are not the paper's text: ``anchor`` is "b", as in the 2018 release, so that a factor of 1
        changes nothing; and ``initialisation`` is "linear-start", because training starts faster from it.
        """
        return cls()

    @classmethod
    def release2018(cls) -> NetworkConfig:
        """The network behind the weights that the paper's authors released; 918,928 parameters."""
        return cls(
            shape_conv=False,
            bias=False,
            manipulator_kernel=7,
            anchor="b",
            padding="reflect",
            strided_padding="same",
            input_range="signed",
            clip_output=True,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetworkConfig:
        """Read what ``dataclasses.asdict`` wrote.

        Raises:
            InputError: for a name that is no field, or a value that the field cannot have.
        """
        return cls(**check_fields(values, cls, "the network's configuration"))

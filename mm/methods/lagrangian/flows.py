"""Flow functions: where each pixel of a reference is in a frame, by OpenCV or by any function of a user's."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

from mm.errors import InputError

#: (reference, frame), each (H, W, 3) uint8 RGB → (H, W, 2) px, order (x, y): the reference's pixel (x, y) is
#: at (x, y) + flow in the frame
FlowFunction = Callable[[np.ndarray, np.ndarray], np.ndarray]

# px; frames are continued to this, as DIS needs a patch on its coarser levels.
_LEAST = 32


def dis(reference: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Dense inverse search (Kroeger et al. 2016), OpenCV's "fast" preset; right to about 0.1 px."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    a, b = _grey(reference), _grey(frame)
    return flow.calc(a, b, np.zeros((*a.shape, 2), np.float32))[: len(reference), : reference.shape[1]]


def farneback(reference: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Polynomial expansion (Farnebäck 2003) by OpenCV: five levels, windows of 15 px."""
    a, b = _grey(reference), _grey(frame)
    start = np.zeros((*a.shape, 2), np.float32)
    flow = cv2.calcOpticalFlowFarneback(a, b, start, 0.5, 5, 15, 3, 5, 1.1, 0)
    return flow[: len(reference), : reference.shape[1]]


def still(reference: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """No flow: leaves all to the refinement, for motion below half a pixel, and saves the time of a flow."""
    return np.zeros((*reference.shape[:2], 2), np.float32)


#: the names that a user can type
FLOWS: dict[str, FlowFunction] = {"dis": dis, "farneback": farneback, "none": still}


def find_flow(flow: str | FlowFunction) -> FlowFunction:
    """The flow function that is meant.

    Args:
        flow: a name in :data:`FLOWS`, the place of a function as "module:function", or a function.

    Raises:
        InputError: if there is none.
    """
    if callable(flow):
        return flow
    if flow in FLOWS:
        return FLOWS[flow]
    module, colon, name = flow.partition(":")
    if not colon:
        raise InputError(
            f"no flow is called {flow!r}; use one of {', '.join(FLOWS)}, or module:function for your own"
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"the flow {flow!r} cannot be imported: {error}") from error
    if not callable(found):
        raise InputError(f"the flow {flow!r} is no function but a {type(found).__name__}")
    return found


def run_flow(flow: FlowFunction, reference: np.ndarray, frame: np.ndarray) -> Tensor:
    """Call a flow function and check what it gives: (2, H, W) float32 px.

    Raises:
        InputError: if it gives another shape, or values that are not finite.
    """
    found = np.asarray(flow(reference, frame))
    wanted = (*reference.shape[:2], 2)
    name = getattr(flow, "__name__", str(flow))
    if found.shape != wanted:
        raise InputError(f"the flow {name} must give an array of shape {wanted}, got {found.shape}")
    if not np.isfinite(found).all():
        raise InputError(f"the flow {name} gave NaN or infinite displacements")
    return torch.from_numpy(np.ascontiguousarray(found.transpose(2, 0, 1), dtype=np.float32))


def as_bytes(frame: Tensor) -> np.ndarray:
    """A frame (3, H, W) in [0, 1] as flow functions take it, (H, W, 3) uint8."""
    return np.ascontiguousarray(frame.mul(255).round_().byte().permute(1, 2, 0).cpu().numpy())


def _grey(image: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    rows, columns = (max(0, _LEAST - length) for length in grey.shape)
    return cv2.copyMakeBorder(grey, 0, rows, 0, columns, cv2.BORDER_REPLICATE) if rows or columns else grey

"""What became of a picture that was sent: its cost, its fidelity, and what tasks find in it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vcm_mt.models.similarity import similarity
from vcm_mt.models.sizes import pixels_of
from vcm_mt.models.tasks import named_tasks
from vcm_mt.structures import Sent


def score(
    tasks: nn.ModuleDict,
    original: Tensor,
    sent: dict[str, Sent],
    sample: Any,
    everywhere: bool = False,
) -> None:
    """Judge a sent picture and write the result into its data sample.

    Adds the fields ``pred_<task>`` (what the task found in its receiver's picture) and the
    metainfo ``coding``: num_bytes, bits_estimated, num_pixels, and per receiver psnr in dB and
    ms_ssim in [0, 1] (``None`` for a picture too small for its five scales).
    The same function serves codecs and anchors, so all are measured by one path.

    Args:
        tasks: Frozen tasks by name.
        original: float [1, 3, H, W] in [0, 1].
        sent: What each receiver decoded.
        sample: The picture's data sample.
        everywhere: Let every task look at every receiver's picture; the fields are then
            ``pred_<task>@<receiver>``.
    """
    first = next(iter(sent.values()))
    pixels = {name: _rounded(one.picture) for name, one in sent.items()}
    coding = {
        "num_bytes": first.num_bytes,
        "bits_estimated": first.bits_estimated,
        "num_pixels": pixels_of(sample),
        "psnr": {name: _psnr(decoded, 255 * original) for name, decoded in pixels.items()},
        "ms_ssim": {name: _ms_ssim(decoded, 255 * original) for name, decoded in pixels.items()},
    }
    sample.set_metainfo({"coding": coding})
    for name, task in named_tasks(tasks):
        for receiver in sent if everywhere else (task.receiver,):
            found = task.predict(sent[receiver].picture, [sample])
            if found is not None:
                place = f"{name}@{receiver}" if everywhere else name
                sample.set_field(found[0], f"pred_{place}")


def _rounded(picture: Tensor) -> Tensor:
    return (255 * picture.clamp(0, 1)).round()


def _psnr(decoded: Tensor, original: Tensor) -> float:
    """PSNR in dB of 8-bit pictures, over all three channels."""
    error = (decoded - original).square().mean()
    return float(10 * torch.log10(255**2 / error.clamp_min(1e-10)))


def _ms_ssim(decoded: Tensor, original: Tensor) -> float | None:
    found = similarity(decoded, original, 255)
    return None if found is None else found.item()

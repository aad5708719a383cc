"""Evaluation of a sent picture: rate, fidelity, and the tasks' predictions."""

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
    """Evaluate a sent picture and write the results into its data sample.

    Adds the fields ``pred_<task>``, the task's predictions on its receiver's picture, and the
    metainfo ``coding``: num_bytes, bits_estimated, num_pixels, and per receiver psnr in dB and
    ms_ssim in [0, 1] (``None`` for a picture too small for its five scales).
    Codecs and anchors are measured by this same function.

    Args:
        tasks: Frozen tasks by name.
        original: float [1, 3, H, W] in [0, 1].
        sent: The decoded picture of each receiver.
        sample: The picture's data sample.
        everywhere: Run every task on every receiver's picture; the fields are then
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
            predictions = task.predict(sent[receiver].picture, [sample])
            if predictions is not None and predictions[0] is not None:
                field = f"{name}@{receiver}" if everywhere else name
                sample.set_field(predictions[0], f"pred_{field}")


def _rounded(picture: Tensor) -> Tensor:
    return (255 * picture.clamp(0, 1)).round()


def _psnr(decoded: Tensor, original: Tensor) -> float:
    """PSNR in dB of 8-bit pictures, over all three channels."""
    error = (decoded - original).square().mean()
    return float(10 * torch.log10(255**2 / error.clamp_min(1e-10)))


def _ms_ssim(decoded: Tensor, original: Tensor) -> float | None:
    value = similarity(decoded, original, 255)
    return None if value is None else value.item()

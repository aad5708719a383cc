"""What the bits cost and how close the pictures came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from vcm_mt.registry import METRICS


@METRICS.register_module()
class CodingMetric(BaseMetric):
    """Real and estimated bits per native pixel; PSNR and MS-SSIM per receiver.

    ``bpp`` is 8 * bytes of the file that would be sent / native pixels, averaged over the
    pictures; ``bpp_estimated`` is what the likelihoods said. Curves that code nothing (the
    originals) have neither. ``psnr`` is the mean of the pictures' PSNR in dB, ``ms_ssim`` the
    mean over the pictures that are large enough for it.
    """

    default_prefix = None

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Collect each sample's ``coding`` record."""
        self.results += [sample["coding"] for sample in data_samples]

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Average."""
        metrics = {}
        if results[0]["num_bytes"] is not None:
            bits = [8 * r["num_bytes"] / r["num_pixels"] for r in results]
            metrics["bpp"] = float(np.mean(bits))
        if results[0]["bits_estimated"] is not None:
            bits = [r["bits_estimated"] / r["num_pixels"] for r in results]
            metrics["bpp_estimated"] = float(np.mean(bits))
        for name in ("psnr", "ms_ssim"):
            for receiver in results[0][name]:
                values = [r[name][receiver] for r in results if r[name][receiver] is not None]
                if values:
                    key = name if receiver == "shared" else f"{name}_{receiver}"
                    metrics[key] = float(np.mean(values))
        return metrics

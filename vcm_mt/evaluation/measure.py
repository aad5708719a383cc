"""One pass of a system over the test set of its config: real bytes, and the config's metrics."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.dist import collect_results, get_rank
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from tqdm import tqdm

from vcm_mt.curves.counts import COUNTED
from vcm_mt.curves.rp import RPPoint
from vcm_mt.curves.voc import AREA_SCORES
from vcm_mt.errors import naming
from vcm_mt.metrics import CheckedCocoMetric, PoseMetric


class Measurement(NamedTuple):
    """The result of a pass.

    Attributes:
        metrics: All figures of the config's evaluators by name; NaN where there is no score.
        num_bytes: Size of each picture's file in the dataset's order; empty for uncoded pictures.
        num_pixels: Native pixels of each picture.
    """

    metrics: dict[str, float]
    num_bytes: list[int]
    num_pixels: list[int]


@torch.no_grad()
def measure(system: BaseModel, config: Config, description: str) -> Measurement:
    """Run a system over the test pictures of a config and evaluate.

    Several processes share the pictures out. All return the metrics; only the first returns the
    pictures' bytes and pixels.

    Args:
        system: A ``VCMSystem`` or an ``AnchorSystem``.
        config: Its ``test_dataloader`` and ``test_evaluator`` are used.
        description: Label of the progress bar.

    Raises:
        DataError: When the annotations don't fit these pictures, before the first one is encoded;
            or when a picture fails, with its name.
    """
    system.eval()
    codings: list[dict[str, Any]] = []
    with DefaultScope.overwrite_default_scope(config.default_scope), redirect_stdout(io.StringIO()):
        loader = Runner.build_dataloader(config.test_dataloader, seed=0)
        evaluator = _evaluator(config, loader.dataset)
        bar = tqdm(loader, desc=description, unit="picture", disable=get_rank() != 0)
        for batch in bar:
            with naming(", ".join(str(sample.img_path) for sample in batch["data_samples"])):
                samples = system.val_step(batch)
                evaluator.process(data_samples=samples, data_batch=batch)
            codings += [sample.coding for sample in samples]
        metrics = evaluator.evaluate(len(loader.dataset))
        numbered = list(zip(loader.sampler, codings, strict=True))
        told = collect_results(numbered, len(loader.dataset)) or []
    codings = [coding for _, coding in sorted(told, key=lambda one: one[0])]
    coded = [one["num_bytes"] for one in codings if one["num_bytes"] is not None]
    return Measurement(metrics, coded, [one["num_pixels"] for one in codings])


def _evaluator(config: Config, dataset: Any) -> Evaluator:
    evaluators = config.test_evaluator
    evaluator = Evaluator(evaluators if isinstance(evaluators, list) else [evaluators])
    evaluator.dataset_meta = dataset.metainfo
    for metric in evaluator.metrics:
        if isinstance(metric, CheckedCocoMetric | PoseMetric):
            metric.check_pictures(dataset)
    return evaluator


def scores(metrics: dict[str, float]) -> dict[str, float]:
    """The scores of an R-P point: ``<task>_mAP``, ``<task>_HOTA``, ... in percent, ``psnr`` in dB.

    A segmenter's mAP is that of its masks, a detector's that of its boxes: the same figures as
    :class:`vcm_mt.evaluation.experiment.Experiment` gives.
    """
    fidelity = ("psnr", "ms_ssim")
    found = {name: value for name, value in metrics.items() if name.startswith(fidelity)}
    for kind in ("bbox", "segm", "keypoints"):
        suffix = f"/{kind}_mAP"
        for name, value in metrics.items():
            if name.endswith(suffix):
                found[f"{name.removesuffix(suffix)}_mAP"] = round(100 * value, 4)
    for kind in (*COUNTED, *AREA_SCORES):
        for name, value in metrics.items():
            if name.endswith(f"/{kind}"):
                found[name.replace("/", "_")] = round(100 * value, 4)
    return found


def rp_point(quality: Any, measurement: Measurement) -> RPPoint:
    """The R-P point of a codec's measurement."""
    metrics = measurement.metrics
    return RPPoint(quality, metrics["bpp"], metrics.get("bpp_estimated"), scores(metrics))

"""Curves of an experiment: the trained codec, the one it started from, VVC, the originals."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from PIL import Image

from vcm_mt.apis.codec import Transmitter
from vcm_mt.apis.system import build_system
from vcm_mt.checkpoint import fingerprint
from vcm_mt.engine.hooks import frozen_digest
from vcm_mt.errors import MeasurementError
from vcm_mt.evaluation.anchor_system import AnchorSystem
from vcm_mt.evaluation.anchors import VVC, code_pictures
from vcm_mt.evaluation.bd_rate import BDRate, bd_rate
from vcm_mt.evaluation.many_receivers import (
    load_receivers,
    measure_receivers,
    receiver_points,
)
from vcm_mt.evaluation.measure import Measurement, measure, rp_point, scores
from vcm_mt.evaluation.points import PointStore
from vcm_mt.evaluation.rp import RPPoint
from vcm_mt.registry import MODELS

#: BD-rates by task, curve and anchor.
Rates = dict[str, dict[str, dict[str, BDRate]]]

VVC_QPS = (22, 27, 32, 37, 42, 47)


class Experiment:
    """Measures curves over the test set of a config, each point once.

    Args:
        config: A system's config; its test data, tasks and evaluators are used.
        store: Where points are kept, by the provenance that they depend on.
        folder: Where VVC's streams are kept.
    """

    def __init__(self, config: Config, store: PointStore, folder: Path) -> None:
        self.config = config
        self.store = store
        self.folder = folder
        self.common = {
            "data": data_fingerprint(config.test_dataloader.dataset),
            "tasks": {name: _tasks_fingerprint(task) for name, task in config.model.tasks.items()},
            "metrics": json.loads(json.dumps(config.test_evaluator)),
        }

    def originals(self) -> dict[str, float]:
        """The scores of the tasks on the uncoded pictures."""

        def run() -> dict[str, Any]:
            system = AnchorSystem(self.config.model.tasks)
            found = scores(measure(system, self.config, "originals").metrics)
            return {name: value for name, value in found.items() if name.endswith("_mAP")}

        return self._once({"codec": "none"}, run)

    def vvc(self) -> list[RPPoint]:
        """VVC by VVenC, all intra, preset medium, at the paper's QPs."""
        anchor = VVC()

        def run_at(qp: int) -> dict[str, Any]:
            pictures = list(_pictures(self.config.test_dataloader.dataset))
            for _ in code_pictures(anchor, pictures, qp, self.folder, os.cpu_count() or 1):
                pass
            system = AnchorSystem(self.config.model.tasks, anchor, qp, self.folder)
            return _record(qp, measure(system, self.config, f"VVC QP {qp}"))

        return [
            self._point({"codec": anchor.fingerprint, "qp": qp}, partial(run_at, qp))
            for qp in VVC_QPS
        ]

    def codec(self, name: str, quality: int, config: Config, checkpoint: Path | None) -> RPPoint:
        """One point of a learned codec, trained (``checkpoint``) or as its config starts it."""
        system = build_system(config, checkpoint)
        receivers = hashlib.sha256()
        for value in system.receivers.state_dict().values():
            receivers.update(value.cpu().numpy().tobytes())
        provenance = {
            "codec": system.transmitter.fingerprint(),
            "receivers": receivers.hexdigest(),
        }
        return self._point(
            provenance, lambda: _record(quality, measure(system, config, f"{name} {quality}"))
        )

    def receivers(
        self, quality: int, checkpoint: Path, files: Sequence[Path]
    ) -> dict[str, RPPoint]:
        """One point per receiver on the same bytes: stage 1's shared one, and those of files.

        The config's ``tasks`` and ``evaluators`` are used: every task looks at each picture.
        """
        transmitter = Transmitter.load(checkpoint)
        receivers = load_receivers(files, checkpoint)
        provenance = {
            "codec": transmitter.fingerprint,
            "receivers": {name: fingerprint(one.synthesis) for name, one in receivers.items()},
        }

        def run() -> dict[str, Any]:
            name = f"receivers, level {quality}"
            measured = measure_receivers(self.config, transmitter, receivers, name)
            points = receiver_points(quality, measured, list(receivers))
            told = {name: point.to_dict() for name, point in points.items()}
            return {"points": told, "num_bytes": measured.num_bytes}

        found = self._once(provenance, run)["points"]
        return {name: RPPoint.from_dict(point) for name, point in found.items()}

    def _point(self, provenance: dict[str, Any], run: Callable[[], dict[str, Any]]) -> RPPoint:
        return RPPoint.from_dict(self._once(provenance, run)["point"])

    def _once(
        self, provenance: dict[str, Any], run: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        provenance = {**self.common, **provenance}
        found = self.store.get(provenance)
        if found is None:
            found = run()
            self.store.add(provenance, found)
        return found


def joined(curves: Sequence[Sequence[RPPoint]]) -> list[RPPoint]:
    """One curve of several measurements of the same streams, with the scores of all."""
    return [
        replace(points[0], metrics={k: v for p in points for k, v in p.metrics.items()})
        for points in zip(*curves, strict=True)
    ]


def bd_rates(
    curves: dict[str, list[RPPoint]], anchors: Sequence[str], tasks: Iterable[str]
) -> Rates:
    """BD-rates by task, curve and anchor; pairs whose scores never meet are left out."""
    found: Rates = {}
    for task in tasks:
        for anchor in anchors:
            for name, points in curves.items():
                measured = (*curves[anchor], *points)
                if name in anchors or any(f"{task}_mAP" not in p.metrics for p in measured):
                    continue
                try:
                    rate = bd_rate(curves[anchor], points, f"{task}_mAP")
                except MeasurementError as error:
                    print(f"no BD-rate of {name} against {anchor} for {task}: {error}")
                    continue
                found.setdefault(task, {}).setdefault(name, {})[anchor] = rate
    return found


def data_fingerprint(dataset: Any) -> str:
    """SHA-256 over a COCO-format dataset: its annotations and all of its picture files."""
    root = Path(dataset.data_root)
    annotations = root / dataset.ann_file
    digest = hashlib.sha256(annotations.read_bytes())
    for path in _paths(dataset):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _paths(dataset: Any) -> list[Path]:
    annotations = json.loads((Path(dataset.data_root) / dataset.ann_file).read_text())
    folder = Path(dataset.data_root) / dataset.data_prefix.img
    return [folder / image["file_name"] for image in annotations["images"]]


def _pictures(dataset: Any) -> Iterable[np.ndarray]:
    for path in _paths(dataset):
        with Image.open(path) as picture:
            yield np.asarray(picture.convert("RGB"))


def _tasks_fingerprint(task: Any) -> str:
    built = MODELS.build(task)
    built.freeze()
    return frozen_digest(built)


def _record(quality: int, measurement: Measurement) -> dict[str, Any]:
    return {
        "point": rp_point(quality, measurement).to_dict(),
        "num_bytes": measurement.num_bytes,
    }

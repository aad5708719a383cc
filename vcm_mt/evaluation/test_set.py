"""The test pictures of a config, their annotations, and the frozen tasks that judge them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, DefaultScope
from numpy.typing import NDArray
from pycocotools import mask as rle
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from vcm_mt.anchors.base import Picture
from vcm_mt.datasets.truth import check_labels, check_picture, read_tracks, read_truth
from vcm_mt.device import detector_device
from vcm_mt.engine.hooks import frozen_digest
from vcm_mt.errors import ConfigError, DataError, naming
from vcm_mt.evaluation.units import Frame, joined, units_of
from vcm_mt.models.data_preprocessor import VCMDataPreprocessor
from vcm_mt.models.score import score
from vcm_mt.models.tasks import named_tasks
from vcm_mt.registry import MODELS
from vcm_mt.structures import Sent
from vcm_mt.visualization import to_uint8


class TestSet:
    """Test pictures with their annotations, and the frozen tasks that judge them.

    Args:
        config: Its ``test_dataloader``; and ``tasks`` and ``evaluators``, or where the test set
            is another than the validation set ``test_evaluators``, or the model's tasks
            and the COCO metrics of ``test_evaluator``.
        tasks: Which of them; by default all that have an evaluator.
        device: Where pictures and tasks are; by default a GPU where there is one.

    Raises:
        ConfigError: For a task that the config lacks, or that has no COCO metric.
        DataError: When a task can't be judged by its annotations.
    """

    __test__ = False  # not one of pytest's

    def __init__(
        self,
        config: Config,
        tasks: Sequence[str] | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        known, metrics = _judges(config)
        names = list(metrics) if tasks is None else list(tasks)
        for name in names:
            if name not in known or name not in metrics:
                raise ConfigError(
                    f"{config.filename} has no task {name!r} with a COCO metric, but "
                    f"{', '.join(metrics) or 'none'}"
                )
        self._config = config
        self._loading = config.test_dataloader
        with DefaultScope.overwrite_default_scope(config.default_scope):
            self._dataset = DATASETS.build(self._loading.dataset)
            self.tasks = nn.ModuleDict({n: MODELS.build(dict(known[n])) for n in names})
        for _, task in named_tasks(self.tasks):
            task.freeze()
        self._preprocessor = VCMDataPreprocessor(divisor=1)
        place = detector_device(device)
        self.tasks.to(place)
        self._preprocessor.to(place)
        #: By task: "bbox" or "segm", whichever its metric judges last, or "track".
        self.kinds = {name: _kind(metrics[name]) for name in names}
        self.classes: tuple[str, ...] = self._dataset.metainfo["classes"]
        files = {name: metrics[name].ann_file for name in names}
        self.truths = {
            name: read_tracks(files[name], self.classes, name)
            if self.kinds[name] == "track"
            else read_truth(files[name], self.classes, [self.kinds[name]], name)
            for name in names
        }
        told = [self._dataset.get_data_info(i) for i in range(len(self._dataset))]
        self.ids = [one["img_id"] for one in told]
        #: What is measured as a whole: the numbers of a video's frames, or of one picture.
        self.units = units_of([one.get("video_id") for one in told])
        self.of_videos = bool(told) and "video_id" in told[0]
        for name, truth in self.truths.items():
            for index, number in enumerate(self.ids):
                check_picture(truth, files[name], name, number, self.path(index))

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def data_digest(self) -> str:
        """SHA-256 over the pictures' files."""
        data = hashlib.sha256()
        for index in range(len(self)):
            path = Path(self.path(index))
            try:
                data.update(path.read_bytes())
            except OSError as error:
                raise DataError(f"{path} is not a readable picture: {error}") from error
        return data.hexdigest()

    @cached_property
    def task_digests(self) -> dict[str, list[str]]:
        """What decides each task's scores: digests of network and annotations, the kind of AP."""
        return {
            name: [frozen_digest(task), _digest(self.truths[name].dataset), self.kinds[name]]
            for name, task in named_tasks(self.tasks)
        }

    @property
    def description(self) -> str:
        """For readers: which pictures, and how many."""
        videos = f" of {len(self.units)} videos" if self.of_videos else ""
        return f"{self._loading.dataset.get('ann_file', '')}, {len(self)} pictures{videos}"

    def pictures(self, indexes: Sequence[int]) -> Iterable[Picture]:
        """Pictures as uint8 [H, W, 3], RGB; the result has a length.

        Their annotations are not read: they do not decide what is sent.
        """
        return _Pictures(self, indexes)

    def batches(
        self, indexes: Sequence[int], annotated: bool = True
    ) -> Iterator[tuple[int, Tensor, Any]]:
        """Number, picture float [1, 3, H, W] in [0, 1], and data sample of each.

        Raises:
            DataError: For a picture that can't be read; where ``annotated``, also for one whose
                size is not its annotation's.
        """
        dataset = self._dataset if annotated else _Bare(self._dataset)
        with DefaultScope.overwrite_default_scope(self._config.default_scope):
            loader = DataLoader(
                Subset(dataset, list(indexes)),
                num_workers=self._loading.num_workers,
                collate_fn=pseudo_collate,
            )
            for index, batch in zip(indexes, loader, strict=True):
                data = self._preprocessor(batch)
                sample = data["data_samples"][0]
                height, width = sample.img_shape[:2]
                yield index, data["inputs"][:, :, :height, :width], sample

    def judge_unit(
        self, unit: int, frames: Sequence[Frame], tasks: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Score a unit that was sent: a picture, or the frames of a video in order.

        A tracker follows the frames of one receiver after another.

        Args:
            unit: Its number.
            frames: See :class:`Frame`.
            tasks: Which tasks run; by default all.

        Returns:
            See :meth:`judge`; ``index`` is the unit's number, bytes, bits and pixels are sums over
            the frames, ``psnr`` and ``ms_ssim`` means.
        """
        entries: list[dict[str, Any]] = []
        for receiver in frames[0].sent:
            own = [
                self.judge(number, original, {receiver: sent[receiver]}, sample, tasks)
                for number, original, sent, sample in frames
            ]
            entries.append(joined(own))
        receivers = {name: told for entry in entries for name, told in entry["receivers"].items()}
        return {**entries[0], "index": unit, "receivers": receivers}

    @torch.no_grad()
    def judge(
        self,
        index: int,
        original: Tensor,
        sent: dict[str, Sent],
        sample: Any,
        tasks: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Score a picture that was sent, as plain values for JSON.

        Args:
            index: The picture's number.
            original: float [1, 3, H, W] in [0, 1].
            sent: Each receiver's picture and the bytes spent.
            sample: Its data sample.
            tasks: Which tasks run; by default all.

        Returns:
            ``index``, ``num_bytes``, ``header_bytes``, ``bits_estimated``, ``num_pixels``; and by
            receiver ``psnr``, ``ms_ssim`` and ``found``, each task's detections in COCO's format.
        """
        looking = list(self.tasks) if tasks is None else list(tasks)
        networks = nn.ModuleDict({name: self.tasks[name] for name in looking})
        score(networks, original, sent, sample, everywhere=True)
        coding = sample.coding
        first = next(iter(sent.values()))
        return {
            "index": index,
            "num_bytes": first.num_bytes,
            "header_bytes": first.header_bytes,
            "bits_estimated": first.bits_estimated,
            "num_pixels": coding["num_pixels"],
            "receivers": {
                receiver: {
                    "psnr": coding["psnr"][receiver],
                    "ms_ssim": coding["ms_ssim"][receiver],
                    "found": {
                        task: self._found(index, task, sample.get(f"pred_{task}@{receiver}"))
                        for task in looking
                    },
                }
                for receiver in sent
            },
        }

    def _found(self, index: int, task: str, found: Any) -> list[dict[str, Any]]:
        check_labels(found.labels, self.classes, task)
        categories = self.truths[task].get_cat_ids(self.classes)
        boxes = found.bboxes.double().cpu().numpy()
        boxes[:, 2:] -= boxes[:, :2]
        entries = [
            {"image_id": self.ids[index], "category_id": categories[label], "score": score}
            | {"bbox": box}
            for label, score, box in zip(
                found.labels.tolist(), found.scores.tolist(), boxes.tolist(), strict=True
            )
        ]
        if self.kinds[task] == "track":
            if "instances_id" not in found:
                raise ConfigError(f"{task} finds objects and follows none: judge it by its mAP")
            for entry, track in zip(entries, found.instances_id.tolist(), strict=True):
                entry["instance_id"] = track
        if self.kinds[task] == "segm":
            if "masks" not in found:
                raise ConfigError(f"{task} finds boxes without masks: judge it with metric='bbox'")
            for entry, mask in zip(entries, found.masks, strict=True):
                entry["segmentation"] = _encoded(mask.cpu().numpy())
        return entries

    def path(self, index: int) -> str:
        """A picture's file."""
        path: str = self._dataset.get_data_info(index)["img_path"]
        return path


class _Bare(Dataset[Any]):
    """A dataset's pictures without their annotations."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __getitem__(self, index: int) -> Any:
        info = self._dataset.get_data_info(index)
        info.pop("instances", None)
        with naming(info["img_path"]):
            return self._dataset.pipeline(info)


class _Pictures:
    def __init__(self, data: TestSet, indexes: Sequence[int]) -> None:
        self._data, self._indexes = data, indexes

    def __len__(self) -> int:
        return len(self._indexes)

    def __iter__(self) -> Iterator[Picture]:
        for _, picture, _ in self._data.batches(self._indexes, annotated=False):
            yield to_uint8(picture)


def _judges(config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tasks, and the COCO metric of each, by name."""
    if "evaluators" in config:
        return config.tasks, dict(config.get("test_evaluators", config.evaluators))
    found = config.test_evaluator
    metrics = found if isinstance(found, list) else [found]
    return config.model.tasks, {m.task: m for m in metrics if "task" in m}


def _digest(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _kind(metric: Any) -> str:
    if metric["type"].endswith("TrackMetric"):
        return "track"
    kinds = metric.get("metric", "bbox")
    kind: str = kinds if isinstance(kinds, str) else kinds[-1]
    if kind not in ("bbox", "segm"):
        raise ConfigError(f"a COCO metric judges bbox or segm, not {kind}")
    return kind


def _encoded(mask: NDArray[np.bool_]) -> dict[str, Any]:
    encoded = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}

"""The test pictures of a config, their annotations, and the frozen tasks that judge them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, DefaultScope
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from vcm_mt.anchors.base import Picture
from vcm_mt.device import detector_device
from vcm_mt.engine.hooks import frozen_digest
from vcm_mt.errors import ConfigError, DataError, naming
from vcm_mt.evaluation.units import Frame, joined, units_of
from vcm_mt.metrics.judges import make_judge
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
            and the metrics of ``test_evaluator``.
        tasks: Which of them; by default all that have an evaluator.
        device: Where pictures and tasks are; by default a GPU where there is one.

    Raises:
        ConfigError: For a task that the config lacks, or that has no metric.
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
                    f"{config.filename} has no task {name!r} with a metric, but "
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
        self.classes: tuple[str, ...] = self._dataset.metainfo["classes"]
        self.judges = {name: make_judge(name, metrics[name], self.classes) for name in names}
        told = [self._dataset.get_data_info(i) for i in range(len(self._dataset))]
        self.ids = [one.get("img_id", index) for index, one in enumerate(told)]
        #: What is measured as a whole: the numbers of a video's frames, or of one picture.
        self.units = units_of([one.get("video_id") for one in told])
        self.of_videos = bool(told) and "video_id" in told[0]
        for judge in self.judges.values():
            for one in told:
                judge.check(one)

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
        """What decides each task's scores: digests of network and annotations, what is judged."""
        return {
            name: [frozen_digest(task), self.judges[name].digest, self.judges[name].kind]
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
            receiver ``psnr``, ``ms_ssim`` and ``found``, what each task's judge keeps.
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
                        task: self.judges[task].entries(
                            self.ids[index], sample.get(f"pred_{task}@{receiver}"), sample
                        )
                        for task in looking
                    },
                }
                for receiver in sent
            },
        }

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
    """Tasks, and the metric of each, by name."""
    if "evaluators" in config:
        return config.tasks, dict(config.get("test_evaluators", config.evaluators))
    found = config.test_evaluator
    metrics = found if isinstance(found, list) else [found]
    return config.model.tasks, {m.task: m for m in metrics if "task" in m}

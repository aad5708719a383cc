"""One bitstream, many receivers: each decodes the same bytes, and every task looks at each."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from numpy.typing import NDArray
from torch import Tensor, nn

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.bitstream.container import unpack
from vcm_mt.checkpoint import read_record
from vcm_mt.errors import ConfigError
from vcm_mt.evaluation.measure import Measurement, measure, scores
from vcm_mt.evaluation.rp import RPPoint
from vcm_mt.models.report import pixels_of, report
from vcm_mt.models.tasks import named_tasks
from vcm_mt.registry import MODELS
from vcm_mt.structures import Sent
from vcm_mt.visualization import draw_instances, side_by_side, to_uint8


class ManyReceivers(BaseModel):
    """Sends each picture once and lets every receiver decode the same bytes.

    Args:
        tasks: Config of a :class:`vcm_mt.models.tasks.Task` by name; each looks at the pictures
            of all receivers.
        transmitter: What encodes.
        receivers: What decodes, by name.

    Raises:
        ConfigError: When a receiver is for another transmitter.
    """

    def __init__(
        self,
        tasks: dict[str, dict[str, Any]],
        transmitter: Transmitter,
        receivers: dict[str, Receiver],
    ) -> None:
        super().__init__({"type": "vcm_mt.VCMDataPreprocessor", "divisor": 1})
        self.transmitter, self.receivers = transmitter, receivers
        for name, receiver in receivers.items():
            if receiver.record["transmitter"] != transmitter.fingerprint:
                raise ConfigError(
                    f"receiver {name} is for transmitter {receiver.record['transmitter'][:8]}, "
                    f"the bits come from {transmitter.fingerprint[:8]}"
                )
        self.tasks = nn.ModuleDict({name: MODELS.build(task) for name, task in tasks.items()})
        for _, task in named_tasks(self.tasks):
            task.freeze()

    def forward(self, inputs: Tensor, data_samples: list[Any], mode: str = "predict") -> list[Any]:
        """Predict; there is nothing to train."""
        if mode != "predict":
            raise ConfigError(f"receivers on one stream can only predict, not {mode!r}")
        for picture, sample in zip(inputs, data_samples, strict=True):
            height, width = sample.img_shape[:2]
            original = picture[None, :, :height, :width]
            report(self.tasks, original, self.send(original), sample, everywhere=True)
        return data_samples

    @torch.no_grad()
    def send(self, picture: Tensor) -> dict[str, Sent]:
        """Encode a picture [1, 3, H, W] once, decode the bytes with every receiver."""
        network = self.transmitter.network
        y = network.analyse(picture)
        (data,) = network.code(y, *picture.shape[-2:])
        bits = network.entropy(y).bits.item()
        packet = unpack(data)
        return {
            name: Sent(receiver.decode_packets([packet]), len(data), bits)
            for name, receiver in self.receivers.items()
        }


def load_receivers(files: Sequence[Path], checkpoint: Path) -> dict[str, Receiver]:
    """The shared receiver of a checkpoint, and those of files, by name.

    Raises:
        ConfigError: For two of one name.
    """
    found = {"shared": Receiver.load(checkpoint)}
    for file in files:
        light = "base" in read_record(file)
        receiver = Receiver.load(file, base=checkpoint if light else None)
        name = receiver.record["name"] + ("-light" if light else "")
        if name in found:
            raise ConfigError(f"{file} is another receiver for {name}: test them one by one")
        found[name] = receiver
    return found


def measure_receivers(
    config: Config, transmitter: Transmitter, receivers: dict[str, Receiver], description: str
) -> Measurement:
    """One pass over the test pictures of a config that has ``tasks`` and ``evaluators``.

    Returns:
        Metrics of each task by ``<task>@<receiver>/...``, and fidelity by receiver.
    """
    config = copy.deepcopy(config)
    config.test_evaluator = [ConfigDict(type="CodingMetric")] + [
        {**evaluator, "task": f"{task}@{name}"}
        for task, evaluator in config.evaluators.items()
        for name in receivers
    ]
    tasks = {task: config.tasks[task] for task in config.evaluators}
    system = ManyReceivers(tasks, transmitter, receivers)
    system.to(next(transmitter.network.parameters()).device)
    return measure(system, config, description)


def receiver_points(
    quality: int, measurement: Measurement, receivers: Sequence[str]
) -> dict[str, RPPoint]:
    """An R-P point per receiver: the same rate, each one's scores."""
    told = scores(measurement.metrics)
    metrics = measurement.metrics
    points = {}
    for name in receivers:
        own = {k.replace(f"@{name}_", "_"): v for k, v in told.items() if f"@{name}_" in k}
        for fidelity in ("psnr", "ms_ssim"):
            key = fidelity if name == "shared" else f"{fidelity}_{name}"
            if key in told:
                own[fidelity] = told[key]
        points[name] = RPPoint(quality, metrics["bpp"], metrics.get("bpp_estimated"), own)
    return points


@torch.no_grad()
def receiver_strip(system: ManyReceivers, config: Config, count: int = 3) -> NDArray[np.uint8]:
    """The original and each receiver's picture side by side, and below what the tasks find there.

    Args:
        system: Receivers on one stream.
        config: Its ``test_dataloader`` gives the pictures.
        count: How many of them.

    Returns:
        uint8 [H, W, 3].
    """
    with DefaultScope.overwrite_default_scope(config.default_scope):
        loader = Runner.build_dataloader(config.test_dataloader, seed=0)
    classes = loader.dataset.metainfo["classes"]
    rows = []
    for batch in itertools.islice(loader, count):
        data = system.data_preprocessor(batch, False)
        original, sample = data["inputs"][:1], data["data_samples"][0]
        sent = system.send(original)
        bits = 8 * (next(iter(sent.values())).num_bytes or 0)
        pictures = {f"original, then {bits / pixels_of(sample):.3f} bpp": original}
        pictures |= {name: one.picture for name, one in sent.items()}
        rows.append(side_by_side([to_uint8(p) for p in pictures.values()], list(pictures)))
        for task_name, task in named_tasks(system.tasks):
            panels = []
            for picture in pictures.values():
                found = task.predict(picture, [sample])
                panel = to_uint8(picture)
                panels.append(draw_instances(panel, found[0], classes) if found else panel)
            rows.append(side_by_side(panels, [task_name] * len(panels)))
    return np.concatenate(rows)

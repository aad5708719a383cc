"""The curves of an experiment, gathered point by point."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size

from vcm_mt.anchors import Anchor
from vcm_mt.apis.codec import Transmitter
from vcm_mt.curves.rp_file import ANCHOR, LEARNED, OURS, RPCurve, RPFile
from vcm_mt.errors import MeasurementError
from vcm_mt.evaluation.codecs import AnchorCodec, CodecUnderTest, Originals
from vcm_mt.evaluation.experiment import Experiment, trained, untrained
from vcm_mt.evaluation.samples import ORIGINALS, Samples
from vcm_mt.version import __version__

_PACKAGES = (
    *("torch", "compressai", "numpy", "pycocotools", "bjontegaard", "pillow"),
    *("onedl-mmengine", "onedl-mmcv", "onedl-mmdetection", "mmengine", "mmcv", "mmdet"),
)


class Curves:
    """Measures points and puts them on curves.

    Args:
        experiment: What measures.
        samples: How many pictures are kept for people to look at.

    Attributes:
        found: The curves by name, in the order of their coming.
    """

    def __init__(self, experiment: Experiment, samples: int = 0) -> None:
        self.found: dict[str, RPCurve] = {}
        self._experiment = experiment
        self._samples = Samples(experiment.folder / "samples", experiment.data, samples)

    def add_trained(
        self,
        name: str,
        checkpoint: Path,
        files: Sequence[Path] = (),
        qualities: Sequence[int] | None = None,
        transmitter: Transmitter | None = None,
    ) -> None:
        """A stage 1 and its receivers of stage 2: ``NAME``, ``NAME_RECEIVER``.

        Args:
            name: Of the curve.
            checkpoint: Of one level, or of a transmitter with several.
            files: The receivers' files.
            qualities: Which levels of several; by default all.
            transmitter: The checkpoint's, where it is to refine what it sends.
        """
        codec = {"role": OURS, "name": "vcm_mt", "version": __version__}
        if transmitter is not None and transmitter.refiner is not None:
            refiner = transmitter.refiner
            codec["refined"] = f"{refiner.steps} steps through {refiner.through}"
        senders = trained(checkpoint, files, transmitter)
        for sender in senders:
            if len(senders) == 1 or qualities is None or sender.quality in qualities:
                curves = {r: name if r == "shared" else f"{name}_{r}" for r in sender.receivers}
                self.add(sender, curves, codec, f"{name}: {{}} receiver")

    def add_untrained(self, name: str, config: Config, quality: int) -> None:
        """A codec as its config starts training."""
        sender = untrained(config, name, quality)
        self.add(sender, {"shared": name}, {"role": LEARNED, "name": config.model.codec.arch}, name)

    def add_anchor(self, name: str, anchor: Anchor, qualities: Iterable[int]) -> None:
        """A standard codec's sweep; the curve is called by the name, without its colon."""
        record = anchor.record
        codec = {
            "role": LEARNED if name.startswith("compressai") else ANCHOR,
            "name": record.name,
            "version": record.version,
            "preset": record.preset,
            "options": list(record.options),
            "binary": record.binary,
        }
        folder = self._experiment.folder / "streams"
        jobs = max(1, (os.cpu_count() or 1) // get_world_size())
        for quality in qualities:
            sender = AnchorCodec(anchor, quality, folder, jobs)
            self.add(sender, {"shared": name.replace(":", "-")}, codec, record.name)

    def add(
        self, sender: CodecUnderTest, curves: dict[str, str], codec: dict[str, Any], title: str
    ) -> None:
        """A point for every receiver.

        Args:
            sender: What sends.
            curves: The curve's name by receiver.
            codec: What is said of the curves.
            title: Their titles, with the receiver's name in place of ``{}``.

        Raises:
            MeasurementError: When a curve of that name is another codec's.
        """
        for receiver, name in curves.items():
            own = {**codec, "receiver": receiver} if codec["role"] == OURS else codec
            if self.found.setdefault(name, RPCurve([], title.format(receiver), own)).codec != own:
                raise MeasurementError(
                    f"two codecs would share the curve {name}: measure them in folders of their own"
                )
        points = self._experiment.points(sender)
        for receiver, name in curves.items():
            self.found[name].points.append(points[receiver])
        if get_rank() == 0:
            self._samples.keep(sender, curves)

    def file(self, made_with: dict[str, Any]) -> RPFile:
        """All of it, with the scores on the originals."""
        if get_rank() == 0:
            self._samples.keep(Originals(), {"shared": ORIGINALS})
        data = self._experiment.data
        about = {
            "description": data.description,
            "digest": data.data_digest,
            "tasks": data.task_digests,
        }
        return RPFile(self.found, self._experiment.originals(), about, made_with)


def versions() -> dict[str, str]:
    """Of Python, of this package and of those that figures depend on."""
    found = {"python": platform.python_version(), "vcm_mt": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

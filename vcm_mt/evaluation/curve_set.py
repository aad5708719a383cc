"""The curves of an experiment, measured point by point."""

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
from vcm_mt.anchors.sequences import SequenceAnchor
from vcm_mt.apis.codec import Transmitter
from vcm_mt.curves.rp_file import ANCHOR, LEARNED, OURS, RPCurve, RPFile
from vcm_mt.errors import MeasurementError
from vcm_mt.evaluation.codecs import AnchorCodec, CodecUnderTest, Originals
from vcm_mt.evaluation.experiment import Experiment, trained, untrained
from vcm_mt.evaluation.samples import ORIGINALS, Samples
from vcm_mt.evaluation.videos import SequenceAnchorCodec
from vcm_mt.version import __version__

_PACKAGES = (
    *("torch", "compressai", "numpy", "pycocotools", "bjontegaard", "pillow"),
    *("onedl-mmengine", "onedl-mmcv", "onedl-mmdetection", "mmengine", "mmcv", "mmdet"),
)


class Curves:
    """Measures points and puts them on curves.

    Args:
        experiment: What measures.
        samples: How many pictures are stored, as every point decodes them.

    Attributes:
        found: The curves by name, in the order in which they were added.
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
        role: str = OURS,
    ) -> None:
        """Add stage 1 and its receivers of stage 2, as curves ``NAME`` and ``NAME_RECEIVER``.

        Args:
            name: Of the curve.
            checkpoint: Of one quality, or of a transmitter with several.
            files: The receivers' files.
            qualities: Which of several qualities; by default all.
            transmitter: The checkpoint's, where it refines what it sends.
            role: ``LEARNED`` for a codec that others are compared with.
        """
        about = {"role": role, "name": "vcm_mt", "version": __version__}
        if transmitter is not None and transmitter.refiner is not None:
            refiner = transmitter.refiner
            about["refined"] = f"{refiner.steps} steps through {refiner.through}"
        of_videos = self._experiment.data.of_videos
        codecs = trained(checkpoint, files, transmitter, of_videos)
        for codec in codecs:
            if len(codecs) == 1 or qualities is None or codec.quality in qualities:
                curves = {r: name if r == "shared" else f"{name}_{r}" for r in codec.receivers}
                self.add(codec, curves, about, f"{name}: {{}} receiver")

    def add_untrained(self, name: str, config: Config, quality: int) -> None:
        """Add a codec as its config starts training."""
        codec = untrained(config, name, quality)
        self.add(codec, {"shared": name}, {"role": LEARNED, "name": config.model.codec.arch}, name)

    def add_anchor(
        self, name: str, anchor: Anchor | SequenceAnchor, qualities: Iterable[int]
    ) -> None:
        """Add a standard codec at several qualities; a colon in the name becomes a dash."""
        record = anchor.record
        about = {
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
            codec: CodecUnderTest = (
                SequenceAnchorCodec(anchor, quality)
                if isinstance(anchor, SequenceAnchor)
                else AnchorCodec(anchor, quality, folder, jobs)
            )
            self.add(codec, {"shared": name.replace(":", "-")}, about, record.name)

    def add(
        self, codec: CodecUnderTest, curves: dict[str, str], about: dict[str, Any], title: str
    ) -> None:
        """Measure a codec, and add a point for every receiver.

        Args:
            codec: The codec.
            curves: The curve's name by receiver.
            about: What is said of the curves' codec.
            title: Their titles, with the receiver's name in place of ``{}``.

        Raises:
            MeasurementError: When a curve of that name is another codec's.
        """
        for receiver, name in curves.items():
            own = {**about, "receiver": receiver} if about["role"] == OURS else about
            if self.found.setdefault(name, RPCurve([], title.format(receiver), own)).codec != own:
                raise MeasurementError(
                    f"two codecs would share the curve {name}: measure them in folders of their own"
                )
        points = self._experiment.points(codec)
        for receiver, name in curves.items():
            self.found[name].points.append(points[receiver])
        if get_rank() == 0:
            self._samples.keep(codec, curves)

    def file(self, made_with: dict[str, Any]) -> RPFile:
        """All curves, with the scores on the originals."""
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
    """Versions of Python, of this package and of the packages that figures depend on."""
    found = {"python": platform.python_version(), "vcm_mt": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

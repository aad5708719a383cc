"""Measure points of R-P curves: real bytes, native pixels, all tasks in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from mmengine.config import Config
from mmengine.dist import barrier, broadcast_object_list, get_rank, get_world_size
from tqdm import tqdm

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.sequences import KEY_INTERVAL
from vcm_mt.apis.system import build_system
from vcm_mt.checkpoint import local_path, read_record, zoo_entry
from vcm_mt.curves.counts import Counts
from vcm_mt.curves.matches import Matches
from vcm_mt.curves.points import Points, PointStore
from vcm_mt.curves.rp import Pictures, RPPoint
from vcm_mt.errors import ConfigError, MeasurementError, VCMError, naming
from vcm_mt.evaluation.codecs import CodecUnderTest, Originals, TrainedCodec
from vcm_mt.evaluation.journal import Journal
from vcm_mt.evaluation.test_set import TestSet
from vcm_mt.evaluation.units import Frame
from vcm_mt.evaluation.videos import TrainedSequence
from vcm_mt.models import receivers as models

FIDELITY = ("psnr", "ms_ssim")
#: So many pictures are judged before the others are encoded ahead, to find most faults early.
_FIRST = 8
_T = TypeVar("_T")


class Experiment:
    """Measures points over the test pictures of a config.

    A pass that was stopped resumes; the result of a finished one is read from the folder. Under
    torchrun the processes share the pictures out and need a common file system; the first one
    computes the scores and sends them to the others.

    Args:
        config: See :class:`vcm_mt.evaluation.test_set.TestSet`.
        folder: Holds passes (``points``) and the anchors' streams (``streams``).
        tasks: Which tasks judge; by default all.
        shipped: A file of points that ships with the package.
    """

    def __init__(
        self,
        config: Config,
        folder: Path,
        tasks: Sequence[str] | None = None,
        shipped: Path | None = None,
    ) -> None:
        self.data = TestSet(config, tasks)
        self.folder = folder
        self.store = PointStore(folder / "points", shipped)

    def originals(self) -> dict[str, float]:
        """The tasks' scores on the uncoded pictures, in percent."""
        found = self.points(Originals())["shared"].metrics
        return {name: value for name, value in found.items() if name not in FIDELITY}

    def points(self, codec: CodecUnderTest) -> Points:
        """Measure one point per receiver, all at the same bytes.

        One pass covers all tasks whose scores are not known yet.

        Raises:
            MeasurementError: When a later pass gave other bytes than an earlier one.
        """
        of = {"data": self.data.data_digest, **codec.record}
        wanted = self.data.task_digests
        known = on_first(lambda: self._known(of))
        there = {name for tasks, _ in known for name in tasks if tasks[name] == wanted.get(name)}
        if missing := {name: wanted[name] for name in wanted if name not in there}:
            place = self.store.place(of, missing)
            self._pass(codec, place, list(missing))
            points = on_first(lambda: self._scored(codec, place, list(missing)))
            if get_rank() == 0:
                self.store.add(of, missing, points)
            known.append((missing, points))
        return {name: self._joined(known, name, codec.quality) for name in codec.receivers}

    def _known(self, of: dict[str, Any]) -> list[tuple[dict[str, Any], Points]]:
        return [
            (record["tasks"], {n: RPPoint.from_dict(p) for n, p in record["points"].items()})
            for record in self.store.records(of)
        ]

    def _joined(
        self, known: list[tuple[dict[str, Any], Points]], receiver: str, quality: float
    ) -> RPPoint:
        """One point with every task's score."""
        metrics: dict[str, float] = {}
        matches: dict[str, Matches | Counts] = {}
        first = known[0][1][receiver]
        for tasks, points in known:
            point = points[receiver]
            if point.bpp != first.bpp:
                raise MeasurementError(
                    f"one codec, and {first.bpp} bpp in one pass, {point.bpp} in another: "
                    f"delete {self.folder} and measure again"
                )
            for task, digest in self.data.task_digests.items():
                if tasks.get(task) == digest and point.pictures is not None:
                    own = {n: v for n, v in point.metrics.items() if n.startswith(f"{task}_")}
                    metrics |= own
                    judged = point.pictures.matches.items()
                    matches |= {n: one for n, one in judged if n.startswith(f"{task}_")}
        metrics |= {name: first.metrics[name] for name in FIDELITY if name in first.metrics}
        assert first.pictures is not None
        pictures = replace(first.pictures, matches=matches)
        return replace(first, quality=quality, metrics=metrics, pictures=pictures)

    def _pass(self, codec: CodecUnderTest, place: Path, tasks: list[str]) -> None:
        """Send and judge the pictures, or videos, that the journal lacks."""
        rank, total = get_rank(), len(self.data.units)
        with Journal(place, rank) as journal:
            barrier()  # after all processes have removed their incomplete lines
            # All processes must agree on what is left before one of them writes.
            done = on_first(lambda: set(journal.entries()))
            open_ = [index for index in range(total) if index not in done]
            mine = open_[rank :: get_world_size()]
            with tqdm(
                desc=codec.name,
                unit="video" if self.data.of_videos else "picture",
                total=total,
                initial=total - len(open_),
                disable=rank != 0 or not mine,
            ) as bar:
                for part in filter(None, (mine[:_FIRST], mine[_FIRST:])):
                    codec.prepare(self.data.pictures(self._frames(part)))
                    for entry in self._judged(codec, part, tasks):
                        journal.add(entry)
                        bar.update(get_world_size())
            barrier()

    def _frames(self, units: list[int]) -> list[int]:
        return [index for unit in units for index in self.data.units[unit]]

    def _judged(
        self, codec: CodecUnderTest, units: list[int], tasks: list[str]
    ) -> Iterator[dict[str, Any]]:
        batches = self.data.batches(self._frames(units))
        for unit in units:
            frames = [next(batches) for _ in self.data.units[unit]]
            with naming(self.data.path(frames[0][0])):
                sent = codec.send_unit(unit, [original for _, original, _ in frames])
                judged = [
                    Frame(index, original, one, sample)
                    for (index, original, sample), one in zip(frames, sent, strict=True)
                ]
                entry = self.data.judge_unit(unit, judged, tasks)
            yield entry

    def _scored(self, codec: CodecUnderTest, place: Path, tasks: list[str]) -> Points:
        """One point per receiver, from the journal's entries of all pictures."""
        found = Journal(place).entries()
        if absent := [unit for unit in range(len(self.data.units)) if unit not in found]:
            raise MeasurementError(
                f"{len(absent)} pictures or videos are not in {place}: the processes need one file "
                "system"
            )
        entries = [found[unit] for unit in range(len(self.data.units))]
        return {name: self._point(entries, name, codec.quality, tasks) for name in codec.receivers}

    def _point(
        self, entries: list[dict[str, Any]], receiver: str, quality: int, tasks: list[str]
    ) -> RPPoint:
        pictures = self._pictures(entries, receiver, tasks)
        bpp = 0.0 if entries[0]["num_bytes"] is None else float(pictures.bpp()[0])
        bits, estimated = [entry["bits_estimated"] for entry in entries], None
        if bits[0] is not None:
            estimated = float(np.mean(np.array(bits) / pictures.num_pixels))
        names = (*pictures.matches, *pictures.fidelity)
        scores = {name: float(pictures.score(name)[0]) for name in names}
        for task in tasks:
            found = _found(entries, receiver, task)
            more = self.data.judges[task].further(found, self.data.ids)
            scores |= {f"{task}_{name}": value for name, value in more.items()}
        return RPPoint(quality, bpp, estimated, scores, pictures)

    def _pictures(self, entries: list[dict[str, Any]], receiver: str, tasks: list[str]) -> Pictures:
        own = [entry["receivers"][receiver] for entry in entries]
        fidelity = {
            name: np.array([np.nan if one[name] is None else one[name] for one in own])
            for name in FIDELITY
        }
        matches: dict[str, Matches | Counts] = {}
        units = [[self.data.ids[index] for index in unit] for unit in self.data.units]
        for task in tasks:
            matches |= self.data.judges[task].scores(_found(entries, receiver, task), units)
        return Pictures(
            np.array([entry["num_pixels"] for entry in entries]),
            np.array([entry["num_bytes"] or 0 for entry in entries]),
            np.array([entry["header_bytes"] for entry in entries]),
            {name: values for name, values in fidelity.items() if not np.isnan(values).all()},
            matches,
        )


def _found(entries: list[dict[str, Any]], receiver: str, task: str) -> list[dict[str, Any]]:
    return [one for entry in entries for one in entry["receivers"][receiver]["found"][task]]


def on_first(work: Callable[[], _T]) -> _T:
    """Run a function in the first process and return its result in all of them.

    Raises:
        VCMError: In every process, when the function raises it.
    """
    told: list[Any] = [None, None]
    if get_rank() == 0:
        try:
            told[0] = work()
        except VCMError as error:
            told[1] = error
    broadcast_object_list(told)
    result, failure = told
    if failure is not None:
        raise failure
    return cast(_T, result)


def trained(
    checkpoint: Path,
    files: Sequence[Path] = (),
    transmitter: Transmitter | None = None,
    of_videos: bool = False,
    key_interval: int = KEY_INTERVAL,
) -> Sequence[TrainedCodec]:
    """Codecs from a checkpoint of stage 1, with its shared receiver and those of stage 2's files.

    Args:
        checkpoint: Of stage 1, or ``zoo://NAME``.
        files: Of stage 2, or ``zoo://NAME``.
        transmitter: The checkpoint's, where it refines what it sends.
        of_videos: Send sequences, predicted where the transmitter has a temporal prior.
        key_interval: Of predicted sequences.

    Returns:
        One per quality of the transmitter, or the one that ``zoo://NAME_3`` means.
    """
    transmitter = transmitter or Transmitter.load(checkpoint)
    one = zoo_entry(checkpoint).quality
    receivers = load_receivers(files, checkpoint)
    levels = [one] if one else transmitter.network.qualities
    name = "stage 1, level"
    if of_videos:
        interval = key_interval if transmitter.network.temporal is not None else 1
        return [TrainedSequence(transmitter, receivers, name, level, interval) for level in levels]
    return [TrainedCodec(transmitter, receivers, name, level=level) for level in levels]


def untrained(config: Config, name: str, quality: int) -> TrainedCodec:
    """The codec of a config as it starts training, with one receiver."""
    system = build_system(config)
    transmitter = Transmitter(system.transmitter)
    synthesis = cast(models.Receiver, next(iter(system.receivers.values())))
    record = {"name": "shared", "transmitter": transmitter.fingerprint}
    receiver = Receiver(system.transmitter.entropy, synthesis, record, system.transmitter.gains)
    return TrainedCodec(transmitter, {"shared": receiver}, name, quality)


def load_receivers(files: Sequence[Path], checkpoint: Path) -> dict[str, Receiver]:
    """The shared receiver of a checkpoint, and those of files, by name.

    Raises:
        ConfigError: For two of one name.
    """
    found = {"shared": Receiver.load(checkpoint)}
    for file in files:
        light = "base" in read_record(local_path(file))
        receiver = Receiver.load(file, base=checkpoint if light else None)
        name = receiver.record["name"] + ("-light" if light else "")
        if name in found and "depth" in receiver.record:
            name += "-deep"  # beside a full one
        if name in found:
            raise ConfigError(f"{file} is another receiver for {name}: test them one by one")
        found[name] = receiver
    return found

"""Points of R-P curves: real bytes, native pixels, every task in one pass, each pass once."""

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
from vcm_mt.apis.system import build_system
from vcm_mt.checkpoint import read_record
from vcm_mt.curves.matches import Matches
from vcm_mt.curves.points import Points, PointStore
from vcm_mt.curves.rp import Pictures, RPPoint
from vcm_mt.errors import ConfigError, MeasurementError, VCMError, naming
from vcm_mt.evaluation.codecs import CodecUnderTest, Originals, TrainedCodec
from vcm_mt.evaluation.journal import Journal
from vcm_mt.evaluation.test_set import TestSet
from vcm_mt.models import receivers as models

FIDELITY = ("psnr", "ms_ssim")
#: As many pictures go the whole way before the others are coded ahead: most faults of a set show.
_FIRST = 8
_T = TypeVar("_T")


class Experiment:
    """Measures points over the test pictures of a config.

    A pass that was stopped goes on where it was; one that is done is read. Under torchrun the
    pictures are shared out among the processes, which need one file system; the first one scores
    what all found, and tells the others.

    Args:
        config: See :class:`vcm_mt.evaluation.test_set.TestSet`.
        folder: Where passes (``points``) and the anchors' streams (``streams``) are kept.
        tasks: Which tasks judge; by default all.
        shipped: A file of points that came with the package.
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
        """The scores of the tasks on the uncoded pictures, in percent."""
        found = self.points(Originals())["shared"].metrics
        return {name: value for name, value in found.items() if name not in FIDELITY}

    def points(self, sender: CodecUnderTest) -> Points:
        """One point per receiver, all at the same bytes.

        One pass is made for all tasks whose scores are not known yet.

        Raises:
            MeasurementError: When a later pass gave other bytes than an earlier one.
        """
        of = {"data": self.data.data_digest, **sender.record}
        wanted = self.data.task_digests
        known = on_first(lambda: self._known(of))
        there = {name for tasks, _ in known for name in tasks if tasks[name] == wanted.get(name)}
        if missing := {name: wanted[name] for name in wanted if name not in there}:
            place = self.store.place(of, missing)
            self._pass(sender, place, list(missing))
            points = on_first(lambda: self._scored(sender, place, list(missing)))
            if get_rank() == 0:
                self.store.add(of, missing, points)
            known.append((missing, points))
        return {name: self._joined(known, name, sender.quality) for name in sender.receivers}

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
        matches: dict[str, Matches] = {}
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
                    metrics[f"{task}_mAP"] = point.metrics[f"{task}_mAP"]
                    matches[f"{task}_mAP"] = point.pictures.matches[f"{task}_mAP"]
        metrics |= {name: first.metrics[name] for name in FIDELITY if name in first.metrics}
        assert first.pictures is not None
        pictures = replace(first.pictures, matches=matches)
        return replace(first, quality=quality, metrics=metrics, pictures=pictures)

    def _pass(self, sender: CodecUnderTest, place: Path, tasks: list[str]) -> None:
        """Send what was not sent yet."""
        rank, total = get_rank(), len(self.data)
        with Journal(place, rank) as journal:
            barrier()  # all torn lines are gone
            # Agreed on before anyone writes: what a killed run left is shared out anew.
            done = on_first(lambda: set(journal.entries()))
            open_ = [index for index in range(total) if index not in done]
            mine = open_[rank :: get_world_size()]
            with tqdm(
                desc=sender.name,
                unit="picture",
                total=total,
                initial=total - len(open_),
                disable=rank != 0 or not mine,
            ) as bar:
                for part in filter(None, (mine[:_FIRST], mine[_FIRST:])):
                    sender.prepare(self.data.pictures(part))
                    for entry in self._judged(sender, part, tasks):
                        journal.add(entry)
                        bar.update(get_world_size())
            barrier()

    def _judged(
        self, sender: CodecUnderTest, indexes: list[int], tasks: list[str]
    ) -> Iterator[dict[str, Any]]:
        for index, original, sample in self.data.batches(indexes):
            with naming(self.data.path(index)):
                sent = sender.send(original)
                entry = self.data.judge(index, original, sent, sample, tasks)
            yield entry

    def _scored(self, sender: CodecUnderTest, place: Path, tasks: list[str]) -> Points:
        """A point for each receiver, of what became of all pictures."""
        found = Journal(place).entries()
        if absent := [index for index in range(len(self.data)) if index not in found]:
            raise MeasurementError(
                f"{len(absent)} pictures are not in {place}: the processes need one file system"
            )
        entries = [found[index] for index in range(len(self.data))]
        return {
            name: self._point(entries, name, sender.quality, tasks) for name in sender.receivers
        }

    def _point(
        self, entries: list[dict[str, Any]], receiver: str, quality: int, tasks: list[str]
    ) -> RPPoint:
        own = [entry["receivers"][receiver] for entry in entries]
        fidelity = {
            name: np.array([np.nan if one[name] is None else one[name] for one in own])
            for name in FIDELITY
        }
        fidelity = {name: values for name, values in fidelity.items() if not np.isnan(values).all()}
        matches = {
            f"{task}_mAP": Matches.of(
                self.data.truths[task],
                [found for one in own for found in one["found"][task]],
                self.data.kinds[task],
                self.data.ids,
            )
            for task in tasks
        }
        pixels = np.array([entry["num_pixels"] for entry in entries])
        coded = entries[0]["num_bytes"] is not None
        pictures = Pictures(
            pixels,
            np.array([entry["num_bytes"] or 0 for entry in entries]),
            np.array([entry["header_bytes"] for entry in entries]),
            fidelity,
            matches,
        )
        estimated = [entry["bits_estimated"] for entry in entries]
        return RPPoint(
            quality,
            float(pictures.bpp()[0]) if coded else 0.0,
            None if estimated[0] is None else float(np.mean(np.array(estimated) / pixels)),
            {name: float(pictures.score(name)[0]) for name in (*matches, *fidelity)},
            pictures,
        )


def on_first(work: Callable[[], _T]) -> _T:
    """Do something in the first process alone, and tell the others what came of it.

    Raises:
        VCMError: In every process, when it is raised in the first one.
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
    checkpoint: Path, files: Sequence[Path] = (), transmitter: Transmitter | None = None
) -> list[TrainedCodec]:
    """What stage 1 trained, with its shared receiver and those of stage 2's files.

    Args:
        checkpoint: Of stage 1.
        files: Of stage 2.
        transmitter: The checkpoint's, where it is to refine what it sends.

    Returns:
        One for each level that the transmitter can send at.
    """
    transmitter = transmitter or Transmitter.load(checkpoint)
    receivers = load_receivers(files, checkpoint)
    return [
        TrainedCodec(transmitter, receivers, "stage 1, level", level=level)
        for level in transmitter.network.qualities
    ]


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
        light = "base" in read_record(file)
        receiver = Receiver.load(file, base=checkpoint if light else None)
        name = receiver.record["name"] + ("-light" if light else "")
        if name in found and "depth" in receiver.record:
            name += "-deep"  # beside a full one
        if name in found:
            raise ConfigError(f"{file} is another receiver for {name}: test them one by one")
        found[name] = receiver
    return found

"""MPEG's test conditions of a data set: anchor and codec, compared sequence by sequence."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from mmengine.config import Config

from vcm_mt.anchors import make_anchor, make_sequence_anchor
from vcm_mt.anchors.yuv import Colours
from vcm_mt.curves.markdown import markdown_table
from vcm_mt.curves.mpeg import (
    Curves,
    Report,
    Unit,
    by_class,
    by_sequence,
    compare,
    to_template,
    zero_for_none,
)
from vcm_mt.curves.rp import RPPoint, finite
from vcm_mt.curves.rp_file import ANCHOR, OURS, RPFile
from vcm_mt.datasets.annotations import Annotations
from vcm_mt.errors import ConfigError
from vcm_mt.evaluation import curve_set
from vcm_mt.evaluation.codecs import AnchorCodec, CodecUnderTest, ThroughYUV
from vcm_mt.evaluation.experiment import Experiment, trained
from vcm_mt.evaluation.test_set import TestSet
from vcm_mt.evaluation.units import Frame
from vcm_mt.evaluation.videos import FPS, SequenceAnchorCodec, SequencesCodec
from vcm_mt.files import check_output, write_atomically
from vcm_mt.version import __version__

#: The QPs of pictures, and of sequences whose own are not known.
QPS = (22, 27, 32, 37, 42, 47)
#: Files that a run writes, beside a table of each curve and score.
POINTS, RESULTS, TABLE = "rp_points.json", "ctc.json", "table.md"
#: Pictures that a dry run codes to tell the time.
_PROBE = 2


#: A checkpoint of the codec under test, and its receivers' files.
Tested = tuple[Path, Sequence[Path]]


class Plan(NamedTuple):
    """What is measured of the conditions of a config.

    Attributes:
        anchor: The anchor's name; by default the config's.
        qps: In place of the conditions' own.
        pooled: Compare classes as FCM has it, in place of sequences.
        through: Judge decoded pictures after conversion to raw pictures of these colours and back.
    """

    anchor: str | None = None
    qps: Sequence[int] = ()
    pooled: bool = False
    through: Colours | None = None


class Conditions:
    """The test conditions of a config, and what was measured of them.

    Args:
        config: Its ``ctc`` has ``name``; ``scores``, as ``("det_mAP", "det_AP50")``; ``anchor``;
            and for pictures perhaps ``qps``.
        folder: Holds everything; what was measured there is not measured again.
        plan: What is measured.

    Raises:
        ConfigError: When the config has no conditions, or not all sequences have as many QPs.
    """

    def __init__(self, config: Config, folder: Path, plan: Plan = Plan()) -> None:  # noqa: B008
        if "ctc" not in config:
            raise ConfigError(f"{config.filename} has no `ctc`: take one of configs/mpeg")
        self._plan, self._told = plan, config.ctc
        self.folder = folder
        self._experiment = Experiment(config, folder)
        self.data: TestSet = self._experiment.data
        self._videos = videos_of(self.data)
        self.units = _units(self.data, self._videos, self._told.name)
        self.anchor: str = plan.anchor or self._told.anchor
        make = make_sequence_anchor if self._videos else make_anchor
        #: What stands behind the anchor's name, as "VVC (VVenC), random access", and its version.
        self.record = make(self.anchor).record
        self.qps = {unit.name: self._qps(video) for unit, video in self._with_videos()}
        if len({len(own) for own in self.qps.values()}) != 1:
            raise ConfigError(f"sequences have different numbers of QPs: {self.qps}: give --qp")
        self._curves = curve_set.Curves(self._experiment)

    def _with_videos(self) -> Iterator[tuple[Unit, Mapping[str, Any]]]:
        for number, unit in enumerate(self.units):
            yield unit, self._videos[number] if self._videos else {}

    def _qps(self, video: Mapping[str, Any]) -> list[int]:
        if self._plan.qps:
            return list(self._plan.qps)
        own = video.get("qps") if not self.anchor.partition(":")[0].endswith("-intra") else None
        return list(own or self._told.get("qps", QPS))

    def anchor_codecs(self, streams: Path, jobs: int | None = None) -> list[CodecUnderTest]:
        """The anchor at every point, the lowest QP first."""
        count = len(next(iter(self.qps.values())))
        if not self._videos:
            anchor = make_anchor(self.anchor)
            (qps,) = self.qps.values()
            found: list[CodecUnderTest] = [AnchorCodec(anchor, qp, streams, jobs) for qp in qps]
        else:
            found = [self._sequences(number) for number in range(count)]
        return [self._judged(codec) for codec in found]

    def _sequences(self, number: int) -> SequencesCodec:
        codecs = []
        for unit, video in self._with_videos():
            period = {"period": video["intra_period"]} if "intra_period" in video else {}
            anchor = make_sequence_anchor(self.anchor, **period)
            qp = self.qps[unit.name][number]
            codecs.append(SequenceAnchorCodec(anchor, qp, float(video.get("fps", FPS[0]))))
        return SequencesCodec(codecs, number + 1)

    def codecs(self, tested: Iterable[Tested]) -> list[CodecUnderTest]:
        """The codec under test at every quality, with its receivers."""
        return [
            self._judged(codec)
            for checkpoint, files in tested
            for codec in trained(checkpoint, files, of_videos=self.data.of_videos)
        ]

    def _judged(self, codec: CodecUnderTest) -> CodecUnderTest:
        return ThroughYUV(codec, self._plan.through) if self._plan.through else codec

    def measure(self, tested: Iterable[Tested], qualities: Sequence[int] | None = None) -> None:
        """Measure the anchor and, of the codec under test, a curve for each receiver."""
        record = self.record
        about = {
            "role": ANCHOR, "name": record.name, "version": record.version,
            "preset": record.preset, "options": list(record.options), "qps": self.qps,
        }  # fmt: skip
        for codec in self.anchor_codecs(self.folder / "streams"):
            self._curves.add(codec, {"shared": "anchor"}, about, record.name)
        about = {"role": OURS, "name": "vcm_mt", "version": __version__}
        for codec in self.codecs(tested):
            if qualities is None or codec.quality in qualities:
                names = {r: "test" if r == "shared" else f"test_{r}" for r in codec.receivers}
                self._curves.add(codec, names, about, "test: {} receiver")

    def estimate(self, tested: Sequence[Tested]) -> list[str]:
        """Code and judge a few pictures in the middle of each curve, and tell the time of all."""
        total, lines = 0.0, []
        with TemporaryDirectory() as streams:
            curves = {"anchor": self.anchor_codecs(Path(streams), jobs=1)}
            if tested:
                curves["test"] = self.codecs(tested)
            for name, codecs in curves.items():
                each = self._seconds(codecs[len(codecs) // 2])
                seconds = each * len(self.data) * len(codecs)
                total += seconds
                lines.append(
                    f"{name}: {len(codecs)} points of {len(self.data)} pictures, {each:.2f} s each:"
                    f" about {_clock(seconds)}"
                )
        return [*lines, f"all: about {_clock(total)} in one process"]

    def _seconds(self, codec: CodecUnderTest) -> float:
        """Of a picture's coding and judging; prediction from many pictures takes longer."""
        indexes = self.data.units[0][:_PROBE]
        batches = list(self.data.batches(indexes))
        start = time.perf_counter()
        sent = codec.send_unit(0, [original for _, original, _ in batches])
        frames = [
            Frame(index, original, one, sample)
            for (index, original, sample), one in zip(batches, sent, strict=True)
        ]
        self.data.judge_unit(0, frames)
        return (time.perf_counter() - start) / len(indexes)

    def file(self, made_with: dict[str, Any]) -> RPFile:
        """All points, with the scores on the originals."""
        return self._curves.file(made_with)

    def write(self, found: RPFile) -> str:
        """Write points, tables in the layout of MPEG's template, and the BD-rates.

        Returns:
            The text of the table.
        """
        found.save(self.folder / POINTS)
        curves = {name: curve.points for name, curve in found.curves.items()}
        told: dict[str, Any] = {
            "conditions": self._told.name, "anchor": self.record.name, "pooled": self._plan.pooled,
            "originals": finite(found.originals), "made_with": dict(found.made_with), "scores": {},
        }  # fmt: skip
        anchor = f"{self.record.name}, {self.record.version}"
        texts = [f"# {self._told.name}\n", f"Anchor: {anchor}\n"]
        for metric in self._told.scores:
            measured = {name: self._split(points, name, metric) for name, points in curves.items()}
            reports = {
                name: self._compared(measured, name) for name in measured if name != "anchor"
            }
            told["scores"][metric] = {
                "curves": {name: _plain(own) for name, own in measured.items()},
                "bd_rate": {name: report.to_dict() for name, report in reports.items()},
            }
            for name, own in measured.items():
                self._save(f"{name}_{metric}.csv", to_template(own))
            texts += _text(metric, found.originals.get(metric), measured, reports)
        self._save(RESULTS, json.dumps(told, indent=1) + "\n")
        self._save(TABLE, "\n".join(texts))
        return "\n".join(texts)

    def _split(self, points: Sequence[RPPoint], name: str, metric: str) -> Curves:
        if self._plan.pooled:
            return zero_for_none(by_class(points, self.units, metric))
        qps = self.qps if name == "anchor" else None
        return zero_for_none(by_sequence(points, self.units, metric, qps))

    def _compared(self, measured: Mapping[str, Curves], name: str) -> Report:
        groups = None if self._plan.pooled else {unit.name: unit.group for unit in self.units}
        return compare(measured["anchor"], measured[name], groups)

    def _save(self, name: str, text: str) -> None:
        write_atomically(self.folder / name, [text.encode()])


def check_places(folder: Path) -> None:
    """Make sure that results can be written, before anything is measured.

    Raises:
        ConfigError: When they cannot.
    """
    for name in (POINTS, RESULTS, TABLE):
        check_output(folder / name)


def videos_of(data: TestSet) -> list[dict[str, Any]]:
    """What the annotations say of the video of each unit; empty for pictures."""
    if not data.of_videos:
        return []
    truth = Annotations(next(iter(data.judges.values())).ann_file)
    known = {one["id"]: one for one in truth.dataset.get("videos", [])}
    numbers = [truth.imgs[data.ids[unit[0]]]["video_id"] for unit in data.units]
    return [known.get(number, {"name": str(number)}) for number in numbers]


def _units(data: TestSet, videos: Sequence[Mapping[str, Any]], name: str) -> list[Unit]:
    if not videos:
        return [Unit(name, name, tuple(range(len(data.units))))]
    return [
        Unit(
            str(video["name"]),
            str(video.get("group", name)),
            (number,),
            len(data.units[number]) / float(video.get("fps", FPS[0])),
        )
        for number, video in enumerate(videos)
    ]


def _text(
    metric: str,
    original: float | None,
    measured: Mapping[str, Curves],
    reports: Mapping[str, Report],
) -> Iterator[str]:
    rows = [
        [name, curve, f"{point.quality:g}", f"{point.bpp:.4f}", f"{score:.2f}"]
        for curve, own in measured.items()
        for name, points in own.items()
        for point in points
        for score in point.metrics.values()
    ]
    timed = any(m.endswith("@kbps") for own in measured.values() for p in own.values()
                for m in p[0].metrics)  # fmt: skip
    yield f"## {metric}" + (f", originals {original:.2f}" if original is not None else "") + "\n"
    yield markdown_table(["sequence", "curve", "QP", "kbit/s" if timed else "bpp", metric], rows)
    for name, report in reports.items():
        yield f"{name} against the anchor:\n\n{report.to_markdown()}"
        if report.remarks:
            yield "\n".join(f"- {remark}" for remark in report.remarks) + "\n"


def _plain(curves: Curves) -> dict[str, Any]:
    return {name: [point.to_dict() for point in points] for name, points in curves.items()}


def _clock(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"

"""The data of a report page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vcm_mt.curves.bd_rate import BDRate
from vcm_mt.curves.rp import RPPoint
from vcm_mt.errors import MeasurementError

#: Who a curve belongs to: a codec trained through a task, a standard's, a learned one that was not.
ROLES = {"ours": "trained through the task", "anchor": "standards", "learned": "other learned"}
#: Pixels per latent position, each way: g_a halves a picture four times.
CELL = 16


@dataclass(frozen=True)
class ReportCurve:
    """One codec's R-P curve.

    Attributes:
        name: What rates and versions call it by.
        title: For readers.
        role: One of `ROLES`. The first anchor of a report is the one of its headline.
        points: In any order; a metric may be missing in some.
        codec: One line: version and options.
        quality_name: What a point's `quality` is called.
        visible: Whether the curve is drawn before the reader asks for it.
    """

    name: str
    title: str
    role: str
    points: Sequence[RPPoint]
    codec: str = ""
    quality_name: str = "level"
    visible: bool = True


@dataclass(frozen=True)
class RateRow:
    """The BD-rate of a curve against another, both by name."""

    curve: str
    anchor: str
    bd: BDRate


@dataclass(frozen=True)
class Instance:
    """An object or a detection in a picture.

    Attributes:
        label: Its class.
        score: In [0, 1]; None for the truth.
        bbox: x1, y1, x2, y2 in pixels.
        polygons: Its mask as COCO writes it: x, y, x, y, … in pixels, one list per ring; what an
            even number of rings encloses is no part of it.
        track: Number of the object that is followed through a film; None where nobody follows it.
    """

    label: str
    score: float | None
    bbox: tuple[float, float, float, float]
    polygons: Sequence[Sequence[float]] = ()
    track: int | None = None


@dataclass(frozen=True)
class Version:
    """A sample as a codec decoded it.

    Attributes:
        curve: Name of the codec's curve.
        quality: As in the curve's points.
        receiver: For readers, where one curve has several receivers of the same bytes; else empty.
        bpp: Bits per pixel of this picture: 8 x `num_bytes` / pixels.
        num_bytes: Size of the file that would be sent.
        psnr: In dB against the original; None where it was not measured.
        pixels: uint8 [H, W, 3].
        found: What each task finds, by the task's name.
        bits: float [h, w], bits spent on each latent position, which covers `CELL` x `CELL` pixels
            from the upper left corner of the padded picture; they sum to the stream's estimated
            bits. None for a codec without latents.
    """

    curve: str
    quality: float
    receiver: str
    bpp: float
    num_bytes: int
    psnr: float | None
    pixels: NDArray[np.uint8]
    found: Mapping[str, Sequence[Instance]] = field(default_factory=dict)
    bits: NDArray[np.floating] | None = None


@dataclass(frozen=True)
class Sample:
    """A picture and its decoded versions.

    Attributes:
        name: For readers.
        original: uint8 [H, W, 3].
        truth: The annotated objects.
        versions: All of the original's size.
        found: What each task finds in the original, by the task's name.

    Raises:
        MeasurementError: A picture is not uint8 [H, W, 3] or has another size than the original.
    """

    name: str
    original: NDArray[np.uint8]
    truth: Sequence[Instance]
    versions: Sequence[Version]
    found: Mapping[str, Sequence[Instance]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pixels in (self.original, *(version.pixels for version in self.versions)):
            shape = (*self.original.shape[:2], 3)
            if pixels.dtype != np.uint8 or pixels.shape != shape:
                raise MeasurementError(
                    f"the pictures of {self.name!r} must be uint8 {shape}, one is "
                    f"{pixels.dtype} {pixels.shape}"
                )


@dataclass(frozen=True)
class FilmVersion:
    """A film as a codec decoded it.

    Attributes:
        curve: Name of the codec's curve.
        quality: As in the curve's points.
        num_bytes: Of the file that would be sent.
        bpp: Bits per pixel of the film: 8 x `num_bytes` / (pixels x pictures).
        psnr: In dB against the original, the mean of its frames.
        frames: uint8 [T, h, w, 3].
        found: What each task finds, a list for each frame, by the task's name.
        sizes: Bytes of each frame; empty where the codec does not tell.
        keys: Which frames stand by themselves; likewise.
    """

    curve: str
    quality: float
    num_bytes: int
    bpp: float
    psnr: float
    frames: NDArray[np.uint8]
    found: Mapping[str, Sequence[Sequence[Instance]]] = field(default_factory=dict)
    sizes: Sequence[int] = ()
    keys: Sequence[bool] = ()


@dataclass(frozen=True)
class Film:
    """A video and its decoded versions.

    Attributes:
        name: For readers.
        size: Height and width in pixels, in which boxes are told; frames may be smaller.
        original: uint8 [T, h, w, 3].
        truth: The annotated objects of each frame.
        versions: Frames of the original's size and number.
        found: What each task finds in the original, a list for each frame, by the task's name.
        fps: Frames per second.

    Raises:
        MeasurementError: A version's frames have another shape than the original's, or of frames,
            sizes, keys and finds one has another number.
    """

    name: str
    size: tuple[int, int]
    original: NDArray[np.uint8]
    truth: Sequence[Sequence[Instance]]
    versions: Sequence[FilmVersion]
    found: Mapping[str, Sequence[Sequence[Instance]]] = field(default_factory=dict)
    fps: float = 25

    def __post_init__(self) -> None:
        for frames in (self.original, *(version.frames for version in self.versions)):
            if frames.dtype != np.uint8 or frames.shape != (*self.original.shape[:3], 3):
                raise MeasurementError(
                    f"the frames of {self.name!r} must be uint8 {self.original.shape}, those of a "
                    f"version are {frames.dtype} {frames.shape}"
                )
        counts = {len(told) for told in (self.truth, *self.found.values())}
        for one in self.versions:
            counts |= {len(told) for told in one.found.values()}
            counts |= {len(told) for told in (one.sizes, one.keys) if told}
        if counts != {len(self.original)}:
            raise MeasurementError(
                f"{self.name!r} has {len(self.original)} frames, and something is told of "
                f"{sorted(counts)}"
            )


@dataclass(frozen=True)
class Matrix:
    """Figures of what was made for one task, judged by another.

    Attributes:
        title: For readers.
        rows: What it was trained for.
        columns: What it was measured on.
        values: One list per row; None where nothing was measured.
        unit: Of the values.
        lower_is_better: For BD-rates.

    Raises:
        MeasurementError: The values are not as many as rows and columns ask for.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]
    unit: str
    lower_is_better: bool = False

    def __post_init__(self) -> None:
        if [len(row) for row in self.values] != [len(self.columns)] * len(self.rows):
            raise MeasurementError(
                f"the matrix {self.title!r} needs {len(self.rows)} rows of {len(self.columns)} "
                f"values, it has rows of {[len(row) for row in self.values]}"
            )


@dataclass(frozen=True)
class Report:
    """Everything that the page shows.

    Attributes:
        title: Of the page.
        summary: A paragraph of plain text.
        originals: Scores of the tasks on the uncompressed pictures. These metrics are the tasks':
            they come first, and the headline is about them.
        curves: The first anchor is the one of the headline.
        rates: BD-rates, in the order in which they are shown.
        samples: Pictures to compare.
        matrices: What was tried on what it was not made for.
        shortfalls: Where a target is missed, said plainly, a paragraph each.
        provenance: Versions and fingerprints.
        commands: What to run to get the same.
        films: Videos to compare.

    Raises:
        MeasurementError: Two curves share a name, a role is unknown, or a BD-rate or a picture's
            version is of an unknown curve.
    """

    title: str
    summary: str
    originals: Mapping[str, float]
    curves: Sequence[ReportCurve]
    rates: Sequence[RateRow] = ()
    samples: Sequence[Sample] = ()
    matrices: Sequence[Matrix] = ()
    shortfalls: Sequence[str] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()
    films: Sequence[Film] = ()

    def __post_init__(self) -> None:
        names = [curve.name for curve in self.curves]
        if len(set(names)) < len(names):
            raise MeasurementError(f"every curve needs a name of its own, got {names}")
        if strange := {curve.role for curve in self.curves} - set(ROLES):
            raise MeasurementError(f"a curve's role is one of {list(ROLES)}, not {sorted(strange)}")
        _known(names, "BD-rate", (name for row in self.rates for name in (row.curve, row.anchor)))
        _known(names, "picture", (v.curve for sample in self.samples for v in sample.versions))
        _known(names, "film", (v.curve for film in self.films for v in film.versions))

    def curve(self, name: str) -> ReportCurve:
        """The curve of this name."""
        return next(curve for curve in self.curves if curve.name == name)

    @property
    def metrics(self) -> list[str]:
        """All metrics of the points: the tasks' first, then the others as they come."""
        measured = [m for curve in self.curves for point in curve.points for m in point.metrics]
        present = dict.fromkeys(measured)
        return [m for m in self.originals if m in present] + [
            m for m in present if m not in self.originals
        ]


def _known(names: Sequence[str], what: str, asked: Iterable[str]) -> None:
    if unknown := sorted(set(asked) - set(names)):
        raise MeasurementError(f"a {what} is of {unknown}, but the curves are {list(names)}")

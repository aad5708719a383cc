"""Write the pages that show measured results, and the table of README.md, from the result files.

python tools/dev/result_pages.py

A figure stands in docs/results/*/*.json, where the command that measured it puts it. This
script is the only one that copies it into text; a test holds that the text is up to date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import tabulate

from vcm_mt.cli.command import command

ROOT = Path(__file__).resolve().parents[2]
README, PAGE = ROOT / "README.md", ROOT / "docs" / "results.md"
BEGIN = "<!-- begin: written by tools/dev/result_pages.py -->"
END = "<!-- end -->"


class Row(NamedTuple):
    """A BD-rate to show: what it is called, the metric's task, the curve, and against what."""

    title: str
    task: str
    curve: str
    anchor: str = "vvc"


DEMO = (
    Row("refined, detection", "det", "stage1_det_refined"),
    Row("detection", "det", "stage1_det"),
)
LONG = (
    Row("refined, detection, detector's receiver", "det", "stage1_det_refined_det"),
    Row("refined, segmentation, segmenter's receiver", "segm", "stage1_det_refined_segm"),
    Row("refined through both receivers, detection", "det", "stage1_det_refined_joint_det"),
    Row("refined through both receivers, segmentation", "segm", "stage1_det_refined_joint_segm"),
    Row("refined, RetinaNet (never trained through)", "retina", "stage1_det_refined"),
    Row("detection, detector's receiver", "det", "stage1_det_det"),
    Row("detection, shared decoder", "det", "stage1_det"),
    Row("segmentation, segmenter's receiver", "segm", "stage1_det_segm"),
    Row("segmentation, shared decoder", "segm", "stage1_det"),
    Row("RetinaNet, shared decoder", "retina", "stage1_det"),
    Row("one model for all rates, detection", "det", "stage1_det_vbr"),
    Row("one model for all rates, segmentation, its receiver", "segm", "stage1_det_vbr_segm"),
)
PHOTOS = (
    Row("refined, detector's receiver", "det", "stage1_det_refined_det"),
    Row("refined, shared decoder", "det", "stage1_det_refined"),
    Row("detector's receiver", "det", "stage1_det_det"),
    Row("shared decoder", "det", "stage1_det"),
    Row(
        "refined, detector's receiver, against scaled VVC",
        "det",
        "stage1_det_refined_det",
        "vvc_scaled",
    ),
    Row("detector's receiver, against scaled VVC", "det", "stage1_det_det", "vvc_scaled"),
)
_PREDICTED = "stage1_track_predicted_track"
VIDEO = (
    Row("predicted, against VVC all intra", "track", _PREDICTED, "vvc-intra"),
    Row("predicted, against VVC random access", "track", _PREDICTED, "vvc-ra"),
    Row("predicted, against VVC low delay", "track", _PREDICTED, "vvc-ld"),
    Row("predicted, against HEVC random access", "track", _PREDICTED, "hevc-ra"),
    Row("intra, against VVC all intra", "track", "stage1_track_track", "vvc-intra"),
    Row("intra, shared decoder, against VVC all intra", "track", "stage1_track", "vvc-intra"),
    Row("predicted, detection, against VVC all intra", "det", _PREDICTED, "vvc-intra"),
    Row("predicted, ByteTrack, against VVC all intra", "byte", _PREDICTED, "vvc-intra"),
)
TASKS = tuple(
    Row(f"{title}, {whose}", task, f"stage1_all{end}", anchor)
    for title, task, anchor in (
        ("detection (box mAP)", "det", "vvc"),
        ("instance segmentation (mask mAP)", "segm", "vvc"),
        ("semantic segmentation (mIoU)", "sem", "vvc"),
        ("tracking (HOTA)", "track", "vvc-intra"),
        ("pose (OKS mAP)", "pose", "vvc"),
        ("action (top-1)", "action", "vvc-intra"),
    )
    for whose, end in (("its receiver", f"_{task}"), ("shared decoder", ""))
) + (
    Row("people (PSNR), human receiver", "psnr", "stage1_all_human"),
    Row("people (MS-SSIM), human receiver", "ms_ssim", "stage1_all_human"),
)
#: The table of README.md: of which experiment a row is, and the row.
HEADLINE = (
    ("photos", Row("photographs, refined, detection", "det", "stage1_det_refined_det")),
    ("photos", Row("photographs, detection", "det", "stage1_det_det")),
    ("mini", Row("embedded set, refined, detection", "det", "stage1_det_refined_det")),
    ("mini", Row("embedded set, refined, segmentation", "segm", "stage1_det_refined_segm")),
    ("mini", Row("embedded set, detection", "det", "stage1_det_det")),
    ("mini", Row("embedded set, segmentation", "segm", "stage1_det_segm")),
    ("video", Row("embedded videos, predicted, tracking (HOTA)", "track", _PREDICTED, "vvc-intra")),
    ("video", Row("the same against VVC with random access", "track", _PREDICTED, "vvc-ra")),
)
#: Rows of the table of receivers: title, curve, metric, digits.
RECEIVERS = (
    ("bpp", "stage1_det", "bpp", 3),
    ("mask mAP, shared decoder", "stage1_det", "segm_mAP", 1),
    ("mask mAP, segmenter's receiver", "stage1_det_segm", "segm_mAP", 1),
    ("box mAP, shared decoder", "stage1_det", "det_mAP", 1),
    ("box mAP, detector's receiver", "stage1_det_det", "det_mAP", 1),
    ("PSNR (dB), shared decoder", "stage1_det", "psnr", 1),
    ("PSNR (dB), human receiver", "stage1_det_human", "psnr", 1),
    ("bpp, refined", "stage1_det_refined", "bpp", 3),
    ("box mAP, refined, detector's receiver", "stage1_det_refined_det", "det_mAP", 1),
    ("mask mAP, refined, segmenter's receiver", "stage1_det_refined_segm", "segm_mAP", 1),
)


@command("start it again")
def main() -> int:
    """Write the files."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    return 0


def pages() -> dict[Path, str]:
    """Each file's text."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    table = bd_table(HEADLINE)
    page = PAGE.read_text(encoding="utf-8")
    for name, text in (
        ("photos", bd_table(("photos", row) for row in PHOTOS)),
        ("photos-receivers", receiver_table("photos")),
        ("demo", bd_table(("demo", row) for row in DEMO)),
        ("demo-plain", bd_table(("demo/plain", row) for row in DEMO)),
        ("long", bd_table(("mini", row) for row in LONG)),
        ("receivers", receiver_table("mini")),
        ("video", bd_table((("video", row) for row in VIDEO), "BD-rate, HOTA unless said")),
        ("video-scores", video_table()),
        ("tasks", bd_table((("tasks", row) for row in TASKS), "BD-rate against VVC, all intra")),
        ("tasks-scores", tasks_table()),
        ("video-savings", savings_table()),
    ):
        begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
        head, _, tail = page.partition(begin)
        page = f"{head}{begin}\n\n{text}\n\n{end}{tail.partition(end)[2]}"
    return {README: f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", PAGE: page}


def bd_table(rows: Iterable[tuple[str, Row]], title: str = "BD-rate against VVC") -> str:
    """BD-rates as a Markdown table, against VVC where a title says nothing else."""
    body = []
    for experiment, (name, task, curve, anchor) in rows:
        rates = _read(experiment, "bd_rate.json")
        if (rate := rates[task].get(curve, {}).get(anchor)) is None:
            continue
        body.append(
            [
                name,
                f"**{_percent(rate['value'])}**",
                _range(rate["bootstrap"]),
                _range(rate["leave_one_out"]),
                f"{rate['overlap']:.2f}",
                _percent(rate["without_headers"]),
            ]
        )
    head = [title, "PCHIP", "95 % interval", "leave one point out", "overlap"]
    return _markdown(body, [*head, "without headers"])


def receiver_table(experiment: str) -> str:
    """What every receiver makes of the same bytes, quality by quality."""
    points = _read(experiment, "results.json")["points"]
    body = []
    for title, curve, metric, digits in RECEIVERS:
        if curve not in points or metric not in (points[curve][0]["metrics"] | {"bpp": 0}):
            continue
        values = [
            point["bpp"] if metric == "bpp" else point["metrics"][metric]
            for point in sorted(points[curve], key=lambda point: point["quality"])
        ]
        body.append([title, *(f"{value:.{digits}f}" for value in values)])
    return _markdown(body, ["quality", *map(str, range(1, len(body[0])))])


def video_table() -> str:
    """Intra and predicted streams of videos, quality by quality."""
    points = _read("video", "results.json")["points"]
    rows = (
        ("bpp, intra", "stage1_track_track", "bpp", 3),
        ("bpp, predicted", _PREDICTED, "bpp", 3),
        ("HOTA, intra", "stage1_track_track", "track_HOTA", 1),
        ("HOTA, predicted", _PREDICTED, "track_HOTA", 1),
        ("MOTA, predicted", _PREDICTED, "track_MOTA", 1),
        ("IDF1, predicted", _PREDICTED, "track_IDF1", 1),
        ("box mAP, intra", "stage1_track_track", "det_mAP", 1),
        ("box mAP, predicted", _PREDICTED, "det_mAP", 1),
    )
    body = []
    for title, curve, metric, digits in rows:
        values = [
            point["bpp"] if metric == "bpp" else point["metrics"][metric]
            for point in sorted(points[curve], key=lambda point: point["quality"])
        ]
        body.append([title, *(f"{value:.{digits}f}" for value in values)])
    return _markdown(body, ["quality", *map(str, range(1, len(body[0])))])


def tasks_table() -> str:
    """Each task's score by its own receiver, quality by quality, and on the originals."""
    body = []
    for task, told in _read("tasks", "scores.json").items():
        points = sorted(told[f"stage1_all_{task}"], key=lambda point: point["quality"])
        main = next(iter(told["originals"]))
        body.append([f"bpp, {task}", *(f"{point['bpp']:.3f}" for point in points), ""])
        scores = [f"{point[main]:.1f}" for point in points]
        body.append([main.replace("_", " "), *scores, f"{told['originals'][main]:.1f}"])
    levels = [f"{point['quality']:g}" for point in points]
    return _markdown(body, ["quality", *levels, "originals"])


def savings_table() -> str:
    """Bytes of predicted streams over those of intra streams, by camera and quality."""
    told = _read("video", "savings.json")
    body = [[camera, *map(_percent, by_level.values())] for camera, by_level in told.items()]
    return _markdown(body, ["camera", *next(iter(told.values()))])


def _read(experiment: str, name: str) -> dict[str, Any]:
    path = ROOT / "docs" / "results" / experiment / name
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def _markdown(body: list[list[str]], head: list[str]) -> str:
    return tabulate(body, head, tablefmt="pipe", disable_numparse=True)


def _percent(value: float) -> str:
    return f"{value:+.1f} %".replace("-", "−")


def _range(ends: list[float]) -> str:
    low, high = (f"{value:+.1f}".replace("-", "−") for value in ends)
    return f"{low} … {high}"


if __name__ == "__main__":
    sys.exit(main())

"""Write model-index.yml and the metafiles of configs/ from the measured results.

python tools/dev/metafiles.py

OpenMMLab's tools read them. Every figure comes from docs/results/*/results.json and every file of
weights from vcm_mt/zoo/zoo.json, so that a new measurement is published by running this again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from vcm_mt.curves.rp import task_of

ROOT = Path(__file__).resolve().parents[2]
HEAD = "# Written by tools/dev/metafiles.py. Do not edit.\n"
DATASET = "embedded set, 300 validation pictures"


class Judge(NamedTuple):
    """A metric of results.json, as a metafile names it."""

    metric: str
    task: str
    label: str


DET = Judge("det_mAP", "Object Detection", "box AP")
SEGM = Judge("segm_mAP", "Instance Segmentation", "mask AP")
RETINA = Judge("retina_mAP", "Object Detection", "box AP")
TRACK = Judge("track_HOTA", "Multi-Object Tracking", "HOTA")
PSNR = Judge("psnr", "Image Compression", "PSNR (dB)")
MS_SSIM = Judge("ms_ssim", "Image Compression", "MS-SSIM")

#: Config of configs/mini, the experiment that trained and measured it, its curve there, its judges.
MEASURED = (
    ("demo", "demo", "stage1_det", [DET]),
    ("stage1_det_paper", "mini", "stage1_det", [DET]),
    ("stage1_det_vbr", "mini", "stage1_det_vbr", [DET, SEGM]),
    ("stage1_segm", "mini", "stage1_segm", [SEGM]),
    ("stage2_det", "mini", "stage1_det_det", [DET]),
    ("stage2_segm", "mini", "stage1_det_segm", [SEGM]),
    ("stage2_human", "mini", "stage1_det_human", [PSNR, MS_SSIM]),
    ("refine_det", "mini", "stage1_det_refined", [DET, SEGM]),
    ("refine_det_segm", "mini", "stage1_det_refined_joint", [DET, SEGM]),
    ("stage1_track", "video", "stage1_track", [TRACK, DET]),
    ("stage1_track_video", "video", "stage1_track_predicted", [TRACK, DET]),
    ("stage2_track", "video", "stage1_track_predicted_track", [TRACK, DET]),
)
#: What experiments measured on, and their first anchor.
DATASETS = {"video": "embedded videos, 24 of 24 frames"}
ANCHORS = {"video": "vvc-intra"}
NETWORKS = {"faster_rcnn": DET, "mask_rcnn": SEGM, "retinanet": RETINA}
MSE_CODECS = {f"mse_{quality}": quality for quality in (1, 2, 3, 4)}


def metafiles() -> dict[Path, str]:
    """The text of model-index.yml and of every metafile, by path."""
    found = {
        ROOT / "configs" / "metafile.yml": coco(),
        ROOT / "configs" / "mini" / "metafile.yml": mini(),
        ROOT / "configs" / "mini" / "tasks" / "metafile.yml": networks(),
        ROOT / "configs" / "photos" / "metafile.yml": photos(),
    }
    imported = [path.relative_to(ROOT).as_posix() for path in found]
    found[ROOT / "model-index.yml"] = {"Import": imported}
    return {path: HEAD + _yaml(data) for path, data in found.items()}


def coco() -> dict[str, Any]:
    """The configs for COCO, which are not measured yet."""
    name = "VCM codec on COCO"
    return {
        "Collections": [_collection(name, "COCO 2017 train", ["mbt2018-mean", "Faster R-CNN"])],
        "Models": [
            {"Name": path.stem, "In Collection": name, "Config": f"configs/{path.name}"}
            for path in sorted((ROOT / "configs").glob("*.py"))
        ],
    }


def mini() -> dict[str, Any]:
    """The codecs of the embedded set: those of the zoo, and every config that was measured."""
    name = "VCM codec on the embedded set"
    points = {one["quality"]: one for one in results("mini")["points"]["mse_codec"]}
    models = [
        _zoo_model(network, name, "configs/mini/mse_codec.py")
        | {"Results": [_result([PSNR, MS_SSIM, DET], [points[quality]])]}
        for network, quality in MSE_CODECS.items()
    ]
    models += [_measured(name, *row) for row in MEASURED]
    architectures = ["MeanScaleHyperprior"]
    return {"Collections": [_collection(name, "embedded set", architectures)], "Models": models}


def networks() -> dict[str, Any]:
    """The zoo's frozen networks, measured on the original pictures."""
    name = "Task networks of the embedded set"
    originals = results("mini")["originals"]
    models = [
        _zoo_model(network, name, f"configs/mini/tasks/{network}.py")
        | {"Results": [_entry(judge, {judge.label: round(originals[judge.metric], 2)})]}
        for network, judge in NETWORKS.items()
    ]
    followed = {TRACK.label: round(results("video")["originals"][TRACK.metric], 2)}
    models.append(
        _zoo_model("qdtrack", name, "configs/mini/tasks/qdtrack.py")
        | {"Results": [_entry(TRACK, followed, DATASETS["video"])]}
    )
    estimated = {"Task": "Pose Estimation", "Dataset": "embedded figures, 300 validation pictures"}
    models.append(
        _zoo_model("hrnet", name, "configs/mini/tasks/hrnet.py")
        | {"Results": [estimated | {"Metrics": _own_figures("poses", "hrnet")}]}
    )
    architectures = ["Faster R-CNN", "Mask R-CNN", "RetinaNet", "QDTrack", "ResNet-18", "FPN"]
    architectures.append("HRNet")
    return {
        "Collections": [_collection(name, "embedded set", architectures)],
        "Models": models,
    }


def photos() -> dict[str, Any]:
    """The codecs for photographs, on the split that settings are chosen on."""
    name = "VCM codec on photographs"
    dataset = "photographs of COCO 2017, the 60 of the split `tune`"
    models = []
    for network, config, task in (
        ("photos_mse_base", "mse_base", PSNR.task),
        ("photos_det", "stage1_det_own", DET.task),
    ):
        metrics = _own_figures("photos", network)
        result = {"Task": task, "Dataset": dataset, "Metrics": metrics}
        model = _zoo_model(network, name, f"configs/photos/{config}.py")
        models.append(model | {"Results": [result]})
    data = "277 photographs of COCO 2017 train, 220 others (CC BY 4.0)"
    return {
        "Collections": [_collection(name, data, ["MeanScaleHyperprior"])],
        "Models": models,
    }


def results(experiment: str) -> dict[str, Any]:
    """What an experiment measured: points, originals, BD-rates."""
    path = ROOT / "docs" / "results" / experiment / "results.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _own_figures(folder: str, network: str) -> dict[str, Any]:
    """What was measured of a network of the zoo by itself."""
    path = ROOT / "docs" / "results" / folder / f"{network}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _collection(name: str, data: str, architecture: list[str]) -> dict[str, Any]:
    metadata = {"Training Data": data, "Architecture": architecture}
    return {"Name": name, "Metadata": metadata, "README": "README.md"}


def _zoo_model(network: str, collection: str, config: str) -> dict[str, Any]:
    listing = json.loads((ROOT / "vcm_mt" / "zoo" / "zoo.json").read_text(encoding="utf-8"))
    record = listing[f"{network}.safetensors"]
    return {
        "Name": network,
        "In Collection": collection,
        "Config": config,
        "Metadata": {"Training Command": record["command"], "SHA-256": record["sha256"]},
        "Weights": f"zoo://{network}",
    }


def _measured(
    collection: str, config: str, experiment: str, curve: str, judges: list[Judge]
) -> dict[str, Any]:
    found = results(experiment)
    entries = []
    for judge in judges:
        points, data = found["points"][curve], DATASETS.get(experiment, DATASET)
        entry = _result([judge], points, data)
        rates = found["bd_rate"].get(task_of(judge.metric) or judge.metric, {}).get(curve, {})
        anchor = ANCHORS.get(experiment, "vvc")
        if rates.get(anchor) is not None:
            entry["Metrics"]["BD-rate against VVC (%)"] = round(rates[anchor], 2)
        entries.append(entry)
    return {
        "Name": config,
        "In Collection": collection,
        "Config": f"configs/mini/{config}.py",
        "Metadata": {"Experiment": f"configs/experiments/{experiment}.py", "Curve": curve},
        "Results": entries,
    }


def _result(
    judges: list[Judge], points: list[dict[str, Any]], data: str = DATASET
) -> dict[str, Any]:
    """Metrics of one point, or of a curve's points as lists."""
    values = {"bpp": [round(point["bpp"], 4) for point in points]}
    for judge in judges:
        digits = 4 if judge is MS_SSIM else 2
        values[judge.label] = [round(point["metrics"][judge.metric], digits) for point in points]
    single = len(points) == 1
    return _entry(judges[0], {k: v[0] if single else v for k, v in values.items()}, data)


def _entry(judge: Judge, metrics: dict[str, Any], data: str = DATASET) -> dict[str, Any]:
    return {"Task": judge.task, "Dataset": data, "Metrics": metrics}


class _Dumper(yaml.SafeDumper):
    """Lists of plain values on one line, lists of mappings as blocks."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> Any:
        plain = all(isinstance(one, int | float) for one in sequence)
        return super().represent_sequence(tag, sequence, flow_style=plain)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(data: dict[str, Any]) -> str:
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


if __name__ == "__main__":
    for place, content in metafiles().items():
        place.write_text(content, encoding="utf-8")

"""`vcm-mt experiment` on codecs that are there already, as a user runs it."""

import json
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT
from vcm_mt.apis.codec import Receiver
from vcm_mt.apis.packing import pack
from vcm_mt.curves.rp_file import RPFile
from vcm_mt.models.codec import build_codec
from vcm_mt.models.receivers import Receiver as Synthesis
from vcm_mt.models.transmitter import Transmitter

LEVELS = (1, 2, 3, 4)
PLAN = """
_base_ = "{root}/configs/mini/stage1_det_vbr.py"
judge = "{folder}/judge.py"
measured = [1, 2, 3, 4]
zoo = dict(codec="{folder}/codec{{level}}.safetensors", human="{folder}/human{{level}}.safetensors")
stage2 = dict(config="{root}/configs/mini/stage2_{{task}}.py", tasks=["human"], levels=measured)
variable = seeds = None
others = dict()
refine = dict(stage1_det_refined=dict(steps=1, levels=[2, 3], tasks=["human"]))
mse_codecs = ["zoo://mse_1"]
learned = dict(people=["{folder}/codec1.safetensors"])
anchors = ["jpeg@5,10,20,40", "jpeg@scale=0.5@5,10,20,40"]
fronts = dict(jpeg_scaled=["jpeg", "jpeg-0.5"])
kept = "{folder}/anchors.json.xz"
samples = 1
resamples = 20
report = dict(title="a test")
train_dataloader = dict(dataset=dict(data_root="{mini}/"))
val_dataloader = dict(dataset=dict(data_root="{mini}/"))
test_dataloader = dict(dataset=dict(data_root="{mini}/"))
"""
JUDGE = """
_base_ = "{root}/configs/mini/stage2_segm.py"
test_dataloader = dict(dataset=dict(data_root="{mini}/"))
evaluators = dict(
    det=dict(ann_file="{mini}/annotations/val.json"),
    segm=dict(ann_file="{mini}/annotations/val.json"),
    retina=dict(ann_file="{mini}/annotations/val.json"),
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, mini):
    """The zoo's MSE codecs as packed ones, each with a receiver for people, and a plan."""
    folder = tmp_path_factory.mktemp("experiment")
    for level in LEVELS:
        sizes = {"arch": "MeanScaleHyperprior", "N": 48, "M": 96}
        codec = build_codec(**sizes, checkpoint=f"zoo://mse_{level}")
        network, synthesis = Transmitter(codec, level), Synthesis(codec.g_s)
        network.update_tables()
        state = {f"transmitter.{k}": v for k, v in network.state_dict().items()}
        state |= {f"receivers.shared.{k}": v for k, v in synthesis.state_dict().items()}
        meta = {"record": json.dumps({"codec": sizes, "quality": level})}
        torch.save({"meta": meta, "state_dict": state}, folder / f"iter_{level}.pth")
        pack(folder / f"iter_{level}.pth", folder / f"codec{level}.safetensors")
        receiver = Receiver.load(folder / f"codec{level}.safetensors")
        receiver.record |= {"name": "human", "tasks": ["human"]}
        receiver.save(folder / f"human{level}.safetensors")
    known = {"root": ROOT, "folder": folder, "mini": mini}
    (folder / "judge.py").write_text(JUDGE.format(**known))
    (folder / "plan.py").write_text(PLAN.format(**known))
    return folder


def _run(folder, out):
    command = [
        sys.executable,
        "-m",
        "vcm_mt",
        "experiment",
        str(folder / "plan.py"),
        "-o",
        str(out),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_curves_of_codecs_anchors_and_their_front(folder):
    out = folder / "out"
    _run(folder, out)
    found = RPFile.load(out / "rp_points.json")
    wanted = {"stage1_det", "stage1_det_human", "stage1_det_refined", "stage1_det_refined_human"}
    assert set(found.curves) == wanted | {"people", "mse_codec", "jpeg", "jpeg-0.5", "jpeg_scaled"}
    by_bpp = {point.bpp: point for name in ("jpeg", "jpeg-0.5") for point in found.points(name)}
    for point in found.points("jpeg_scaled"):
        assert by_bpp[point.bpp].metrics == point.metrics
    assert {"det_mAP", "det_AP50", "segm_AP50"} <= set(found.points("jpeg")[0].metrics)
    assert found.curves["people"].codec["role"] == "learned"
    rates = json.loads((out / "bd_rate.json").read_text())
    assert {"jpeg", "jpeg_scaled"} <= set(rates["psnr"]["stage1_det"])

    # Anchors that were measured before are not measured again.
    (folder / "anchors.json.xz").write_bytes((out / "anchors.json.xz").read_bytes())
    again = folder / "again"
    _run(folder, again)
    passes = [json.loads(path.read_text())["of"] for path in again.glob("points/*/points.json")]
    assert passes and not any("qp" in of for of in passes)
    told = RPFile.load(again / "rp_points.json").points("jpeg")
    assert told == found.points("jpeg")

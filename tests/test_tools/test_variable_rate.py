"""One codec for all rates, from training to curves: the tools as a user runs them."""

import json

import pytest
from PIL import Image

from tests.conftest import ROOT, run_tool, small_options
from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.bitstream.container import unpack

HUMAN = "configs/mini/stage2_human.py"


def _given(options):
    return [f"{key}={value}" for key, value in options.items()]


@pytest.fixture(scope="module")
def stage1(mini, tmp_path_factory):
    """A transmitter with three levels, as tools/train.py leaves it."""
    folder = tmp_path_factory.mktemp("vbr")
    config = folder / "vbr.py"
    config.write_text(
        f'_base_ = "{ROOT}/configs/mini/stage1_det_vbr.py"\n'
        "model = dict(lmbda=[0.1, 0.3, 0.9], gains=[0.5, 8.0, 32.0], level_weights=[3, 1.7, 1],\n"
        "             codec=dict(checkpoint=None))\n"
    )
    options = {k: v for k, v in small_options(mini).items() if not k.startswith("levels")}
    options["train_dataloader.batch_size"] = "1"
    work_dir = folder / "work"
    arguments = (str(config), "--work-dir", str(work_dir), "--cfg-options", *_given(options))
    done = run_tool("train", *arguments)
    assert done.returncode == 0, done.stderr
    return work_dir


def _stage2(mini, stage1, work_dir, *more):
    options = {
        key: value
        for key, value in small_options(mini).items()
        if not key.startswith(("model", "levels", "val_eval", "test_eval"))
    }
    return run_tool(
        *("finetune_decoder", "--task", "human", "--config", HUMAN, "--stage1", str(stage1)),
        *("--work-dir", str(work_dir), *more, "--cfg-options", *_given(options)),
    )


@pytest.fixture(scope="module")
def receiver(mini, stage1, tmp_path_factory):
    """One receiver for people, for every level."""
    folder = tmp_path_factory.mktemp("receiver")
    done = _stage2(mini, stage1, folder)
    assert done.returncode == 0, done.stderr
    return folder / "human.safetensors"


def test_any_level_is_coded_and_one_receiver_decodes_it(mini, stage1, receiver, tmp_path):
    picture = next((mini / "val").iterdir())
    coded = {}
    for quality in (1, 3):
        target = tmp_path / f"{quality}.vcm"
        done = run_tool(
            *("codec", "encode", str(picture), "-o", str(target)),
            *("--transmitter", str(stage1), "--quality", str(quality)),
        )
        assert done.returncode == 0, done.stderr
        coded[quality] = target.read_bytes()
        assert unpack(coded[quality]).quality == quality
    assert len(coded[1]) < len(coded[3])
    viewer = Receiver.load(receiver)
    for data in coded.values():
        assert viewer.decode(data).shape == (256, 256, 3)
    same = Transmitter.load(stage1).encode(Image.open(picture), quality=3)
    assert unpack(same).transmitter == unpack(coded[3]).transmitter
    wrong = run_tool(
        *("codec", "encode", str(picture), "-o", str(tmp_path / "x.vcm")),
        *("--transmitter", str(stage1), "--quality", "4"),
    )
    assert wrong.returncode == 1
    assert "no quality 4, but 1, 2, 3" in wrong.stderr and "Traceback" not in wrong.stderr


def test_a_receiver_is_trained_from_bitstreams_of_every_level(mini, stage1, tmp_path):
    done = _stage2(mini, stage1, tmp_path, "--from-bitstreams")
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "bitstreams").rglob("*.vcm"))
    assert len(names) == 3 * 6
    assert all(name.endswith((".q1.vcm", ".q2.vcm", ".q3.vcm")) for name in names)


def test_curve_has_every_level(mini, stage1, receiver, tmp_path):
    annotations = f"{mini}/annotations/val.json"
    done = run_tool(
        *("rp_curve", "configs/mini/stage2_segm.py", "--out", str(tmp_path), "--task", "det"),
        *("--curve", f"vbr={stage1},{receiver.parent}", "--samples", "0", "--resamples", "0"),
        *("--cfg-options", f"test_dataloader.dataset.data_root={mini}"),
        *(f"evaluators.{task}.ann_file={annotations}" for task in ("det", "segm", "retina")),
    )
    assert done.returncode == 0, done.stderr
    curves = json.loads((tmp_path / "rp_points.json").read_text())["curves"]
    assert set(curves) == {"vbr", "vbr_human"}
    for curve in curves.values():
        assert [point["quality"] for point in curve["points"]] == [1, 2, 3]
        rates = [point["bpp"] for point in curve["points"]]
        assert rates == sorted(rates) and rates[0] < rates[2]

"""The tools as a user calls them: results on real bytes, and one clear error for bad input."""

import json
import shutil

import pytest

from tests.conftest import ROOT, run_tool, small_options

CONFIG = "configs/mini/stage1_det.py"


def _options(mini, **more):
    return [f"{k}={v}" for k, v in {**small_options(mini), **more}.items()]


@pytest.fixture(scope="module")
def trained(mini, tmp_path_factory):
    """Two levels, the first after the second, trained for four steps each by tools/train.py."""
    work_dir = tmp_path_factory.mktemp("stage1")
    done = run_tool(
        "train", CONFIG, "--quality", "2", "3", "--work-dir", str(work_dir),
        "--cfg-options", *_options(mini),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return work_dir


def test_each_level_has_its_own_folder(trained):
    assert (trained / "q3" / "iter_4.pth").is_file()
    assert (trained / "q2" / "iter_4.pth").is_file()


def test_tensorboard_has_losses_rates_scores_and_pictures(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (events,) = (trained / "q3").rglob("events.out.tfevents*")
    log = EventAccumulator(str(events)).Reload()
    scalars = set(log.Tags()["scalars"])
    assert {"loss", "loss_rate", "loss_det", "bpp_train", "bpp", "bpp_estimated", "aux"} <= scalars
    assert {"main.lr", "aux.lr", "det/bbox_mAP", "psnr"} <= scalars
    assert len(log.Tags()["images"]) == 4


def test_test_reports_real_bytes(trained, mini, tmp_path):
    done = run_tool(
        "test", CONFIG, str(trained / "q2"), "--quality", "2", "--out", str(tmp_path / "q2.json"),
        "--cfg-options", *_options(mini),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "q2.json").read_text())
    assert record["point"]["quality"] == 2
    assert len(record["num_bytes"]) == 4
    bpp = sum(8 * b / p for b, p in zip(record["num_bytes"], record["num_pixels"], strict=True)) / 4
    assert record["point"]["bpp"] == pytest.approx(bpp)
    assert {"det_mAP", "psnr"} <= set(record["point"]["metrics"])
    assert "bpp" in done.stdout


def test_what_was_trained_codes_pictures(trained, mini, tmp_path):
    checkpoint = ["--transmitter", str(trained / "q3")]
    coded, back = tmp_path / "coded", tmp_path / "back"
    done = run_tool("codec", "encode", str(mini / "val"), "-o", str(coded), *checkpoint)
    assert done.returncode == 0, done.stderr
    assert len(list(coded.glob("*.vcm"))) == 4
    assert "bpp" in done.stdout
    done = run_tool("codec", "decode", str(coded), "-o", str(back), *checkpoint)
    assert done.returncode == 0, done.stderr
    assert len(list(back.glob("*.png"))) == 4
    other = ["--transmitter", str(trained / "q2")]
    _fails(
        run_tool("codec", "decode", str(coded), "-o", str(back), *other),
        "was made by transmitter",
    )


def _fails(done, *words):
    assert done.returncode == 1, done.stdout + done.stderr
    message = done.stderr.strip().splitlines()
    told = "\n".join(line for line in message if "Error: " in line or line.startswith("  "))
    assert "Traceback" not in done.stderr, done.stderr
    for word in words:
        assert word in done.stderr, (word, told)


def test_without_coco_it_says_what_to_put_where():
    _fails(
        run_tool("train", "configs/stage1_det.py"),
        "data/coco/annotations/instances_train2017.json",
        "weights/",
        "vcm-mt prepare",
    )


def test_no_such_config():
    _fails(run_tool("train", "configs/nowhere.py"), "no config at configs/nowhere.py")


def test_quality_out_of_range(mini):
    done = run_tool("train", CONFIG, "--quality", "99", "--cfg-options", *_options(mini))
    _fails(done, "quality 99 is out of range", "levels 1 to ")


def test_a_config_of_stage_2_without_its_stage_1(tmp_path):
    options = ["--dry-run", "--cfg-options", f"stage1={tmp_path}/none"]
    _fails(run_tool("train", "configs/mini/stage2_det.py", *options), "none: train it first")


def test_a_checkpoint_between_summed_gradients(mini, tmp_path):
    options = [*_options(mini), "optim_wrapper.main.accumulative_counts=3"]
    done = run_tool("train", "configs/mini/stage1_det.py", "--quality", "3",
                    "--work-dir", str(tmp_path), "--cfg-options", *options)  # fmt: skip
    _fails(done, "a multiple of 3")


def test_lambda_out_of_range(mini, tmp_path):
    done = run_tool(
        "train", CONFIG, "--work-dir", str(tmp_path),
        "--cfg-options", *_options(mini, **{"levels.0.lmbda": "1.2"}),
    )  # fmt: skip
    _fails(done, "lambda must lie in [0, 1]")


def test_an_annotation_file_that_is_none(mini, tmp_path):
    broken = tmp_path / "mini"
    shutil.copytree(mini, broken)
    (broken / "annotations" / "train.json").write_text('{"info": 1}')
    done = run_tool(
        "train", CONFIG, "--work-dir", str(tmp_path / "w"), "--cfg-options", *_options(broken)
    )
    _fails(done, "train.json", "not in COCO format")


def test_annotations_of_other_classes(mini, tmp_path):
    broken = tmp_path / "mini"
    shutil.copytree(mini, broken)
    path = broken / "annotations" / "train.json"
    data = json.loads(path.read_text())
    for category in data["categories"]:
        category["name"] = "cat"
    path.write_text(json.dumps(data))
    done = run_tool(
        "train", CONFIG, "--work-dir", str(tmp_path / "w"), "--cfg-options", *_options(broken)
    )
    _fails(done, "train.json", "digit_0")


def test_an_unreadable_picture_is_named(mini, tmp_path):
    broken = tmp_path / "mini"
    shutil.copytree(mini, broken)
    (broken / "train" / "000003.bmp").write_bytes(b"no picture")
    done = run_tool(
        "train", CONFIG, "--work-dir", str(tmp_path / "w"), "--cfg-options", *_options(broken)
    )
    _fails(done, "000003.bmp", "not a readable picture")


def test_a_checkpoint_of_another_architecture(trained, mini):
    done = run_tool(
        "test",
        CONFIG,
        str(trained / "q3"),
        "--cfg-options",
        *_options(mini, **{"model.codec.N": "16"}),
    )
    _fails(done, "another architecture")


def test_a_level_after_one_of_another_codec(trained, mini, tmp_path):
    shutil.copytree(trained / "q3", tmp_path / "q3")
    options = _options(mini, **{"model.codec.M": "16"})
    done = run_tool("train", CONFIG, "--quality", "2", "--work-dir", str(tmp_path),
                    "--cfg-options", *options)  # fmt: skip
    _fails(done, "another codec", "'M': 12", "'M': 16")


def test_no_checkpoint(mini, tmp_path):
    done = run_tool("test", CONFIG, str(tmp_path), "--cfg-options", *_options(mini))
    _fails(done, "no checkpoint in")


@pytest.fixture
def without_weights(tmp_path):
    """The config that ``trained`` is of, with a detector of random weights."""
    config = tmp_path / "config.py"
    random = "model = dict(tasks=dict(det=dict(checkpoint=None)))"
    config.write_text(f'_base_ = "{ROOT}/{CONFIG}"\n{random}\n')
    return config


def test_a_transmitter_that_takes_its_time(trained, mini, tmp_path, without_weights):
    config = without_weights
    source = str(sorted((mini / "val").glob("*.bmp"))[0])
    given = ["encode", source, "--transmitter", str(trained / "q3"), "--refine", "1"]
    done = run_tool("codec", *given, "--refine-config", str(config), "-o", str(tmp_path / "a.vcm"))
    assert done.returncode == 0, done.stderr
    done = run_tool("codec", "decode", str(tmp_path / "a.vcm"), "-o", str(tmp_path / "a.png"),
                    "--transmitter", str(trained / "q3"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert run_tool("codec", *given, "-o", str(tmp_path / "b.vcm")).returncode == 2
    other = ["--refine-config", "configs/mini/stage2_det.py", "-o", str(tmp_path / "b.vcm")]
    _fails(run_tool("codec", *given, *other), "stage2_det.py is not a config of stage 1")


@pytest.mark.slow
def test_curves_of_a_transmitter_that_takes_its_time(trained, mini, tmp_path, without_weights):
    config, receivers = without_weights, "configs/mini/stage2_det.py"
    data = [
        f"test_dataloader.dataset.data_root={mini}",
        f"evaluators.det.ann_file={mini}/annotations/val.json",
    ]
    done = run_tool(
        "rp_curve", receivers, "--curve", f"ours={trained}", "--quality", "3", "--task", "det",
        "--out", str(tmp_path / "rp"), "--refine", "1", "--refine-config", str(config),
        "--resamples", "0", "--samples", "1", "--cfg-options", *data, "tasks.det.checkpoint=None",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    curves = json.loads((tmp_path / "rp" / "rp_points.json").read_text())["curves"]
    assert curves["ours_refined"]["codec"]["refined"] == "1 steps through det"
    assert "refined" not in curves["ours"]["codec"]
    done = run_tool(
        "test", CONFIG, str(trained / "q3"), "--refine", "1", "--out", str(tmp_path / "out.json"),
        "--cfg-options", *_options(mini),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "out.json").read_text())["points"]["shared"]
    assert told["bpp"] == curves["ours_refined"]["points"][0]["bpp"]

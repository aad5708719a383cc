"""``vcm-mt dry-run``: a training is rehearsed, and nothing is written."""

from tests.conftest import small_options
from vcm_mt.cli.main import main


def test_a_level_of_stage_1(mini, tmp_path, capsys):
    options = [f"{key}={value}" for key, value in small_options(mini).items()]
    work_dir = tmp_path / "work"
    given = ["configs/mini/stage1_det.py", "--quality", "2", "3", "--work-dir", str(work_dir)]
    assert main(["dry-run", *given, "--cfg-options", *options]) == 0
    told = capsys.readouterr().out
    assert f"in {work_dir}/q3," in told
    assert told.endswith("ready to train\n")
    assert not work_dir.exists()


def test_a_config_of_stage_2_is_taken_too(tmp_path, capsys):
    given = ["configs/mini/stage2_det.py", "--cfg-options", f"stage1={tmp_path}/none"]
    assert main(["dry-run", *given]) == 1
    assert "none: train it first, `vcm-mt train CONFIG`" in capsys.readouterr().err


def test_a_folder_without_labels(mini, tmp_path, capsys):
    """What the detector finds in the originals is its truth."""
    options = small_options(mini) | {
        "model.tasks.det.checkpoint": "zoo://faster_rcnn",
        "model.tasks.det.truth": "own",
    }
    given = ["configs/mini/stage1_det.py", "--quality", "3", "--work-dir", str(tmp_path / "work")]
    given += ["--pictures", str(mini / "train"), str(mini / "val")]
    assert (
        main(["dry-run", *given, "--cfg-options", *(f"{k}={v}" for k, v in options.items())]) == 0
    )
    told = capsys.readouterr().out
    assert "train       6 pictures, 0 objects" in told
    assert told.endswith("ready to train\n")
    assert (
        main(
            [
                "dry-run",
                *given,
                "--cfg-options",
                *(f"{k}={v}" for k, v in small_options(mini).items()),
            ]
        )
        == 1
    )
    assert "task det needs annotations" in capsys.readouterr().err

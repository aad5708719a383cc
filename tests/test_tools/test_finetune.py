"""tools/finetune_decoder.py: receivers for the bitstream of a stage 1 that stays as it is."""

import importlib.util
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file

from tests.conftest import ROOT, run_tool, small_options
from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.pictures import read_picture
from vcm_mt.apis.refined import refining
from vcm_mt.apis.system import build_system
from vcm_mt.bitstream.container import unpack
from vcm_mt.engine.hooks import EntropyTablesHook
from vcm_mt.errors import BitstreamError, ConfigError
from vcm_mt.training.finetune import for_tasks, use_bitstreams

HUMAN = "configs/mini/stage2_human.py"
SEGM = "configs/mini/stage2_segm.py"


@pytest.fixture(scope="module")
def stage1(mini, tmp_path_factory):
    """A folder as tools/train.py leaves it: two levels, of untrained codecs."""
    folder = tmp_path_factory.mktemp("stage1")
    config = Config.fromfile("configs/mini/stage1_det.py")
    config.model.codec = {"arch": "MeanScaleHyperprior", "N": 8, "M": 12}
    config.model.tasks = {"people": {"type": "HumanTask"}}
    config.model.lmbda = 0.5
    for quality in (1, 2):
        torch.manual_seed(quality)
        config.model.quality = quality
        system = build_system(config)
        with torch.no_grad():  # so that the latent is not all zeros
            system.transmitter.g_a[-1].weight.mul_(8)
        checkpoint = {"meta": {}, "message_hub": {"log_scalars": {}, "runtime_info": {}}}
        EntropyTablesHook().before_save_checkpoint(SimpleNamespace(model=system), checkpoint)
        (folder / f"q{quality}").mkdir()
        torch.save(checkpoint, folder / f"q{quality}" / "iter_1.pth")
        (folder / f"q{quality}" / "last_checkpoint").write_text("/moved/since/iter_1.pth")
    return folder


def _arguments(mini, stage1, work_dir, *more, task="human", config=HUMAN, **options):
    small = {
        key: value
        for key, value in small_options(mini).items()
        if not key.startswith(("model", "levels", "val_eval", "test_eval"))
    }
    annotations = str(mini / "annotations" / "val.json")
    small |= {
        "evaluators.segm.ann_file": annotations,
        "evaluators.det.ann_file": annotations,
        "tasks.segm.checkpoint": "None",
        "tasks.det.checkpoint": "None",
        "default_hooks.checkpoint.max_keep_ckpts": "2",
    }
    return [
        "--task", *task.split(), "--config", config, "--stage1", str(stage1),
        "--work-dir", str(work_dir), *more,
        "--cfg-options", *(f"{key}={value}" for key, value in {**small, **options}.items()),
    ]  # fmt: skip


def _ran(name, arguments):
    done = run_tool(name, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def segm(mini, stage1, tmp_path_factory):
    """Receivers for a segmenter at both levels."""
    work_dir = tmp_path_factory.mktemp("segm")
    _ran("finetune_decoder", _arguments(mini, stage1, work_dir, task="segm", config=SEGM))
    return work_dir


@pytest.fixture(scope="module")
def light(mini, stage1, tmp_path_factory):
    """A LoRA receiver for people at the first level, trained from bitstreams."""
    work_dir = tmp_path_factory.mktemp("light")
    arguments = _arguments(mini, stage1, work_dir, "--quality", "1", "--lora", "2",
                           "--from-bitstreams", str(work_dir / "coded"))  # fmt: skip
    _ran("finetune_decoder", arguments)
    return work_dir


def _pictures(mini):
    pictures = [read_picture(path) for path in sorted((mini / "val").glob("*.bmp"))]
    return [*pictures, pictures[0][..., :70, :131]]


def test_the_bytes_are_stage_1s_and_every_receiver_takes_them(mini, stage1, segm, light):
    for quality in (1, 2):
        before = Transmitter.load(stage1 / f"q{quality}")
        after = Transmitter.load(segm / f"q{quality}")
        assert after.fingerprint == before.fingerprint
        receivers = [
            Receiver.load(stage1 / f"q{quality}"),
            Receiver.load(segm / f"q{quality}"),
            Receiver.load(segm / f"q{quality}" / "segm.safetensors"),
        ]
        if quality == 1:
            receivers.append(Receiver.load(light / "q1" / "human.safetensors", base=stage1 / "q1"))
        for picture in _pictures(mini):
            (data,) = before.encode_batch(picture)
            assert after.encode_batch(picture) == [data]
            shared, trained, file, *others = (r.decode_packets([unpack(data)]) for r in receivers)
            assert torch.equal(trained, file)
            assert not torch.equal(shared, trained)
            assert all(not torch.equal(shared, other) for other in others)


def test_one_ulp_of_theta_e_makes_other_bytes(mini, stage1, segm, tmp_path):
    checkpoint = torch.load(segm / "q1" / "iter_4.pth", weights_only=True)
    bias = checkpoint["state_dict"]["transmitter.entropy.h_s.0.bias"]
    bias[0] = torch.nextafter(bias[0], torch.tensor(9.0))
    torch.save(checkpoint, tmp_path / "moved.pth")
    before, moved = Transmitter.load(stage1 / "q1"), Transmitter.load(tmp_path / "moved.pth")
    for picture in _pictures(mini):
        assert moved.encode_batch(picture) != before.encode_batch(picture)
    (data,) = before.encode_batch(picture)
    with pytest.raises(BitstreamError, match="transmitter"):
        Receiver.load(tmp_path / "moved.pth").decode(data)


def test_one_table_for_every_receiver_on_one_stream(mini, stage1, segm, light, tmp_path):
    out = tmp_path / "table.json"
    files = [str(segm / "q1" / "segm.safetensors"), str(light / "q1" / "human.safetensors")]
    options = _arguments(mini, stage1, tmp_path)[8:]
    judged = ["--task", "det", "segm", "--out", str(out), *options]
    done = _ran("test", [SEGM, str(stage1 / "q1"), "--receiver", *files, *judged])
    record = json.loads(out.read_text())
    assert set(record["points"]) == {"shared", "segm", "human-light"}
    for point in record["points"].values():
        assert {"det_mAP", "det_AP50", "segm_mAP", "psnr", "ms_ssim"} <= set(point["metrics"])
    bpp = {point["bpp"] for point in record["points"].values()}
    pictures = record["points"]["shared"]["pictures"]
    sent, pixels = pictures["num_bytes"], pictures["num_pixels"]
    assert bpp == {8 * sum(sent) / sum(pixels)}
    for word in ("shared", "human-light", "MS-SSIM", f"{sum(sent)} bytes"):
        assert word in done.stdout


def test_resumed_equals_undisturbed(mini, stage1, segm, tmp_path):
    """From its second iteration on, as after a kill."""
    shutil.copytree(segm / "q1", tmp_path / "q1")
    (tmp_path / "q1" / "iter_4.pth").unlink()
    (tmp_path / "q1" / "segm.safetensors").unlink()
    (tmp_path / "q1" / "last_checkpoint").write_text(str(tmp_path / "q1" / "iter_2.pth"))
    arguments = _arguments(
        mini, stage1, tmp_path, "--quality", "1", "--resume", task="segm", config=SEGM
    )
    _ran("finetune_decoder", arguments)
    undisturbed, resumed = (
        load_file(folder / "q1" / "segm.safetensors") for folder in (segm, tmp_path)
    )
    assert all(torch.equal(value, resumed[name]) for name, value in undisturbed.items())


def test_from_bitstreams_is_as_from_pictures(mini, stage1, light, tmp_path):
    arguments = _arguments(mini, stage1, tmp_path, "--quality", "1", "--lora", "2")
    _ran("finetune_decoder", arguments)
    assert len(list((light / "coded").glob("*.vcm"))) == 6
    own, other = (load_file(f / "q1" / "human.safetensors") for f in (light, tmp_path))
    for name, value in own.items():
        assert torch.allclose(value, other[name], atol=1e-4), name


def test_only_mirroring_goes_with_bitstreams(tmp_path):
    for step, told in (
        ({"type": "mmdet.RandomCrop"}, "RandomCrop changes the bits"),
        ({"type": "mmdet.RandomFlip", "direction": ["horizontal", "vertical"]}, "RandomFlip in"),
    ):
        config = for_tasks(Config.fromfile(HUMAN), ["human"])
        config.train_dataloader.dataset.pipeline.insert(1, step)
        with pytest.raises(ConfigError, match=told):
            use_bitstreams(config, tmp_path, tmp_path)


@pytest.fixture
def both(tmp_path):
    """A config to refine through: two viewers, of whom one is called as stage 2's."""
    config = Config.fromfile("configs/mini/stage1_det.py")
    config.model.tasks = {name: {"type": "HumanTask"} for name in ("people", "human")}
    config.levels = [{"lmbda": 0.5}, {"lmbda": 0.6}]
    config.refiner = {"objective": "loss", "rate": 0.08}
    config.dump(tmp_path / "both.py")
    return tmp_path / "both.py"


@pytest.fixture(scope="module")
def human(mini, stage1, tmp_path_factory):
    """A receiver with a latent adapter for people at the second level."""
    work_dir = tmp_path_factory.mktemp("human")
    _ran("finetune_decoder", _arguments(mini, stage1, work_dir, "--quality", "2", "--adapter", "1"))
    return work_dir / "q2" / "human.safetensors"


def test_a_picture_is_refined_for_its_receivers(mini, stage1, human, light, both, tmp_path):
    picture = _pictures(mini)[0]
    shared = refining(both, stage1 / "q2", 2)
    own = refining(both, stage1 / "q2", 2, receivers=[human])
    assert {n: t.receiver for n, t in own.refiner.system.tasks.items()} == {
        "people": "shared", "human": "human",
    }  # fmt: skip
    assert own.fingerprint == shared.fingerprint
    assert own.refiner.record != shared.refiner.record
    (data,), (other,) = own.encode_batch(picture), shared.encode_batch(picture)
    assert data != other
    for receiver in (Receiver.load(stage1 / "q2"), Receiver.load(human)):  # both take it
        assert receiver.decode(data).shape == (*picture.shape[-2:], 3)
    for_light = refining(both, stage1 / "q1", 1, receivers=[light / "q1" / "human.safetensors"])
    for_shared = refining(both, stage1 / "q1", 1)
    assert not torch.equal(for_light.latents(picture), for_shared.latents(picture))
    coded = tmp_path / "a.vcm"
    source = sorted((mini / "val").glob("*.bmp"))[0]
    given = ["--transmitter", str(stage1 / "q2"), "--refine-receivers", str(human)]
    refine = ["--refine", "2", "--refine-config", str(both)]
    _ran("codec", ["encode", str(source), "-o", str(coded), *given, *refine])
    assert coded.read_bytes() == data
    assert run_tool("codec", "encode", str(source), "-o", str(coded), *given).returncode == 2


def test_a_deep_receivers_file_holds_all_of_it(mini, stage1, human):
    checkpoint, file = Receiver.load(human.parent), Receiver.load(human)
    assert file.record["depth"] == 1
    (data,) = Transmitter.load(stage1 / "q2").encode_batch(_pictures(mini)[0])
    assert (file.decode(data) == checkpoint.decode(data)).all()
    with torch.no_grad():
        file.synthesis.context[0].out.bias.add_(1)
    assert (file.decode(data) != checkpoint.decode(data)).any()
    again = _arguments(mini, stage1, human.parent.parent, "--quality", "2", "--resume")
    done = run_tool("finetune_decoder", *again)
    assert done.returncode == 1
    assert "another receiver (its depth)" in done.stderr


def test_refined_streams_are_measured_with_the_receivers_they_are_for(
    mini, stage1, human, both, tmp_path
):
    options = _arguments(mini, stage1, tmp_path)[8:]
    out = tmp_path / "table.json"
    refine = ["--refine", "1", "--refine-config", str(both), "--refine-own-receivers"]
    _ran("test", [SEGM, str(stage1 / "q2"), "--receiver", str(human), *refine,
                  "--task", "det", "--out", str(out), *options])  # fmt: skip
    table = json.loads(out.read_text())["points"]
    assert table["shared"]["bpp"] == table["human"]["bpp"]
    _ran("rp_curve", [SEGM, "--curve", f"ours={stage1},{human.parent.parent}", "--quality", "2",
                      *refine, "--task", "det", "--resamples", "0", "--out", str(tmp_path / "rp"),
                      *options])  # fmt: skip
    curves = json.loads((tmp_path / "rp" / "rp_points.json").read_text())["curves"]
    assert curves["ours_refined_human"]["points"][0]["bpp"] == table["human"]["bpp"]
    assert curves["ours_human"]["points"][0]["bpp"] != table["human"]["bpp"]
    told = curves["ours_refined"]["codec"]["refined"]
    assert told == "1 steps through human behind its own receiver, people"


def test_receivers_that_cannot_be_refined_for_are_named(stage1, segm, human, both):
    with pytest.raises(ConfigError, match="another transmitter"):
        refining(both, stage1 / "q1", 1, receivers=[human])
    with pytest.raises(ConfigError, match="a receiver for segm, and latents are"):
        refining(both, stage1 / "q2", 1, receivers=[segm / "q2" / "segm.safetensors"])
    with pytest.raises(ConfigError, match="both for human: give one"):
        refining(both, stage1 / "q2", 1, receivers=[human, human])


def test_a_light_receivers_file_is_small_and_needs_its_base(stage1, segm, light, mini, tmp_path):
    file, full = light / "q1" / "human.safetensors", segm / "q1" / "segm.safetensors"
    assert file.stat().st_size < full.stat().st_size / 4
    with pytest.raises(ConfigError, match="give its base"):
        Receiver.load(file)
    with pytest.raises(ConfigError, match="different transmitters"):
        Receiver.load(file, base=stage1 / "q2")
    with pytest.raises(ConfigError, match="another receiver"):
        Receiver.load(file, base=full)
    (data,) = Transmitter.load(stage1 / "q1").encode_batch(_pictures(mini)[0])
    (tmp_path / "one.vcm").write_bytes(data)
    out = tmp_path / "one.png"
    _ran("codec", ["decode", str(tmp_path / "one.vcm"), "-o", str(out), "--receiver", str(file),
                   "--base", str(stage1 / "q1")])  # fmt: skip
    assert out.is_file()
    merged = Receiver.load(file, base=stage1 / "q1")
    merged.save(tmp_path / "merged.safetensors")
    again = Receiver.load(tmp_path / "merged.safetensors")
    assert (again.decode(data) == merged.decode(data)).all()


@pytest.fixture
def finetune(monkeypatch, capsys):
    """Runs the tool in this process and gives what it said on failing."""
    spec = importlib.util.spec_from_file_location("finetune", ROOT / "vcm_mt/cli/finetune.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def _fails(arguments):
        monkeypatch.setattr(sys, "argv", ["finetune_decoder.py", *arguments])
        assert module.main() == 1
        return capsys.readouterr().err

    return _fails


def test_bad_input_is_told(mini, stage1, segm, light, tmp_path, finetune):
    def fails(*more, stage1=stage1, **kwargs):
        return finetune(_arguments(mini, stage1, tmp_path / "w", *more, **kwargs))

    assert "no stage 1 at" in fails(stage1=tmp_path / "nowhere")
    (tmp_path / "foreign.pth").write_bytes(b"no weights")
    assert "not a readable file" in fails(stage1=tmp_path / "foreign.pth")
    assert "no task pose, but det, segm, human" in fails(task="pose")
    assert "levels [1, 2], not [3]" in fails("--quality", "3")
    assert "levels [1], not [2]" in fails("--quality", "2", stage1=stage1 / "q1")
    shutil.copytree(segm, tmp_path / "w")
    again = fails("--resume", "--lora", "2")
    assert "another receiver (its tasks, rank)" in again
    shutil.rmtree(tmp_path / "w")
    assert "is for human viewers" in fails("--pictures", str(mini / "train"), task="det")
    assert "no config at" in fails(config="configs/none.py")
    pictures = tmp_path / "pictures"
    shutil.copytree(mini / "val", pictures)
    (pictures / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    told = fails("--quality", "1", "--pictures", str(pictures), "--from-bitstreams")
    assert "broken.jpg is not a readable picture" in told
    done = run_tool("test", SEGM, str(stage1 / "q2"), "--receiver",
                    str(segm / "q1" / "segm.safetensors"), "--task", "segm",
                    *_arguments(mini, stage1, tmp_path)[8:])  # fmt: skip
    assert done.returncode == 1
    assert "is for transmitter" in done.stderr
    done = run_tool("test", SEGM, str(stage1 / "q2"), "--quality", "1",
                    *_arguments(mini, stage1, tmp_path)[8:])  # fmt: skip
    assert done.returncode == 1
    assert "has level 2, not 1" in done.stderr
    coded = shutil.copytree(light / "coded", tmp_path / "coded")
    first = sorted(coded.glob("*.vcm"))[0]
    first.write_bytes(first.read_bytes()[:-3])
    written = Transmitter.load(stage1 / "q1")
    from vcm_mt.datasets.bitstreams import write_bitstreams

    train = sorted((mini / "train").glob("*.bmp"))
    write_bitstreams(written, train, mini / "train", coded, mirrored=False)
    assert first.read_bytes() == (light / "coded" / first.name).read_bytes()  # made anew


def test_people_need_no_annotations(mini, stage1, tmp_path):
    pictures = tmp_path / "pictures" / "deep"
    shutil.copytree(mini / "val", pictures)
    arguments = _arguments(
        mini, stage1, tmp_path / "w", "--quality", "2", "--from-bitstreams",
        "--pictures", str(pictures.parent), str(pictures),
    )  # fmt: skip
    done = _ran("finetune_decoder", arguments)
    assert "psnr_human" in done.stdout + done.stderr
    assert (tmp_path / "w" / "q2" / "bitstreams" / "deep").is_dir()
    record = Receiver.load(tmp_path / "w" / "q2" / "human.safetensors").record
    assert record["tasks"] == ["human"]
    assert record["training"]["iterations"] == 4
    assert record["quality"] == 2


@pytest.mark.slow
def test_two_processes_code_the_training_set_once(mini, stage1, light, tmp_path):
    folder = tmp_path / "coded"
    arguments = _arguments(mini, stage1, tmp_path / "two", "--quality", "1", "--from-bitstreams",
                           str(folder), "--launcher", "pytorch")  # fmt: skip
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [sys.executable, *launch, "tools/finetune_decoder.py", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    coded, one = (
        {path.relative_to(place): path.read_bytes() for path in place.rglob("*.vcm")}
        for place in (folder, light / "coded")
    )
    assert len(coded) >= 6
    assert coded == one
    assert Receiver.load(tmp_path / "two" / "q1" / "human.safetensors").record["name"] == "human"


def test_a_dry_run_of_a_detectors_receiver_without_annotations(mini, stage1, tmp_path):
    work_dir = tmp_path / "work"
    alone = {f"tasks.det.{k}": v for k, v in (("loss_weight", "0.0"), ("feature_background", "1"))}
    arguments = _arguments(
        mini, stage1, work_dir, "--dry-run", "--pictures", str(mini / "train"),
        task="det", config="configs/mini/stage2_det.py", **alone,
    )  # fmt: skip
    done = _ran("finetune_decoder", arguments)
    assert "train       6 pictures, 0 objects" in done.stdout
    assert f"in {work_dir}/q2," in done.stdout
    assert done.stdout.endswith("ready to train\n")
    assert not work_dir.exists()


def test_a_config_says_whose_receiver_it_trains(mini, stage1, tmp_path):
    _, _, *arguments = _arguments(mini, stage1, tmp_path / "work", "--dry-run", config=SEGM)
    done = _ran("finetune_decoder", arguments)
    assert "segm finds" in done.stdout
    _, config, _, _, *rest = arguments
    again = _ran("train", [config, *rest, f"stage1={stage1}"])  # hands it on
    assert "segm finds" in again.stdout
    assert f"in {tmp_path}/work/q2," in again.stdout
    assert not (tmp_path / "work").exists()
    plain = tmp_path / "plain.py"
    plain.write_text(f'_base_ = "{ROOT}/configs/_base_/stage2_mini.py"\n')
    done = run_tool("finetune_decoder", "--config", str(plain))
    assert done.returncode == 1
    assert "names no task: say --task, det or segm" in done.stderr
    assert run_tool("finetune_decoder").returncode == 2

"""model-index.yml and the metafiles: OpenMMLab's form, and the figures that were measured."""

from dev.metafiles import metafiles
from mmengine.fileio import load
from mmengine.hub.hub import _get_cfg_metainfo

from tests.conftest import ROOT
from vcm_mt.checkpoint import zoo_path


def test_the_files_are_what_the_script_writes():
    for path, text in metafiles().items():
        assert path.read_text(encoding="utf-8") == text, "run python tools/dev/metafiles.py"


def test_every_config_and_file_of_the_zoo_that_is_named_is_there():
    models = [
        model
        for name in load(ROOT / "model-index.yml")["Import"]
        for model in load(ROOT / name)["Models"]
    ]
    assert [one["Config"] for one in models if not (ROOT / one["Config"]).is_file()] == []
    shipped = {one["Weights"].removeprefix("zoo://") for one in models if "Weights" in one}
    assert shipped == {path.stem for path in zoo_path("x").parent.glob("*.safetensors")}


def test_mmengine_finds_a_measured_result():
    info = _get_cfg_metainfo(str(ROOT / "vcm_mt"), "mini/tasks/faster_rcnn.py")
    assert info["Weights"] == "zoo://faster_rcnn"
    assert 50 < info["Results"][0]["Metrics"]["box AP"] < 60

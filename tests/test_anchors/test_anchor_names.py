"""From a name on the command line to an anchor and its qualities."""

import subprocess
import sys

import pytest

from vcm_mt.anchors import (
    ANCHORS,
    AV1,
    AVIF,
    HEVC,
    JPEG,
    VVC,
    CompressAIModel,
    WebP,
    make_anchor,
    make_sweep,
)
from vcm_mt.errors import MeasurementError


class TestNames:
    def test_names_make_their_anchors(self):
        made = [make_anchor(name) for name in ("vvc", "hevc", "av1", "jpeg", "webp", "avif")]
        assert [type(one) for one in made] == [VVC, HEVC, AV1, JPEG, WebP, AVIF]
        assert make_anchor("vvc:slow").record.preset == "slow"
        assert make_anchor("hevc:fast").record.preset == "fast"
        assert isinstance(make_anchor("compressai:mbt2018-mean"), CompressAIModel)
        assert len({one.fingerprint for one in made}) == len(made)

    @pytest.mark.parametrize(
        "spec", ["", "h264", "VVC", "jpeg:90", "vtm:/usr/bin/vtm", "compressai", ":vvc", "vvc2:x"]
    )
    def test_unknown_names_list_the_known(self, spec):
        with pytest.raises(MeasurementError, match="unknown anchor") as caught:
            make_anchor(spec)
        for known in ANCHORS:
            assert known in str(caught.value)

    @pytest.mark.parametrize("spec", ["vvc:", "vvc:lazy", "hevc:lazy", "compressai:elic"])
    def test_unknown_arguments_list_the_known(self, spec):
        with pytest.raises(MeasurementError, match="choose one of"):
            make_anchor(spec)

    @pytest.mark.parametrize(
        "entry", ["vvc@64", "jpeg@0,50", "av1@22,640", "compressai:mbt2018-mean@9"]
    )
    def test_a_quality_that_a_codec_does_not_take_is_told_before_anything_is_coded(self, entry):
        with pytest.raises(MeasurementError, match="takes a quality of"):
            make_sweep(entry)

    def test_importing_does_not_import_compressai(self):
        code = "import sys, vcm_mt.anchors; print({'torch', 'compressai'} & set("
        done = subprocess.run(
            [sys.executable, "-c", code + "sys.modules))"], capture_output=True, check=True
        )
        assert done.stdout == b"set()\n"

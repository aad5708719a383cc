"""How VTM is called, by stand-ins; and the real one where its three variables are set."""

import os
import shutil

import pytest

from tests.test_anchors.helpers import psnr
from tests.test_anchors.vtm import VTM_VARIABLES
from vcm_mt.anchors import VTM
from vcm_mt.errors import AnchorError


class TestVTM:
    def test_record_holds_what_is_in_the_files_and_not_where_they_are(self, vtm_files, tmp_path):
        anchor = VTM(*vtm_files)
        assert anchor.record.version == "VTM 8.2" and "--ConformanceWindowMode=1" in (
            anchor.record.options
        )
        assert str(vtm_files[0].parent) not in str(anchor.record)
        elsewhere = [shutil.copy(path, tmp_path) for path in vtm_files]
        assert VTM(*elsewhere).fingerprint == anchor.fingerprint
        for path in elsewhere:
            with open(path, "a") as file:
                file.write("# changed\n")
            assert VTM(*elsewhere).fingerprint != anchor.fingerprint
            shutil.copy(vtm_files[elsewhere.index(path)], path)

    def test_leaves_nothing_behind(self, vtm_files, astronaut, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", None)
        anchor = VTM(*vtm_files)
        anchor.decode(anchor.encode(astronaut[:64, :64], 37), 64, 64)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("absent", range(3))
    def test_says_which_variable_to_set(self, vtm_files, monkeypatch, absent):
        for variable in VTM_VARIABLES:
            monkeypatch.delenv(variable, raising=False)
        given = [path if i != absent else None for i, path in enumerate(vtm_files)]
        with pytest.raises(AnchorError, match=f"set {VTM_VARIABLES[absent]}"):
            VTM(*given)
        monkeypatch.setenv(VTM_VARIABLES[absent], "/nowhere/at/all")
        with pytest.raises(AnchorError, match="no file /nowhere/at/all"):
            VTM(*given)

    def test_a_program_that_fails_is_quoted(self, vtm_files, astronaut, tmp_path):
        encoder, decoder, _ = vtm_files
        cfg = tmp_path / "other.cfg"
        cfg.write_text("Level : 4.1\n")
        with pytest.raises(AnchorError, match="64x64 at QP 37 .exit 1.*\n.*\n?.*option Profile"):
            VTM(encoder, decoder, cfg).encode(astronaut[:64, :64], 37)
        with pytest.raises(AnchorError, match="is not VTM's encoder"):
            VTM(decoder, decoder, cfg)
        with pytest.raises(AnchorError, match="can not start"):
            VTM(cfg, decoder, cfg)

    @pytest.mark.skipif(VTM_VARIABLES[0] not in os.environ, reason="VTM is not bundled")
    def test_real_vtm(self, astronaut):
        anchor = VTM()
        picture = astronaut[:33, 100:165]
        streams = [anchor.encode(picture, qp) for qp in (47, 27)]
        assert 50 < anchor.header_bytes(streams[0]) < len(streams[0]) < len(streams[1])
        assert psnr(picture, anchor.decode(streams[1], 33, 65)) > 33
        with pytest.raises(AnchorError, match="VTM failed when decoding"):
            anchor.decode(streams[1][:40], 33, 65)

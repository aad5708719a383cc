"""CompressAI's models as anchors, with random weights."""

import numpy as np
import pytest
import torch
from compressai.zoo.image import model_architectures, model_urls
from safetensors.torch import save_file

from tests.test_anchors.helpers import run
from vcm_mt.anchors import JPEG, CompressAIModel, make_sweep
from vcm_mt.anchors.learned import ARCHITECTURES
from vcm_mt.errors import AnchorError, MeasurementError


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Small models of CompressAI's with random weights, two levels each; the second is finer."""
    folder = tmp_path_factory.mktemp("weights")

    def make(arch, suffix=".pth"):
        paths = {}
        for level, spread in ((1, 1), (4, 20)):
            torch.manual_seed(0)
            sizes = (8,) if arch.startswith("cheng") else (8, 12)
            model = model_architectures[arch](*sizes)
            with torch.no_grad():
                # Latents of this spread: about so many symbols to choose from.
                gain = spread / model.g_a(torch.rand(1, 3, 64, 64)).std()
                for parameter in model.g_a[-1].parameters():
                    parameter.mul_(gain)
            paths[level] = folder / f"{arch}-{level}{suffix}"
            state = model.state_dict()
            if suffix == ".safetensors":
                save_file(state, paths[level])
            else:
                torch.save({"state_dict": state}, paths[level])
        return paths

    return make


def reconstruction(model, picture):
    """A model's own, 0..255: uncoded, from a picture padded as documented.

    An autoregressive model computes another one when it does not code: that one is coded.
    """
    height, width = picture.shape[:2]
    factor = model.downsampling_factor
    pad = ((0, -height % factor), (0, -width % factor), (0, 0))
    padded = np.pad(picture, pad, mode="edge").transpose(2, 0, 1)[None]
    x = torch.from_numpy(padded / 255).float()
    model.eval().update(force=True)
    with torch.no_grad():
        coded = hasattr(model, "context_prediction")
        out = model.decompress(**model.compress(x)) if coded else model(x)
    return out["x_hat"][0].permute(1, 2, 0).clamp(0, 1).numpy()[:height, :width] * 255


class TestCompressAI:
    @pytest.mark.parametrize(
        ("arch", "header", "height", "width"),
        [
            ("bmshj2018-factorized", 1, 65, 257),
            ("bmshj2018-hyperprior", 5, 65, 257),
            ("mbt2018-mean", 5, 65, 257),
            ("mbt2018", 5, 33, 41),  # slow: symbol by symbol
            ("cheng2020-anchor", 5, 33, 41),
        ],
    )
    def test_decodes_to_what_the_model_computes(
        self, weights, astronaut, arch, header, height, width
    ):
        picture = astronaut[:height, 100 : 100 + width]
        paths = weights(arch)
        anchor = CompressAIModel(arch, checkpoints=paths)
        assert anchor.qualities == (1, 4)
        sizes = []
        for level, path in paths.items():
            stream = anchor.encode(picture, level)
            decoded = anchor.decode(stream, height, width)
            assert decoded.shape == picture.shape and decoded.dtype == np.uint8
            state = torch.load(path, weights_only=True)["state_dict"]
            expected = reconstruction(model_architectures[arch].from_state_dict(state), picture)
            assert np.abs(decoded - expected).max() < 1 and decoded.std() > 1
            assert stream == anchor.encode(picture, level)
            assert anchor.header_bytes(stream) == header < len(stream)
            sizes.append(len(stream))
        assert sizes[0] < sizes[1]

    def test_bytes_do_not_hang_on_the_number_of_threads(self, weights, picture, tmp_path):
        anchor = CompressAIModel("mbt2018-mean", checkpoints=weights("mbt2018-mean"))
        before = torch.get_num_threads()
        try:
            streams = []
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                streams.append(anchor.encode(picture, 4))
                coded = run(anchor, [picture[:64, :64]] * 3, 4, tmp_path, processes=3)
                assert torch.get_num_threads() == threads
            assert len(set(streams)) == 1 and len({one.num_bytes for one in coded}) == 1
        finally:
            torch.set_num_threads(before)

    def test_record_changes_with_the_weights(self, weights):
        arch = "bmshj2018-factorized"
        paths = weights(arch, ".safetensors")
        one = CompressAIModel(arch, checkpoints=paths)
        assert one.fingerprint == CompressAIModel(arch, checkpoints=paths).fingerprint
        swapped = {1: paths[4], 4: paths[1]}
        assert one.fingerprint != CompressAIModel(arch, checkpoints=swapped).fingerprint
        assert str(paths[1]) not in str(one.record)
        zoo = [CompressAIModel(arch, metric) for metric in ("mse", "ms-ssim")]
        assert "446d5c7f" in str(zoo[0].record) and zoo[0].fingerprint != zoo[1].fingerprint
        assert "compressai 1" in one.record.version and "torch" in one.record.version

    def test_reads_safetensors(self, weights, picture):
        paths = weights("bmshj2018-factorized", ".safetensors")
        anchor = CompressAIModel("bmshj2018-factorized", checkpoints=paths)
        assert anchor.decode(anchor.encode(picture, 4), 65, 257).shape == picture.shape

    def test_takes_the_zoo_s_weights_by_compressai_s_loader(
        self, weights, picture, tmp_path, monkeypatch
    ):
        arch = "mbt2018-mean"
        paths = weights(arch)
        own = CompressAIModel(arch, checkpoints=paths)
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        for level, path in paths.items():  # the zoo's are published with their tables
            state = torch.load(path, weights_only=True)["state_dict"]
            model = model_architectures[arch].from_state_dict(state)
            model.update()
            published = tmp_path / f"{arch}-{level}-01234567.pth.tar"
            torch.save(model.state_dict(), published)
            monkeypatch.setitem(model_urls[arch]["mse"], level, published.as_uri())
        zoo = CompressAIModel(arch)
        assert zoo.encode(picture, 4) == own.encode(picture, 4)
        assert len(list((tmp_path / "hub" / "checkpoints").iterdir())) == 1

    def test_foreign_or_damaged_streams_are_one_clear_error(self, weights, picture):
        for arch in ("bmshj2018-factorized", "mbt2018-mean"):
            anchor = CompressAIModel(arch, checkpoints=weights(arch))
            stream = anchor.encode(picture, 4)
            damaged = [b"", stream[:3], stream[:-2], b"\2" + stream[1:], JPEG().encode(picture, 9)]
            if arch == "mbt2018-mean":
                damaged += [stream[:1] + b"\xff" + stream[2:], stream[:40], stream[:4] + b"\1"]
            for data_ in damaged:
                with pytest.raises(AnchorError, match=arch):
                    anchor.decode(data_, 65, 257)

    def test_weights_that_can_not_be_had(self, weights, picture, tmp_path, monkeypatch):
        arch = "bmshj2018-factorized"
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setitem(model_urls[arch]["mse"], 3, "http://127.0.0.1:9/none-01234567.pth.tar")
        with pytest.raises(AnchorError, match="could not be downloaded") as caught:
            CompressAIModel(arch).encode(picture, 3)
        for part in ("none-01234567", "checkpoints", str(tmp_path)):
            assert part in str(caught.value)
        with pytest.raises(AnchorError, match="no weights of level 2"):
            CompressAIModel(arch, checkpoints={2: tmp_path / "absent.pth"})
        foreign = tmp_path / "foreign.pth"
        foreign.write_bytes(b"not weights")
        for path in (foreign, weights("mbt2018-mean")[1]):
            with pytest.raises(AnchorError, match="holds no weights of bmshj2018-factorized"):
                CompressAIModel(arch, checkpoints={2: path}).encode(picture, 2)

    def test_refuses_what_the_zoo_lacks(self, weights, picture):
        with pytest.raises(MeasurementError, match="mbt2018-mean"):
            CompressAIModel("elic")
        with pytest.raises(MeasurementError, match="ms-ssim"):
            CompressAIModel("mbt2018", "lpips")
        with pytest.raises(MeasurementError, match="0 to 255"):
            CompressAIModel("mbt2018", checkpoints={256: "x"})
        assert CompressAIModel("cheng2020-attn").qualities == (1, 2, 3, 4, 5, 6)
        with pytest.raises(MeasurementError, match="takes a level of"):
            CompressAIModel("cheng2020-attn").encode(picture, 7)

    def test_own_weights_of_a_model_are_levels_in_the_order_of_their_files(self, weights):
        first, second = weights("bmshj2018-factorized").values()
        name, anchor, sweep = make_sweep(f"compressai:bmshj2018-factorized={first},{second}@2")
        assert (name, sweep) == ("compressai:bmshj2018-factorized", (2,))
        checkpoints = {1: first, 2: second}
        assert anchor.fingerprint == (
            CompressAIModel("bmshj2018-factorized", checkpoints=checkpoints).fingerprint
        )

    def test_every_model_of_the_zoo_with_weights_is_there(self):
        assert set(ARCHITECTURES) == set(model_urls)

"""Videos with predicted pictures, from pictures to files and back."""

import io
import json

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from tests.small_codec import write_codec
from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.decoding import decode_files
from vcm_mt.apis.encoding import encode_files, packets_of
from vcm_mt.apis.packing import pack
from vcm_mt.apis.sequences import VideoDecoder, VideoEncoder, decoded
from vcm_mt.bitstream.sequence import SequenceReader, SequenceWriter
from vcm_mt.checkpoint import read_record
from vcm_mt.cli.main import main
from vcm_mt.errors import BitstreamError, ConfigError, DataError

SIZE = (72, 100)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_codec(tmp_path_factory.mktemp("codec") / "iter_1.pth", 8, gains=(1.0, 2.0))


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(1)
    scene = np.asarray(
        Image.fromarray(rng.integers(0, 256, (12, 30, 3), np.uint8)).resize((160, SIZE[0]))
    )
    return [scene[:, n : n + SIZE[1]] for n in range(10)]


@pytest.mark.parametrize("quality", [1, 2])
def test_one_picture_at_a_time(checkpoint, pictures, quality, tmp_path):
    transmitter = Transmitter.load(checkpoint)
    encoder = VideoEncoder(transmitter, quality, key_interval=4)
    packets = [encoder.encode(picture) for picture in pictures]
    assert [packet.predicted for packet in packets].count(False) >= 3
    assert packets[1].predicted and len(packets[1].string) < len(packets[0].string)
    Receiver.load(checkpoint).save(tmp_path / "receiver.safetensors")
    first = VideoDecoder(Receiver.load(checkpoint))
    second = VideoDecoder(Receiver.load(tmp_path / "receiver.safetensors"))
    for picture, packet in zip(pictures, packets, strict=True):
        array = first.decode(packet)
        assert array.shape == picture.shape and np.array_equal(array, second.decode(packet))
        alone = Receiver.load(checkpoint).decode(transmitter.encode(picture, quality))
        assert np.abs(array.astype(int) - alone).mean() < 12  # another rounding


def test_a_film_becomes_a_file_and_pictures_again(checkpoint, pictures, tmp_path, capsys):
    film = tmp_path / "film.mkv"
    writer = imageio_ffmpeg.write_frames(
        str(film), (SIZE[1], SIZE[0]), fps=25, codec="ffv1", macro_block_size=1
    )
    writer.send(None)
    for picture in pictures:
        writer.send(np.ascontiguousarray(picture))
    writer.close()
    transmitter, receiver = Transmitter.load(checkpoint), Receiver.load(checkpoint)
    encode_files(transmitter, [film], tmp_path / "film.vcm", key_interval=4)
    reader = SequenceReader((tmp_path / "film.vcm").read_bytes())
    assert len(reader) == 10 and reader.whole and reader.header.prior
    decode_files(receiver, [tmp_path / "film.vcm"], tmp_path / "out")
    files = sorted((tmp_path / "out" / "film").glob("*.png"))
    known = dict(decoded(receiver, reader, range(10)))
    assert len(files) == 10
    assert all(np.array_equal(np.asarray(Image.open(f)), known[n]) for n, f in enumerate(files))
    assert [n for n, _ in decoded(receiver, reader, [3, 6, 9])] == [3, 6, 9]
    assert all(np.array_equal(p, known[n]) for n, p in decoded(receiver, reader, [3, 6, 9]))

    files[5].unlink()
    others = {f: f.stat().st_mtime_ns for f in files if f != files[5]}
    decode_files(receiver, [tmp_path / "film.vcm"], tmp_path / "out", resume=True)
    assert np.array_equal(np.asarray(Image.open(files[5])), known[5])
    assert all(f.stat().st_mtime_ns == time for f, time in others.items())
    assert main(["info", str(tmp_path / "film.vcm")]) == 0
    assert "key pictures" in capsys.readouterr().out


def test_a_damaged_picture_costs_those_up_to_the_next_key(checkpoint, pictures, tmp_path):
    transmitter, receiver = Transmitter.load(checkpoint), Receiver.load(checkpoint)
    file = io.BytesIO()
    writer = SequenceWriter(file)
    strings = []
    for (packet,) in packets_of(transmitter, pictures, key_interval=4):
        writer.write(packet)
        strings.append(packet.string)
    writer.close()
    at = file.getvalue().index(strings[5]) + 2
    data = bytearray(file.getvalue())
    data[at] ^= 1
    (tmp_path / "film.vcm").write_bytes(bytes(data))
    with pytest.raises(BitstreamError, match="3 of 10 pictures are lost"):
        decode_files(receiver, [tmp_path / "film.vcm"], tmp_path / "out")
    names = {int(path.stem) for path in (tmp_path / "out" / "film").glob("*.png")}
    assert names == {0, 1, 2, 3, 4, 8, 9}


def test_without_a_prior_each_picture_stands_by_itself(pictures, tmp_path):
    checkpoint = write_codec(tmp_path / "iter_1.pth", 0)
    transmitter = Transmitter.load(checkpoint)
    packets = [p for group in packets_of(transmitter, pictures) for p in group]
    assert len(packets) == 10 and not any(packet.predicted or packet.prior for packet in packets)
    with pytest.raises(ConfigError, match="no temporal prior"):
        VideoEncoder(transmitter)
    with pytest.raises(ConfigError, match="no temporal prior"):
        VideoDecoder(Receiver.load(checkpoint))


def test_receivers_from_before_the_prior_belong_to_the_transmitter(pictures, tmp_path):
    before = write_codec(tmp_path / "before.pth", 0)
    after = write_codec(tmp_path / "after.pth", 8)
    transmitter, receiver = Transmitter.load(after), Receiver.load(before)
    assert Transmitter.load(before).fingerprint == transmitter.fingerprint
    receiver.prior = transmitter.network.temporal
    encoder, decoder = VideoEncoder(transmitter), VideoDecoder(receiver)
    known = VideoDecoder(Receiver.load(after))
    for picture in pictures[:3]:
        packet = encoder.encode(picture)
        assert np.array_equal(decoder.decode(packet), known.decode(packet))


def test_a_packed_codec_keeps_its_prior(checkpoint, pictures, tmp_path):
    pack(checkpoint, tmp_path / "codec.safetensors")
    encoder = VideoEncoder(Transmitter.load(tmp_path / "codec.safetensors"))
    decoder = VideoDecoder(Receiver.load(tmp_path / "codec.safetensors"))
    packets = [encoder.encode(picture) for picture in pictures[:3]]
    assert packets[2].predicted
    assert all(decoder.decode(packet).shape == pictures[0].shape for packet in packets)


def test_what_is_refused(checkpoint, pictures, tmp_path):
    transmitter, receiver = Transmitter.load(checkpoint), Receiver.load(checkpoint)
    encoder = VideoEncoder(transmitter)
    key, predicted = (encoder.encode(picture) for picture in pictures[:2])
    with pytest.raises(DataError, match="one size: 72x90 after 72x100"):
        encoder.encode(pictures[0][:, :90])
    with pytest.raises(ConfigError, match="1 or more, not 0"):
        next(packets_of(transmitter, pictures, key_interval=0))
    decoder = VideoDecoder(receiver)
    with pytest.raises(BitstreamError, match="needs a key picture"):
        decoder.decode(predicted)
    with pytest.raises(BitstreamError, match="needs the pictures before it"):
        receiver.decode_packets([predicted])
    other = VideoDecoder(Receiver.load(write_codec(tmp_path / "other.pth", 12, gains=(1.0, 2.0))))
    with pytest.raises(BitstreamError, match="predicted by prior"):
        other.decode(key)
    decoder.decode(key)
    decoder.lose()
    with pytest.raises(BitstreamError, match="needs a key picture"):
        decoder.decode(predicted)


def test_a_receiver_of_before_the_prior_takes_it(checkpoint, pictures, tmp_path, monkeypatch):
    before = write_codec(tmp_path / "iter_0.pth", 0, gains=(1.0, 2.0))
    Receiver.load(before).save(tmp_path / "receiver.safetensors")
    film = tmp_path / "film.vcm"
    with film.open("wb") as file:
        writer = SequenceWriter(file)
        for packets in packets_of(Transmitter.load(checkpoint), pictures):
            for packet in packets:
                writer.write(packet)
        writer.close()
    given = ["decode", str(film), "-o", str(tmp_path), "--receiver"]
    given.append(str(tmp_path / "receiver.safetensors"))
    monkeypatch.setattr("sys.argv", ["vcm-mt", *given, "--prior", str(checkpoint), "--amp", "fp32"])
    main()
    decoder = VideoDecoder(Receiver.load(checkpoint))
    for number, packet in enumerate(SequenceReader(film.read_bytes())):
        seen = np.asarray(Image.open(tmp_path / "film" / f"{number:06}.png"))
        assert np.array_equal(seen, decoder.decode(packet))
    receiver = Receiver.load(before)
    with pytest.raises(ConfigError, match="has no temporal prior"):
        receiver.take_prior(before)
    other = write_codec(tmp_path / "iter_2.pth", 8)
    with pytest.raises(ConfigError, match="of another transmitter"):
        receiver.take_prior(other)


def test_a_prior_trained_on_a_packed_codec_leaves_its_streams(pictures, tmp_path, monkeypatch):
    """A training's checkpoint does not tell that its codec was packed; its kernels do."""
    packed = tmp_path / "packed.safetensors"
    mark = pack(write_codec(tmp_path / "iter_1.pth", 8, gains=(1.0, 2.0)), packed)
    record = {key: value for key, value in read_record(packed).items() if key != "packed"}
    network = Transmitter.load(packed).network
    state = {f"transmitter.{k}": v for k, v in network.state_dict().items()}
    shared = Receiver.load(packed).synthesis.state_dict()
    state |= {f"receivers.shared.{k}": v for k, v in shared.items()}
    trained = tmp_path / "iter_2.pth"
    torch.save({"meta": {"record": json.dumps(record)}, "state_dict": state}, trained)
    again = tmp_path / "again.safetensors"
    with monkeypatch.context() as patch:  # tables that are built anew may be others
        patch.setattr(type(network), "update_tables", lambda _: pytest.fail("built anew"))
        assert pack(trained, again) == mark
    first, second = (Transmitter.load(path) for path in (packed, again))
    assert first.encode(pictures[0], 2) == second.encode(pictures[0], 2)
    assert first.network.prior_mark == second.network.prior_mark

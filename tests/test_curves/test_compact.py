"""The compact file: the same figures as the JSON file's, in less space."""

import numpy as np
import pytest

from tests.test_curves.test_matches import scene
from vcm_mt.curves.bd_rate import bd_rate
from vcm_mt.curves.bootstrap import Bootstrap
from vcm_mt.curves.matches import Matches
from vcm_mt.curves.rp import Pictures, RPPoint
from vcm_mt.curves.rp_file import RPCurve, RPFile
from vcm_mt.errors import MeasurementError
from vcm_mt.report.results import published

PICTURES = 40


def point(quality, hidden, seed):
    """A point that finds all but some of a scene's objects, among many misses."""
    truth, found, ids = scene(7, PICTURES)
    rng = np.random.default_rng(seed)
    found = [one for one in found if rng.random() >= hidden]
    found += [
        {"image_id": int(rng.choice(ids)), "category_id": 10 * int(rng.integers(1, 4)),
         "bbox": [float(v) for v in rng.uniform(1, 50, 4)], "score": float(0.4 * rng.random())}
        for _ in range(500)
    ]  # fmt: skip
    psnr = rng.normal(30, 3, PICTURES)
    psnr[3] = np.nan
    pictures = Pictures(
        np.full(PICTURES, 97 * 131),
        rng.integers(900, 1100, PICTURES) * quality,
        np.full(PICTURES, 17),
        {"psnr": psnr},
        {"det_mAP": Matches.of(truth, found, "bbox", ids)},
    )
    scores = {name: float(pictures.score(name)[0]) for name in ("det_mAP", "psnr")}
    return RPPoint(quality, float(pictures.bpp()[0]), None, scores, pictures)


HIDDEN = (0.8, 0.5, 0.2, 0.0)
CODECS = {
    "vvc": {"role": "anchor"},
    "jpeg": {"role": "anchor"},
    "ours": {"role": "ours", "receiver": "shared"},
    "ours_human": {"role": "ours", "receiver": "human"},
}


@pytest.fixture(scope="module")
def found():
    curves = {
        name: RPCurve([point(q, HIDDEN[q - 1], 10 * q + n) for q in (1, 2, 3, 4)], codec=codec)
        for n, (name, codec) in enumerate(CODECS.items())
    }
    bare = RPPoint(1, 0.5, 0.4, {"det_mAP": float("nan")})
    return RPFile({**curves, "bare": RPCurve([bare])}, {"det_mAP": 55.0}, {"digest": "d"})


def test_compact_and_json_give_the_same_figures(found, tmp_path):
    for suffix in ("json", "npz"):
        found.save(tmp_path / f"points.{suffix}")
    whole, compact = (RPFile.load(tmp_path / f"points.{s}") for s in ("json", "npz"))
    assert (compact.originals, compact.data) == (whole.originals, whole.data)
    assert np.isnan(compact.points("bare")[0].metrics["det_mAP"])
    assert compact.points("bare")[0].pictures is None
    draws = Bootstrap(PICTURES, 200)
    for name in ("vvc", "ours"):
        assert whole.points(name) == compact.points(name)
        for one, other in zip(whole.points(name), compact.points(name), strict=True):
            for weights in (None, draws.weights):
                for headers in (True, False):
                    np.testing.assert_array_equal(
                        one.pictures.bpp(weights, headers), other.pictures.bpp(weights, headers)
                    )
                ap = one.pictures.score("det_mAP", weights)
                np.testing.assert_array_equal(ap, other.pictures.score("det_mAP", weights))
                assert ap.min() > 0 and ap.max() < 100
            near = other.pictures.fidelity["psnr"]
            np.testing.assert_allclose(one.pictures.fidelity["psnr"], near, atol=2e-4)
    rates = [
        bd_rate(file.points("vvc"), file.points("ours"), "det_mAP", bootstrap=draws)
        for file in (whole, compact)
    ]
    assert rates[0] == rates[1] and rates[0].bootstrap is not None
    assert rates[0].without_headers is not None


def test_it_is_smaller_and_the_same_each_time(found, tmp_path):
    for name in ("a.npz", "b.npz", "a.json"):
        found.save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert (tmp_path / "a.npz").stat().st_size < (tmp_path / "a.json").stat().st_size / 2


def test_what_is_published_keeps_every_score_and_the_matches_that_are_quoted(found):
    slim = published(found)
    for name, curve in found.curves.items():
        assert slim.points(name) == curve.points  # rates and scores
    kept = {n: bool(c.points[0].pictures.matches) for n, c in slim.curves.items() if n != "bare"}
    assert kept == {"vvc": True, "jpeg": False, "ours": True, "ours_human": False}


def test_more_than_a_column_holds_is_refused(found, tmp_path):
    big = found.points("vvc")[0].pictures
    big = Pictures(big.num_pixels, big.num_bytes, big.header_bytes - 18)
    with pytest.raises(MeasurementError, match=r"save a \.json file"):
        RPFile({"a": RPCurve([RPPoint(1, 0.1, pictures=big)])}).save(tmp_path / "a.npz")


def test_damage_is_told(found, tmp_path):
    path = tmp_path / "points.npz"
    found.save(path)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for content in (b"", b"no archive", data[: len(data) // 2]):
        path.write_bytes(content)
        with pytest.raises(MeasurementError, match="not a compact file"):
            RPFile.load(path)
    for at in rng.integers(0, len(data), 50):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        try:
            RPFile.load(path)  # a date that nobody reads may change
        except MeasurementError as error:
            assert "\n" not in str(error)

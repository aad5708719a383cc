"""Results of CompressAI and CompressAI-Vision, read as they write them."""

import json

import pytest

from vcm_mt.cli import bd_rate as command
from vcm_mt.curves.bd_rate import bd_rate
from vcm_mt.curves.rp_file import RPFile, load_points
from vcm_mt.errors import MeasurementError

#: Kodak, from CompressAI's results/image/kodak: vtm.json, compressai-mbt2018-mean_mse_cuda.json.
VTM = {
    "psnr-rgb": [26.14484539430146, 28.493021754424603, 31.199873720014093, 34.26153257289846,
                 37.419793158067485, 40.42444421698711, 43.505766973634486, 46.59176008512777],
    "ms-ssim-rgb": [0.8606081604957581, 0.9176909327507019, 0.9561077281832695, 0.9780782933036486,
                    0.988776795566082, 0.9938599988818169, 0.9969479044278463, 0.9986564020315806],
    "bpp": [0.04824490017361111, 0.11249542236328125, 0.24581654866536465, 0.4905454847547744,
            0.8748101128472224, 1.43084971110026, 2.3246070014105906, 3.6326090494791665],
}  # fmt: skip
MEAN_SCALE = {
    "psnr-rgb": [27.699473000769824, 29.35881842156732, 31.128916249986656, 32.95067519149061,
                 34.968296546935704, 36.911094917040515, 38.83751427361349, 40.633312667109166],
    "ms-ssim-rgb": [0.917841374874115, 0.943056824306647, 0.9614849934975306, 0.9752046515544256,
                    0.9835761388142904, 0.9892503246665001, 0.9930485412478447, 0.9953488161166509],
    "bpp": [0.12392171223958336, 0.19798109266493058, 0.3072441948784722, 0.46061197916666674,
            0.6616651746961806, 0.9144049750434027, 1.2342088487413194, 1.619089762369792],
}  # fmt: skip


def compressai(path, results, **more):
    times = [0.1] * len(results.get("bpp", ()))
    results = {**results, "encoding_time": times, "decoding_time": times, **more}
    path.write_text(json.dumps({"name": path.stem, "description": "", "results": results}))
    return str(path)


def test_compressais_own_files_give_its_bd_rate(tmp_path, capsys):
    anchor = compressai(tmp_path / "vtm.json", VTM)
    test = compressai(tmp_path / "mbt2018-mean.json", MEAN_SCALE)
    command.main(["--anchor", anchor, "--test", test, "--metric", "psnr"])
    assert "+21.28 %" in capsys.readouterr().out
    anchor, test = load_points(anchor), load_points(test)
    assert bd_rate(anchor, test, "psnr").value == pytest.approx(21.28, abs=0.005)
    assert set(test[0].metrics) == {"psnr", "ms_ssim"}  # times are no scores
    assert [point.quality for point in test] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_older_names_and_qualities_of_a_file(tmp_path):
    older = {"psnr": VTM["psnr-rgb"], "ms-ssim": VTM["ms-ssim-rgb"], "bpp": VTM["bpp"]}
    qualities = [47, 42, 37, 32, 27, 22, 17, 12]
    older = RPFile.load(compressai(tmp_path / "vtm.json", older, q=qualities))
    newer = load_points(compressai(tmp_path / "new.json", VTM))
    assert list(older.curves) == ["vtm"]
    assert [point.metrics for point in older.points()] == [point.metrics for point in newer]
    assert [point.quality for point in older.points()] == qualities


def test_kilobits_are_compared_with_kilobits_alone(tmp_path):
    rates = [300 * rate for rate in VTM["bpp"]]
    video = {"psnr-rgb": VTM["psnr-rgb"], "bitrate": rates, "mse-rgb": [1.0] * 8}
    times = {"encoding_time": [1.0] * 8, "decoding_time": [1.0] * 8}
    path = compressai(tmp_path / "video.json", video, **times)
    points = load_points(path)
    assert set(points[0].metrics) == {"psnr@kbps"}
    assert [point.bpp for point in points] == rates
    pictures = load_points(compressai(tmp_path / "vtm.json", VTM))
    with pytest.raises(MeasurementError, match="has no 'psnr'"):
        bd_rate(pictures, points, "psnr")


@pytest.mark.parametrize(
    ("results", "told"),
    [
        ({"psnr-rgb": [30.0]}, "no `bpp`, but"),
        ({"bpp": [0.1, 0.2], "psnr-rgb": [30.0]}, "differ in length"),
        ({"bpp": [0.1], "psnr-rgb": ["good"]}, "lists of numbers"),
        ({"bpp": 0.1, "psnr-rgb": [30.0]}, "lists of numbers"),
        ([], "no `bpp`, but"),
    ],
)
def test_a_result_that_is_none_says_why(results, told, tmp_path):
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"name": "own", "results": results}))
    with pytest.raises(MeasurementError, match=told) as caught:
        RPFile.load(path)
    assert str(path) in str(caught.value)


SUMMARY = """\
Dataset,qp,avg_bpp,end_accuracy,nn_part_1,encode,decode,inv_mse
mpeg-oiv6-detection,1,0.9,79.1,1.2,30.1,0.4,0.02
mpeg-oiv6-detection,2,0.4,77.9,1.2,22.8,0.3,0.01
"""
FINAL = """\
,Dataset,qp,bitrate (kbps),end_accuracy,encode
0,BasketballDrill,22,900.5,41.5,100
1,BasketballDrill,27,400.25,40.5,90
2,CLASS-C,0,800,39.5,80
"""


def test_compressai_visions_tables(tmp_path):
    (tmp_path / "summary.csv").write_text(SUMMARY)
    (tmp_path / "final_SFU.csv").write_text(FINAL)
    points = RPFile.load(tmp_path / "summary.csv").points("mpeg-oiv6-detection")
    assert [(p.quality, p.bpp) for p in points] == [(1, 0.9), (2, 0.4)]
    assert [p.metrics for p in points] == [{"end_accuracy": 79.1}, {"end_accuracy": 77.9}]
    video = RPFile.load(tmp_path / "final_SFU.csv")
    assert list(video.curves) == ["BasketballDrill", "CLASS-C"]
    assert video.points("CLASS-C")[0].metrics == {"end_accuracy@kbps": 39.5}
    assert [p.bpp for p in video.points("BasketballDrill")] == [900.5, 400.25]

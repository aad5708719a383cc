"""The table of one stream for all receivers tells every rate, the bad ones too."""

from vcm_mt.report.tasks_experiment import table


def rate(value, metric):
    return {"vvc": {"value": value, "metric": metric, "bootstrap": [value - 1, value + 1]}}


def test_own_and_shared_receivers():
    rates = {
        "pose": {
            "stage1_all_pose": rate(-30.0, "pose_mAP"),
            "stage1_all": rate(-20.0, "pose_mAP"),
        },
        "psnr": {"stage1_all_human": rate(140.0, "psnr")},
    }
    pose, people = (line.split("|")[1:4] for line in table(rates).splitlines()[2:])
    assert [cell.strip() for cell in pose[1:]] == [
        "-30.0 % [-31.0, -29.0]",
        "-20.0 % [-21.0, -19.0]",
    ]
    assert people[0].strip() == "PSNR (dB)" and people[2].strip() == "none"
    assert people[1].strip() == "+140.0 % [+139.0, +141.0]"

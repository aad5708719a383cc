"""The embedded figures: joints where they are drawn, and annotations in COCO's form."""

import hashlib
import json

import numpy as np
from PIL import Image

from vcm_mt.datasets.mini.figure_writer import SIGMAS, SKELETON, prepare_figures
from vcm_mt.datasets.mini.figures import JOINTS, PARTS, UNIT, Angles, draw_figure
from vcm_mt.datasets.mini.people import compose_people

SIZES = {"train": 2, "val": 2}


def drawn(angles, place=(128, 128), size=160):
    canvas = np.zeros((256, 256, 3), dtype=np.int32)
    colours = np.arange(1, 1 + len(PARTS))[:, None].repeat(3, 1) * 40
    figure = draw_figure(canvas, angles, (place[0] * UNIT, place[1] * UNIT), size, colours)
    return canvas, figure


def joint(figure, name):
    return figure.joints[JOINTS.index(name)] / UNIT


def test_joints_lie_in_their_limbs():
    angles = Angles(20, 100, 45, 60, 30, 20, 40, -30, 10)
    canvas, figure = drawn(angles)
    for (x, y), name in zip(figure.joints // UNIT, JOINTS, strict=True):
        assert figure.mask[y, x], name
    for part, name in (("head", "head"), ("left_arm", "left_wrist"), ("right_leg", "right_ankle")):
        x, y = joint(figure, name).astype(int)
        assert canvas[y, x, 0] == 40 * (1 + PARTS.index(part))


def test_angles_are_those_of_the_limbs():
    _, upright = drawn(Angles())
    _, raised = drawn(Angles(left_arm=90, right_arm=180))
    assert joint(upright, "left_wrist")[1] > joint(upright, "left_elbow")[1]
    assert joint(upright, "left_shoulder")[0] > joint(upright, "right_shoulder")[0]
    left = joint(raised, "left_wrist") - joint(raised, "left_shoulder")
    right = joint(raised, "right_wrist") - joint(raised, "right_shoulder")
    assert left[0] > 40 and abs(left[1]) < 0.2 and right[1] < -40 and abs(right[0]) < 0.2
    _, leaning = drawn(Angles(lean=90))
    assert joint(leaning, "head")[0] > 180 and abs(joint(leaning, "head")[1] - 128) < 0.2


def test_a_figure_moves_by_parts_of_a_pixel_and_is_cut_off():
    _, figure = drawn(Angles())
    canvas, beside = drawn(Angles(), (250, 128))
    assert (beside.joints - figure.joints == (122 * UNIT, 0)).all()
    assert beside.mask[:, 200:].any() and not canvas[:, :180].any()
    assert not drawn(Angles(), (600, 600))[1].mask.any()
    canvas = np.zeros((256, 256, 3), dtype=np.int32)
    colours = np.full((6, 3), 255)
    draw_figure(canvas, Angles(), (128 * UNIT + 4, 128 * UNIT), 160, colours)
    assert len(np.unique(canvas)) > 3  # soft edges


def test_the_same_seed_gives_the_same_figures(tmp_path):
    known = prepare_figures(tmp_path / "a", sizes=SIZES)
    assert prepare_figures(tmp_path / "b", sizes=SIZES) == known
    assert prepare_figures(tmp_path / "c", seed=1, sizes=SIZES) != known


def test_pixels_are_known():
    """Golden digest: on another machine a drawing routine that differs would show here."""
    picture = compose_people(0, "train", 0).picture
    assert hashlib.sha256(picture.tobytes()).hexdigest()[:16] == "d1b4242dc9e47a61"


def test_the_annotations_are_those_of_cocos_persons(figures):
    content = json.loads((figures / "annotations" / "train.json").read_text())
    (category,) = content["categories"]
    assert tuple(category["keypoints"]) == JOINTS and tuple(category["sigmas"]) == SIGMAS
    assert len(SIGMAS) == len(JOINTS)
    assert {n for bone in SKELETON for n in bone} == set(range(1, 14))
    for one in content["annotations"]:
        points = np.array(one["keypoints"]).reshape(13, 3)
        seen = points[:, 2] > 0
        assert one["num_keypoints"] == seen.sum() >= 6
        assert (points[seen, :2] > -1).all() and (points[seen, :2] < 256).all()
        assert not points[~seen].any()
        left, top, width, height = one["bbox"]
        assert min(left, top) >= 0 and left + width <= 256 and top + height <= 256
        inside = (points[seen, :2] > (left - 1, top - 1)) & (
            points[seen, :2] < (left + width, top + height)
        )
        assert inside.all()
    with Image.open(figures / "train" / content["images"][0]["file_name"]) as picture:
        assert picture.size == (256, 256)


def test_joints_behind_others_are_marked():
    marks = [one.visible for n in range(12) for one in compose_people(0, "train", n).people]
    assert {0, 1, 2} == set(np.concatenate(marks).tolist())

"""Tracking metrics against motmetrics and a HOTA written from its paper."""

import motmetrics
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from vcm_mt.curves.counts import Counts
from vcm_mt.curves.tracks import TRACK_METRICS, by_video, count_tracks
from vcm_mt.errors import MeasurementError

ALPHAS = np.arange(0.05, 0.99, 0.05)


def sequence(seed, frames=30, things=6):
    """Objects, and tracks with misses, swaps of identity, false tracks and empty frames."""
    rng = np.random.default_rng(seed)
    places, speeds = rng.uniform(0, 200, (things, 2)), rng.uniform(-3, 3, (things, 2))
    sizes = rng.uniform(20, 50, (things, 2))
    truth, found = [], []
    for t in range(frames):
        objects, tracks = [], []
        for n in range(things):
            if n == 3 and t < 10:
                continue  # born later
            box = np.concatenate([places[n] + t * speeds[n], sizes[n]])
            objects.append({"instance_id": n + 1, "category_id": 1, "bbox": box.tolist()})
            number = n + 1
            if n in (0, 1) and t > frames // 2:
                number = 2 - n  # swapped
            if n == 2 and t > 20:
                number = 50
            if rng.random() < 0.85:
                seen = (box + rng.normal(0, 2, 4)).tolist()
                tracks.append({"instance_id": number, "category_id": 1, "bbox": seen})
        if t % 5 == 0:
            tracks.append({"instance_id": 99, "category_id": 1, "bbox": [10, 10, 20, 20]})
        truth.append([] if t == 7 else objects)
        found.append([] if t in (3, 4) else tracks)
    return truth, found


def overlaps(objects, tracks):
    boxes = [np.array([one["bbox"] for one in part]).reshape(-1, 4) for part in (objects, tracks)]
    if not all(map(len, boxes)):
        return np.zeros((len(boxes[0]), len(boxes[1])))
    return 1 - motmetrics.distances.iou_matrix(*boxes, max_iou=1)


def hota(truth, found):
    """Higher order tracking accuracy (Luiten et al. 2021), from its equations."""
    ids = [
        sorted({one["instance_id"] for frame in part for one in frame}) for part in (truth, found)
    ]
    place = [{number: n for n, number in enumerate(own)} for own in ids]
    potential = np.zeros((len(ids[0]), len(ids[1])))
    counts = [np.zeros(len(own)) for own in ids]
    frames = []
    for objects, tracks in zip(truth, found, strict=True):
        rows = [place[0][one["instance_id"]] for one in objects]
        columns = [place[1][one["instance_id"]] for one in tracks]
        similar = overlaps(objects, tracks)
        total = similar.sum(0)[None] + similar.sum(1)[:, None] - similar
        potential[np.ix_(rows, columns)] += np.where(
            total > 0, similar / np.maximum(total, 1e-9), 0
        )
        counts[0][rows] += 1
        counts[1][columns] += 1
        frames.append((rows, columns, similar))
    alignment = potential / (counts[0][:, None] + counts[1][None] - potential)
    scores = []
    for alpha in ALPHAS:
        matches, right = np.zeros_like(potential), 0
        for rows, columns, similar in frames:
            chosen = linear_sum_assignment(-alignment[np.ix_(rows, columns)] * similar)
            for row, column in zip(*chosen, strict=True):
                if similar[row, column] >= alpha - 1e-9:
                    matches[rows[row], columns[column]] += 1
                    right += 1
        union = counts[0][:, None] + counts[1][None] - matches
        association = (matches * matches / np.maximum(union, 1)).sum() / max(right, 1)
        detection = right / (counts[0].sum() + counts[1].sum() - right)
        scores.append(np.sqrt(association * detection))
    return 100 * np.mean(scores)


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_motmetrics_and_the_papers(seed):
    truth, found = sequence(seed)
    counts = count_tracks([truth], [found])
    judge = motmetrics.MOTAccumulator(auto_id=True)
    for objects, tracks in zip(truth, found, strict=True):
        boxes = [[one["bbox"] for one in part] for part in (objects, tracks)]
        judge.update(
            [one["instance_id"] for one in objects],
            [one["instance_id"] for one in tracks],
            motmetrics.distances.iou_matrix(*boxes, max_iou=0.5),
        )
    known = motmetrics.metrics.create().compute(judge, metrics=["mota", "idf1"]).iloc[0]
    assert counts["MOTA"].score()[0] == pytest.approx(100 * known["mota"], abs=1e-9)
    assert counts["IDF1"].score()[0] == pytest.approx(100 * known["idf1"], abs=1e-9)
    assert counts["HOTA"].score()[0] == pytest.approx(hota(truth, found), abs=1e-6)


def test_videos_add_up_and_can_be_weighted():
    videos = [sequence(seed) for seed in range(3)]
    counts = count_tracks(*map(list, zip(*videos, strict=True)))
    for name, one in counts.items():
        twice = count_tracks([videos[n][0] for n in (0, 2, 2)], [videos[n][1] for n in (0, 2, 2)])
        weights = np.array([[1, 0, 2.0], [1, 1, 1]])
        assert one.score(weights)[0] == pytest.approx(twice[name].score()[0])
        assert one.score(weights)[1] == one.score()[0]


def test_a_track_matches_its_own_category_alone():
    truth, found = sequence(0)
    wrong = [[{**one, "category_id": 2} for one in frame] for frame in found]
    counts = count_tracks([truth], [wrong])
    assert counts["HOTA"].score()[0] == 0
    assert counts["IDF1"].score()[0] == 0
    assert counts["MOTA"].score()[0] < 0


def test_without_objects_there_is_no_figure():
    counts = count_tracks([[[], []]], [[[], []]])
    assert all(np.isnan(one.score()[0]) for one in counts.values())


def test_counts_as_text():
    counts = count_tracks(*([part] for part in sequence(1)))
    for one in counts.values():
        again = Counts.from_text(one.to_text())
        assert again.score() == one.score() and again.num_units == 1
    assert set(counts) == set(TRACK_METRICS)
    for text in ("", "[]", '{"metric": "HOTA", "counts": [1]}', '{"metric": "x", "counts": []}'):
        with pytest.raises(MeasurementError, match="damaged counts"):
            Counts.from_text(text)


def test_entries_are_sorted_by_frame():
    entries = [{"image_id": n, "of": place} for place, n in enumerate((4, 2, 4))]
    assert by_video(entries, [[2, 3], [4]]) == [[[entries[1]], []], [[entries[0], entries[2]]]]

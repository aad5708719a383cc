# The experiment of `make bench-tasks`: one transmitter, trained through five networks; each
# embedded set is coded once, and every receiver decodes the same bytes for its task.
_base_ = "../mini/stage1_all.py"

stage1_config = "configs/mini/stage1_all.py"
receivers = dict(
    det="configs/mini/stage2_det.py",
    segm="configs/mini/stage2_segm.py",
    sem="configs/mini/stage2_sem.py",
    track="configs/mini/stage2_track.py",
    pose="configs/mini/stage2_pose.py",
    action="configs/mini/stage2_action.py",
    human="configs/mini/stage2_human.py",
)
receiver_iters = 600
_levels = [1, 2, 3, 4, 6]
parts = dict(
    pictures=dict(
        judge="configs/mini/stage2_sem.py",
        pictures=150,
        tasks=["det", "segm", "sem"],
        receivers=["det", "segm", "sem", "human"],
        people=True,
        levels=_levels,
        anchors=["vvc"],
    ),
    videos=dict(
        judge="configs/mini/stage2_track.py",
        pictures=288,  # twelve videos
        tasks=["track"],
        receivers=["track"],
        levels=_levels,
        anchors=["vvc-intra@47,42,37,32,27"],
    ),
    figures=dict(
        judge="configs/mini/stage2_pose.py",
        pictures=150,
        tasks=["pose"],
        receivers=["pose"],
        levels=_levels,
        anchors=["vvc"],
    ),
    motions=dict(
        judge="configs/mini/stage2_action.py",
        pictures=2560,  # 160 clips, all
        tasks=["action"],
        receivers=["action"],
        levels=_levels,
        anchors=["vvc-intra@47,42,37,32"],
    ),
)
resamples = 1000

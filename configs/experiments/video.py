# The experiment of `make bench-video`: tracking and detection on the embedded videos, by one codec
# whose frames are coded each by itself, or predicted.
_base_ = "../mini/stage1_track.py"

judge = "configs/mini/stage2_track.py"
videos = dict(
    stage1="configs/mini/stage1_track.py",
    prior="configs/mini/stage1_track_video.py",
    receivers=dict(track="configs/mini/stage2_track.py"),
    levels=[1, 2, 3, 4, 5, 6],
    tasks=["track", "det", "byte"],
    key_interval=60,
    # What the page plays: a video of each kind of camera, at one level and anchors of its rate.
    films=dict(videos=[0, 1, 2], levels=[3], receiver="track", anchors=["vvc-ra"]),
)
# The first one is what figures are first compared with: the paper codes each picture by itself.
anchors = [
    "vvc-intra@47,42,37,32,27",
    "vvc-ra@47,42,37,32,27",
    "vvc-ld@47,42,37,32,27",
    "hevc-ra@47,42,37,32",
]
samples = 0  # single frames are not what is sent: the page has films
resamples = 1000
report = dict(
    title="Tracking on the embedded videos",
    notes=["Videos are coded whole; rates count all their bytes. Intervals resample videos."],
)

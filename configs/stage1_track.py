# Stage 1 for tracking on MOT17: mbt2018-mean through QDTrack, on clips of two frames.
#   vcm-mt train configs/stage1_track.py --quality 1 2 3 4 5 6
_base_ = ["_base_/mot17.py", "_base_/mot17_tasks.py", "_base_/stage1_paper.py"]

model = dict(tasks=dict(track={{_base_.mot17_tasks.track}}))
val_evaluator = [{{_base_.mot17_evaluators.coding}}, {{_base_.mot17_evaluators.track}}]
test_evaluator = val_evaluator

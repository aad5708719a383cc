# Stage 1 for action recognition on Kinetics-400: mbt2018-mean through SlowFast.
#   vcm-mt train configs/stage1_action.py --quality 1 2 3 4 5 6
_base_ = ["_base_/kinetics400.py", "_base_/stage1_paper.py"]

model = dict(tasks=dict(action={{_base_.kinetics_tasks.action}}))
val_evaluator = [{{_base_.kinetics_evaluators.coding}}, {{_base_.kinetics_evaluators.action}}]
test_evaluator = val_evaluator

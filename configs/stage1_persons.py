# Stage 1 for the actions of persons on AVA: mbt2018-mean through SlowFast.
#   vcm-mt train configs/stage1_persons.py --quality 1 2 3 4 5 6
_base_ = ["_base_/ava.py", "_base_/stage1_paper.py"]

model = dict(tasks=dict(persons={{_base_.ava_tasks.persons}}))
val_evaluator = [{{_base_.ava_evaluators.coding}}, {{_base_.ava_evaluators.persons}}]
test_evaluator = val_evaluator

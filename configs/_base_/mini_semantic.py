# The embedded set with maps of its classes and the background, made of the objects' masks.
_base_ = "mini_coco.py"

load_map = dict(type="vcm_mt.SemanticMap", background=12)
maps_pipeline = [
    {{_base_.load_picture}},
    {{_base_.load_annotations}},
    load_map,
    {{_base_.pack}},
]
train_dataloader = dict(dataset=dict(pipeline=maps_pipeline))
# A segmenter is judged by its picture's map.
val_dataloader = dict(dataset=dict(pipeline=maps_pipeline))
test_dataloader = val_dataloader

# The embedded set with maps of its classes and the background, made of the objects' masks.
_base_ = "mini_coco.py"

load_map = dict(type="vcm_mt.SemanticMap", background=12)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            {{_base_.load_picture}},
            {{_base_.load_annotations}},
            load_map,
            {{_base_.pack}},
        ]
    )
)
# A segmenter is judged by its picture's map.
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            {{_base_.load_picture}},
            {{_base_.load_annotations}},
            load_map,
            {{_base_.pack}},
        ]
    )
)
test_dataloader = val_dataloader

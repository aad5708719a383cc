# Stage 1 on photographs without labels: what YOLOX-nano finds in the originals is the truth of its
# loss, and its feature maps are compared, on finds five times as much as elsewhere. Any folder of
# photographs will do; each is cropped, scaled and recoloured anew every time it is seen.
#   vcm-mt train configs/photos/stage1_det_own.py --pictures DIR
_base_ = "stage1_det.py"

model = dict(tasks=dict(det=dict(truth="own", score=0.25, feature_background=0.2)))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            {{_base_.load_picture}},
            {{_base_.resize}},
            {{_base_.crop}},
            {{_base_.flip}},
            {{_base_.recolour}},
            {{_base_.pack}},
        ]
    )
)

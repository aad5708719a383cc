# Actions on HiEve's sequences, in the annotated boxes: SlowFast R50 8x8, fine-tuned to HiEve's 14
# actions by oneself. AVA's 80 are others: its published network cannot be judged by them.
#   pip install --no-deps mmaction2==1.2.0 einops "importlib_metadata<9" zipp
_base_ = "_base_/sequences.py"
inputs_hint = """
Put HiEve's sequences with their labels into data/hieve (docs/mpeg.md), then
    vcm-mt prepare hieve
The network is mmaction2's SlowFast R50 8x8 of AVA fine-tuned to HiEve's 14 actions, which nobody
publishes: put yours at weights/hieve_slowfast_r50.pth.
"""
ann_file = "data/hieve/prepared/actions.json"
test_dataloader = dict(
    dataset=dict(
        data_root="data/hieve/",
        ann_file="prepared/actions.json",
        metainfo=dict(
            classes=(
                *("walking-alone", "walking-together", "running-alone", "running-together"),
                *("riding", "sitting-talking", "sitting-alone", "queuing", "standing-alone"),
                *("gathering", "fighting", "fall-over", "walking-up-down-stairs"),
                "crouching-bowing",
            )
        ),
        pipeline=[
            dict(type="vcm_mt.LoadPicture"),
            dict(type="vcm_mt.LoadAnnotations", with_bbox=True),
            dict(type="vcm_mt.PackFrame"),
        ],
    )
)
model = dict(
    tasks=dict(
        action=dict(
            type="MMActionPersonsTask",
            recognizer="vcm_mt::mpeg/tasks/hieve_slowfast.py",
            checkpoint="weights/hieve_slowfast_r50.pth",
        )
    )
)
test_evaluator = [dict(type="TaskFrameActionMetric", task="action", ann_file=ann_file)]
ctc = dict(name="HiEve actions", scores=["action_fmAP"], anchor="vvc-ra")

# Pictures of MPEG's test conditions, as `vcm-mt prepare NAME` leaves them.
default_scope = "vcm_mt"
meta_keys = ("img_id", "img_path", "ori_shape", "img_shape")

test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    worker_init_fn=dict(type="vcm_mt.end_with_parent"),
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="vcm_mt.CheckedCocoDataset",
        data_prefix=dict(img=""),
        test_mode=True,
        pipeline=[
            dict(type="vcm_mt.LoadPicture"),
            dict(type="mmdet.PackDetInputs", meta_keys=meta_keys),
        ],
    ),
)

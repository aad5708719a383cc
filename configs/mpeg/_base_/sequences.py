# Sequences of MPEG's test conditions, as `vcm-mt prepare NAME` leaves them: frames in order.
default_scope = "vcm_mt"

test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    worker_init_fn=dict(type="vcm_mt.end_with_parent"),
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="vcm_mt.VideoDataset",
        data_prefix=dict(img=""),
        test_mode=True,
        pipeline=[dict(type="vcm_mt.LoadPicture"), dict(type="vcm_mt.PackFrame")],
    ),
)

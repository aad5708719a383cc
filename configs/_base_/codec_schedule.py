# Runtime shared by every training of a codec: optimisers, hooks, TensorBoard, terminal.
optim_wrapper = dict(
    constructor="CodecOptimWrapperConstructor",
    main=dict(
        type="FiniteOptimWrapper",
        optimizer=dict(type="Adam", lr=1e-4),
        clip_grad=dict(max_norm=1.0, norm_type=2),
    ),
    aux=dict(type="FiniteOptimWrapper", optimizer=dict(type="Adam", lr=1e-3)),
)

val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

model_wrapper_cfg = dict(type="vcm_mt.VCMDistributedDataParallel", broadcast_buffers=False)

default_scope = "vcm_mt"
default_hooks = dict(
    runtime_info=dict(type="MeanInfoHook"),
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="AtomicCheckpointHook", by_epoch=False, interval=500, max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_hooks = [
    dict(type="PrecisionHook"),
    dict(type="FiniteStepsHook"),
    dict(type="EntropyTablesHook"),
    dict(type="FrozenHook"),
    dict(type="IterationSeedHook"),
    dict(type="PictureStripHook"),
]
vis_backends = [dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
visualizer = dict(type="Visualizer", vis_backends=vis_backends)
log_processor = dict(by_epoch=False)
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method="fork"))
randomness = dict(seed=0)

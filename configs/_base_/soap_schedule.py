# codec_schedule.py with SOAP, which learns faster per step than Adam (Zhang & Zhu 2026), above all
# from nothing.
_base_ = "codec_schedule.py"

optim_wrapper = dict(
    main=dict(
        optimizer=dict(
            _delete_=True,
            type="SOAP",
            lr=1e-3,
            betas=(0.95, 0.95),
            weight_decay=0.0,
            precondition_frequency=10,
        )
    )
)

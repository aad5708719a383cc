# codec_schedule.py with SOAP, which learns faster per step than Adam (Zhang & Zhu 2026), above all
# from nothing.
_base_ = "codec_schedule.py"

optim_wrapper = dict(
    main=dict(
        optimizer=dict(
            _delete_=True,
            type="ConvSOAP",
            lr=1e-3,
            betas=(0.95, 0.95),
            weight_decay=0.0,
            precondition_frequency=10,
            # h_s's wide ends are not worth a matrix of their own: a sixth off a step's time.
            max_precondition_dim=128,
        )
    )
)

# One codec for all rates on the embedded set: each step draws one of six levels.
#   python tools/train.py configs/mini/stage1_det_vbr.py
# Then any of them when coding: tools/codec.py encode ... --quality 3
_base_ = "stage1_det.py"

levels = []
model = dict(
    lmbda=[0.004, 0.018, 0.04, 0.09, 0.20, 0.45],
    gains=[0.22, 0.30, 0.40, 0.55, 0.75, 1.0],
    codec=dict(checkpoint="zoo://mse_3"),
)

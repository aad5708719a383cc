"""What several tests of anchors need."""

import numpy as np

from vcm_mt.anchors import code_pictures


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2))


def run(anchor, pictures, qp, folder, **options):
    return list(code_pictures(anchor, pictures, qp, folder, progress=False, **options))

"""Write a trained network into the mini zoo: half-precision safetensors and its SHA-256.

python tools/dev/export_zoo.py work_dirs/mini/tasks/faster_rcnn faster_rcnn \
    --command "python tools/train.py configs/mini/tasks/faster_rcnn.py"
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from vcm_mt.checkpoint import find_checkpoint, read_state_dict, zoo_path
from vcm_mt.cli.command import command

LISTING = zoo_path("zoo").with_suffix(".json")

# A system's part -> the same part of CompressAI's model.
_CODEC_PARTS = {
    "transmitter.g_a.": "g_a.",
    "transmitter.entropy.": "",
    "receivers.shared.g_s.": "g_s.",
}


def codec_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A system's weights under the names of CompressAI's model; a detector's as they are."""
    if not any(key.startswith("transmitter.") for key in state):
        return state
    return {
        own + key.removeprefix(part): value
        for key, value in state.items()
        for part, own in _CODEC_PARTS.items()
        if key.startswith(part)
    }


def compact(key: str, value: Tensor) -> Tensor:
    """Half precision for kernels and matrices, the bulk of a file.

    All else stays exact: bounds such as the likelihood's 1e-9 would become zero.
    """
    return value.half() if value.dim() > 1 and not key.endswith("quantiles") else value


@command("start it again")
def main() -> None:
    """Export one network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work_dir", type=Path, help="work dir of its training")
    parser.add_argument("name", help="its name in the zoo")
    parser.add_argument("--command", required=True, help="what retrains it")
    options = parser.parse_args()
    state = codec_state(read_state_dict(str(find_checkpoint(options.work_dir))))
    # Tables belong to the exact weights: a codec's are built anew from the rounded ones.
    tables = ("_quantized_cdf", "_offset", "_cdf_length", "scale_table")
    state = {
        key: compact(key, value).contiguous()
        for key, value in state.items()
        if key.rsplit(".", 1)[-1] not in tables and not key.startswith("integer_h_s.")
    }
    path = zoo_path(options.name)
    path.parent.mkdir(exist_ok=True)
    save_file(state, path)
    listing = json.loads(LISTING.read_text()) if LISTING.is_file() else {}
    listing[path.name] = {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        "command": options.command,
    }
    LISTING.write_text(json.dumps(listing, indent=1, sort_keys=True) + "\n")
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env bash
# Train on several processes by torchrun, one per GPU; without a GPU they share the CPU's cores.
#
#   tools/dist_train.sh configs/stage1_det.py 8 --quality 1 2 3        options of `vcm-mt train`
#   tools/dist_train.sh finetune 8 --task segm                         or of `vcm-mt finetune`
#
# On several machines, start it on each with NNODES, its NODE_RANK (0 and up), and MASTER_ADDR and
# PORT of the first. PYTHON is the interpreter.
set -euo pipefail

if (($# < 2)); then
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case $1 in
    finetune | *finetune_decoder.py) command=(finetune) ;;
    *) command=(train "$1") ;;
esac
processes=$2
shift 2

export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    -m vcm_mt "${command[@]}" --launcher pytorch "$@"

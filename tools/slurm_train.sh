#!/usr/bin/env bash
# Train on a SLURM cluster, one process per GPU.
#
#   tools/slurm_train.sh PARTITION JOB configs/stage1_det.py work_dirs/stage1_det --resume
#   tools/slurm_train.sh PARTITION JOB finetune work_dirs/stage2_segm --task segm
#
# GPUS is the number of processes (8), GPUS_PER_NODE those of a machine (8), CPUS_PER_TASK the cores
# of each (5), GRES what a machine must have (gpu:GPUS_PER_NODE; empty for CPUs alone), PORT where
# they meet (29500), SRUN_ARGS more options of srun, PYTHON the interpreter.
set -euo pipefail

if (($# < 4)); then
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
partition=$1
job=$2
case $3 in
    finetune | *finetune_decoder.py) command=(finetune) ;;
    *) command=(train "$3") ;;
esac
work_dir=$4
shift 4

per_node=${GPUS_PER_NODE:-8}
gres=${GRES-gpu:$per_node}
read -ra more <<<"${SRUN_ARGS:-}"

export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
export MASTER_PORT="${PORT:-29500}"
exec srun \
    --partition="$partition" \
    --job-name="$job" \
    --ntasks="${GPUS:-8}" \
    --ntasks-per-node="$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${gres:+"--gres=$gres"} \
    ${more[@]+"${more[@]}"} \
    "${PYTHON:-python}" -u -m vcm_mt "${command[@]}" --work-dir "$work_dir" --launcher slurm "$@"

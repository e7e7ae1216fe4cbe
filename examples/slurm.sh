#!/bin/bash
# Pretraining on two hosts of eight GPUs under Slurm, requeued until it is done: sbatch examples/slurm.sh
#SBATCH --job-name=sycoca
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append

train=(pretrain small --data.train captions.jsonl)
run=runs/small

MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
export MASTER_ADDR MASTER_PORT

if [ -e "$run/config.yaml" ]; then
    words=(pretrain --resume "$run")
else
    words=("${train[@]}" --out "$run")
fi

# Without torchrun: each task is a process, gets Slurm's signals itself, and its exit code is not lost.
# shellcheck disable=SC2016
srun --kill-on-bad-exit=0 bash -c \
    'RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID exec sycoca "$@"' task "${words[@]}"
code=$?

# 75: warned before the time limit, or a process was lost; 137: killed. Errors (1, 2) would only be repeated.
if [[ $code -eq 75 || $code -eq 137 ]] && [[ ${SLURM_RESTART_COUNT:-0} -lt 50 ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $code

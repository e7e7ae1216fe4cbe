#!/bin/bash
# Captions of a data set by up to 64 GPUs under Slurm, one worker per task of the array: sbatch examples/slurm_map.sh
# Workers share the output folder and nothing else: any of them may start late, be requeued or be killed.
#SBATCH --job-name=sycoca-map
#SBATCH --array=0-63
#SBATCH --gpus-per-task=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@60
#SBATCH --requeue
#SBATCH --open-mode=append

# The signal before the time limit releases the shard in work; exit code 75 asks for another run.
srun --kill-on-bad-exit=0 sycoca map caption weights captions.jsonl --out captions --threads "$SLURM_CPUS_PER_TASK"
code=$?

if [[ $code -eq 75 || $code -eq 137 ]] && [[ ${SLURM_RESTART_COUNT:-0} -lt 50 ]]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit $code

#!/usr/bin/env bash
# bench/processes.sh — a training step as 1, 2 and 4 CPU processes of one thread each, the sums and gathers between as many, and
# the predictions of bench/scaling_model beside what was measured.
#
#   bench/processes.sh [FILE]     everything measured goes to FILE as JSON (default: build/bench/processes.json)
#
# atto with buckets of 2 MB and tiny with buckets of 20 MB, at 224 pixels in f32: 8 images in all (strong scaling) and 4 a process
# (weak scaling). Takes two minutes on two quiet cores; where others use them too, the figures mean nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

./dev build bench all_reduce process_step scaling_model >&2
programs=build/bench/bench
result=${1:-build/bench/processes.json}
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
export OMP_NUM_THREADS=1

step() { # MODEL BUCKET_MB STEPS PROCESSES IMAGES
  "$programs/process_step" --device cpu --model "convnextv2_$1" --bucket-mb "$2" --steps "$3" --procs "$4" --batch "$5" --json "$parts/$1-$4-$5.json" >&2
}
for model in "atto 2 21" "tiny 20 7"; do
  read -r name bucket steps <<<"$model"
  for images in 2 4 8; do step "$name" "$bucket" "$steps" 1 "$images"; done
  step "$name" "$bucket" "$steps" 2 8
  step "$name" "$bucket" "$steps" 4 8
  step "$name" "$bucket" "$steps" 4 16
done
for processes in 2 4; do
  "$programs/all_reduce" --device cpu --procs "$processes" --json "$parts/z-all_reduce-$processes.json" >&2
  "$programs/all_reduce" --device cpu --procs "$processes" --op all_gather --max 1000000 --json "$parts/z-all_gather-$processes.json" >&2
done
{
  printf '['
  separator=
  for part in "$parts"/*.json; do
    printf '%s' "$separator"
    cat "$part"
    separator=,
  done
  printf ']\n'
} >"$result"
"$programs/scaling_model" "$result"

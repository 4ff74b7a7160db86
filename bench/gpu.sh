#!/usr/bin/env bash
# bench/gpu.sh — everything that only a GPU can show, in commands of at most eight minutes each.
#
#   pack        on a machine with apt-get: collect the headers and small libraries that a bare GPU machine lacks
#   check       correctness: the device tier of the tests, the tools of compute-sanitizer on small shapes
#   bench       speed: every kernel against this GPU's copy bandwidth and matrix rate, whole steps, inference
#   baseline    the same for PyTorch, timm and cuDNN (bench/compare/torch_gpu.py)
#
# check, bench and baseline need nvcc, CMake, Ninja, a C++ compiler and (baseline) Python with torch and timm; what `pack`
# collected is taken from .cache/gpu if it is there. Results: JSON in the folder $OUT (default: build/gpu/results).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=(nlohmann-json3-dev doctest-dev libhwy-dev libhwy1 libxxhash-dev zlib1g-dev)
pack=.cache/gpu
results=${OUT:-build/gpu/results}
export PATH=$PATH:/usr/local/cuda/bin

say() { printf '== %s (%d s)\n' "$*" "$SECONDS"; }
die() {
  printf 'gpu.sh: %s\n' "$*" >&2
  exit 1
}

cmd_pack() {
  command -v apt-get >/dev/null || die "pack needs apt-get"
  rm -rf "$pack"
  mkdir -p "$pack/debs"
  (cd "$pack/debs" && apt-get -q download "${packages[@]}" >/dev/null)
  for deb in "$pack"/debs/*.deb; do dpkg-deb -x "$deb" "$pack"; done
  rm -rf "$pack/debs" "$pack/usr/share/doc" "$pack"/usr/lib/*/libz.so  # the link of libz.so points to another package: libz.a it is
  du -sh "$pack"
}

# The library without what a bare machine lacks, and what is asked for.
build() {
  cmake --preset cuda -B build/gpu -DBONAFIDE_OPENCV=OFF -DBONAFIDE_PROGRAM=OFF -DBONAFIDE_ONEDNN=OFF -DBONAFIDE_GLOO=OFF -DBONAFIDE_EMULATOR=OFF \
    -DCMAKE_PREFIX_PATH="$PWD/$pack/usr" >build/gpu-configure.log 2>&1 || {
    cat build/gpu-configure.log
    die "cmake failed"
  }
  cmake --build build/gpu --target "$@" -- --quiet || die "the build failed"
  say "built $*"
}

describe() {
  nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,memory.total --format=csv,noheader || die "no GPU"
}

# sanitize TOOL FILTER: one tool of compute-sanitizer over some of the device tier.
sanitize() {
  local log=$results/$1.log code=0
  timeout 150 compute-sanitizer --tool "$1" --error-exitcode 9 build/gpu/tests/test_device "-tc=$2" >"$log" 2>&1 || code=$?
  if ((code == 0)); then
    say "$1: $(grep -E '^[0-9]+ passed' "$log" | tail -n 1)"
  elif grep -qiE 'not supported|unable to|insufficient permission|Failed to initialize' "$log"; then
    say "$1: refused by the machine: $(grep -iE 'not supported|unable to|insufficient permission|Failed to initialize' "$log" | head -n 1)"
  else
    tail -n 25 "$log"
    say "$1: exit code $code"
    failed=1
  fi
}

cmd_check() {
  failed=0
  describe | tee "$results/machine.txt"
  build test_device
  build/gpu/tests/test_device 2>&1 | tee "$results/check.log" | grep -vE '^\[doctest\]|^=+$' || failed=1
  if command -v compute-sanitizer >/dev/null; then
    sanitize memcheck '*matches the double reference*'
    sanitize racecheck '*matches the double reference*'
  else
    say "compute-sanitizer: not on this machine"
  fi
  ((failed == 0)) || die "check failed"
}

cmd_bench() {
  describe | tee "$results/machine.txt"
  build bench_gpu
  build/gpu/bench/bench_gpu --json "$results/bench_gpu.json" "$@"
}

cmd_baseline() {
  describe | tee "$results/machine.txt"
  "${BF_PYTHON:-python3}" bench/compare/torch_gpu.py "$results/torch_gpu.json" "${1:-440}"
}

command=${1:-help}
shift || true
case $command in
  pack) cmd_pack ;;
  check | bench | baseline)
    mkdir -p "$results" build
    "cmd_$command" "$@"
    say "results in $results"
    ;;
  *) sed -n '2,10p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//' ;;
esac

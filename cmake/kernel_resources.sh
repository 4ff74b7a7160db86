#!/usr/bin/env bash
# Prints registers, static shared memory and stack of every kernel that was compiled into the build folder $1, as ptxas
# reports them (cmake/ptxas.sh): the table that kernels/resources.txt keeps, sorted.
set -euo pipefail
find "$1/CMakeFiles/cuda_kernels.dir" -name '*.ptxas' -exec cat {} + | c++filt | awk '
  /Compiling entry function/ {
    name = $0
    sub(/^.*simt::entry</, "", name); sub(/>\(.*$/, "", name)
    gsub(/bonafide::|kernels::|simt_bodies::|simt::/, "", name); gsub(/ +>/, ">", name)
    arch = $0; sub(/^.* for ./, "", arch); sub(/.$/, "", arch)
  }
  /bytes stack frame/ { stack = $1 }
  /Used [0-9]+ registers/ {
    registers = shared = 0
    for (i = 1; i < NF; ++i) {
      if ($(i + 1) ~ /^registers/) registers = $i
      if ($(i + 1) == "bytes" && $(i + 2) ~ /^smem/) shared = $i
    }
    printf "%-70s %4d registers %6d B shared %4d B stack\n", arch " " name, registers, shared, stack
  }' | LC_ALL=C sort -u

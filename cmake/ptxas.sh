#!/usr/bin/env bash
# Compiler launcher for nvcc: keeps what ptxas says of every kernel (registers, shared memory, spills) beside the object, in
# OBJECT.ptxas, and fails where a kernel spills registers. Everything else is passed on.
set -uo pipefail
object='' previous='' compile=''
for word in "$@"; do
  [[ $previous != -o ]] || object=$word
  [[ $word != -c && $word != --compile ]] || compile=yes
  previous=$word
done
[[ -n $compile && -n $object ]] || exec "$@"
"$@" >"$object.log" 2>&1
code=$?
grep -E '^ptxas info|bytes stack frame' "$object.log" >"$object.ptxas"
grep -vE '^ptxas info|bytes stack frame|^$' "$object.log" >&2
if ((code == 0)) && grep -qE '[1-9][0-9]* bytes spill (stores|loads)' "$object.ptxas"; then
  printf 'registers are spilled:\n' >&2
  grep -B1 -E '[1-9][0-9]* bytes spill (stores|loads)' "$object.ptxas" | c++filt >&2
  rm -f "$object"
  code=1
fi
exit $code

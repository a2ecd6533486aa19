#!/usr/bin/env bash
# Checks and measures the GPUs of a machine in less than ten minutes, without network: self-test, networks against the
# reference implementations, `bench device` and one edit; on WebGPU, and on CUDA where its provider's library is.
# It needs a checkout after `npm ci`. The report goes to the terminal and to the file given, gpu-report.txt by default.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

report=$(realpath -m "${1:-gpu-report.txt}")
exec > >(tee "$report") 2>&1
limit=590
failed=0
node=node_modules/.bin/node
[ -x "$node" ] || node=node
export ORT_DISABLE_TELEMETRY=1
# f32 products in f32, as the engine sets it for its own process.
export NVIDIA_TF32_OVERRIDE=0

step() { # seconds at most, title, command…
  local seconds=$1 title=$2 left=$((limit - SECONDS)) begin=$SECONDS
  shift 2
  echo
  echo "== $title"
  [ "$left" -lt 5 ] && { echo "left out: the ten minutes are over"; failed=1; return; }
  timeout -k 5 "$((seconds < left ? seconds : left))" "$@"
  local status=$?
  [ "$status" -eq 124 ] && echo "not ended after $((SECONDS - begin)) s"
  [ "$status" -eq 0 ] || { echo "exit code $status"; failed=1; }
}

check() { # device
  step 60 "$1: self-test and precisions" "$node" bin/retouch.js doctor --device "$1"
  step 150 "$1: networks against the reference implementations" \
    env TEST_DEVICE="$1" TEST_VERBOSE=1 "$node" node_modules/vitest/vitest.mjs run test/golden/webgpu.test.ts
  step 240 "$1: measurements" "$node" bench/cli.ts device --device "$1" --json "${report%.txt}-$1.json"
  step 60 "$1: an edit by the embedded model" "$node" bin/retouch.js edit examples/scene-car.png 'make the car blue' \
    --device "$1" --steps 8 --seed 1 --force -o "${report%.txt}-$1.png"
}

echo "Retouch $(git rev-parse --short HEAD 2>/dev/null), $(date -u +%FT%TZ), $(uname -srm)"
command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
check webgpu
provider=node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime_providers_cuda.so
if [ -f "$provider" ]; then
  check cuda
else
  echo
  echo "== cuda: left out, there is no $provider; 'retouch doctor --device cuda' says what it needs"
fi
echo
echo "Took $SECONDS s. Report: $report"
exit "$failed"

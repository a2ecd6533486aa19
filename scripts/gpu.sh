#!/usr/bin/env bash
# Checks and measures the GPUs of a machine in less than ten minutes, without network: self-test, networks against the
# reference implementations, one edit and `bench device`; on WebGPU, and on CUDA where its provider's library is.
# It needs a checkout after `npm ci`. The report goes to the terminal and to the file given, gpu-report.txt by default.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

report=$(realpath -m "${1:-gpu-report.txt}")
# Dawn prints two lines about its limits on uniform and storage buffers in every process.
exec > >(grep --line-buffered -v 'PerPipelineLayout artificially reduced' | tee "$report") 2>&1
limit=580
failed=()
node=node_modules/.bin/node
[ -x "$node" ] || node=node
export ORT_DISABLE_TELEMETRY=1 NO_COLOR=1
# f32 products in f32, as the engine sets it for its own process.
export NVIDIA_TF32_OVERRIDE=0
# Not the models and settings of whoever runs this: only the embedded model is measured.
RETOUCH_DATA_DIR=$(mktemp -d)
export RETOUCH_DATA_DIR
trap 'rm -rf "$RETOUCH_DATA_DIR"' EXIT

step() { # seconds at most, title, command…
  local seconds=$1 title=$2 left=$((limit - SECONDS)) begin=$SECONDS
  shift 2
  echo
  echo "== $title"
  [ "$left" -lt 5 ] && { echo "left out: the time is over"; failed+=("$title"); return; }
  timeout -k 5 "$((seconds < left ? seconds : left))" "$@"
  local status=$?
  if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then echo "ended after $((SECONDS - begin)) s, its limit"
  elif [ "$status" -ne 0 ]; then echo "exit code $status after $((SECONDS - begin)) s"
  else echo "($((SECONDS - begin)) s)"
  fi
  [ "$status" -eq 0 ] || failed+=("$title")
}

check() { # device
  step 120 "$1: self-test and precisions" "$node" bin/retouch.js doctor --device "$1"
  step 90 "$1: an edit by the embedded model" "$node" bin/retouch.js edit examples/scene-car.png 'make the car blue' \
    --device "$1" --steps 8 --seed 1 --force -o "${report%.txt}-$1.png"
  step 240 "$1: networks against the reference implementations" \
    env TEST_DEVICE="$1" TEST_VERBOSE=1 "$node" node_modules/vitest/vitest.mjs run test/golden/webgpu.test.ts \
    --project alone --disable-console-intercept
}

measure() { # device, seconds
  # Parts that would not end in time are left out by the benchmark itself, whose limit leaves it time to write the table.
  local own=$(($2 > 60 ? $2 - 30 : $2 / 2))
  step "$2" "$1: measurements" "$node" bench/cli.ts device --device "$1" \
    --minutes "$(printf '%d.%02d' $((own / 60)) $((own % 60 * 100 / 60)))" --json "${report%.txt}-$1.json"
}

cards() {
  local card driver found=
  for card in /sys/bus/pci/devices/*; do
    # Class 03: display controllers, also those without a display.
    [[ $(cat "$card/class" 2>/dev/null) == 0x03* ]] || continue
    found=1
    driver=$(readlink "$card/driver")
    driver=${driver##*/}
    echo "GPU ${card##*/}: vendor $(cat "$card/vendor"), device $(cat "$card/device"), driver ${driver:-none}"
  done
  [ -n "$found" ] || echo "GPU: none on the PCI bus"
}

echo "Retouch $(git rev-parse --short HEAD 2>/dev/null), $(date -u +%FT%TZ), $(uname -srm)"
grep -m 1 'model name' /proc/cpuinfo
command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
cards
if [ -n "${VK_DRIVER_FILES:-}" ]; then echo "Vulkan drivers: $VK_DRIVER_FILES"
else echo "Vulkan drivers: $(ls /etc/vulkan/icd.d/*.json /usr/share/vulkan/icd.d/*.json 2>/dev/null | tr '\n' ' ')"
fi
command -v vulkaninfo >/dev/null && vulkaninfo --summary 2>/dev/null | grep -E 'deviceName|driverInfo'
devices=(webgpu)
provider=node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime_providers_cuda.so
if [ -f "$provider" ]; then
  devices+=(cuda)
else
  echo "No CUDA: there is no $provider; 'retouch doctor --device cuda' says what it needs."
fi
for device in "${devices[@]}"; do check "$device"; done
# Last, since they take whatever time is left, in equal parts.
count=${#devices[@]}
for device in "${devices[@]}"; do
  seconds=$(((limit - SECONDS) / count))
  measure "$device" "$((seconds > 15 ? seconds : 15))"
  count=$((count - 1))
done

echo
echo "Took $SECONDS s. Report: $report; images and measurements as JSON are beside it."
if [ "${#failed[@]}" -eq 0 ]; then echo "Everything passed."
else
  printf 'Failed: %s\n' "${failed[@]}"
  exit 1
fi

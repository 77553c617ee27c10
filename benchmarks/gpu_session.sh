#!/bin/sh
# Everything that needs a GPU, in one go, most valuable parts first; what a part found is kept even if a later one
# fails or the time ends. From the repository's root:
#
#   OUT=runs/gpu sh benchmarks/gpu_session.sh                  # at most BUDGET seconds (default 240; all of it: 480)
#   OUT=runs/gpu PARTS="graphs full" sh benchmarks/gpu_session.sh
#   OUT=runs/try DEVICE=cpu sh benchmarks/gpu_session.sh       # its logic, on thousands of weights, without a GPU
#
# OUT gets session.log, results.jsonl (a line a stage) and grpo_step.jsonl. SCRATCH (default: a new folder) takes
# 10 GB of random weights, twice. Wheels in a folder .whl (or WHEELS) are unpacked first, for machines without a
# network: tyro, docstring-parser, typeguard; for the comparison with TRL also trl, datasets, dill, multiprocess.
set -u
OUT=${OUT:-runs/gpu}
BUDGET=${BUDGET:-240}
PARTS=${PARTS:-"stages graphs full compare save"}
DEVICE=${DEVICE:-cuda}
WHEELS=${WHEELS:-.whl}
PYTHON=${PYTHON:-python3}
SCRATCH=${SCRATCH:-$(mktemp -d)}
began=$(date +%s)
mkdir -p "$OUT"
here=$(pwd)
PYTHONPATH=$here/src:$here${PYTHONPATH:+:$PYTHONPATH}
if ls "$WHEELS"/*.whl >/dev/null 2>&1; then
  "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target "$SCRATCH/site" "$WHEELS"/*.whl && PYTHONPATH=$PYTHONPATH:$SCRATCH/site
fi
export PYTHONPATH PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export PYTORCH_CUDA_ALLOC_CONF="${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True}"

say() { echo "$*" | tee -a "$OUT/session.log"; }

part() { # name, most seconds, seconds without which it is not begun, command
  name=$1 limit=$2 least=$3
  shift 3
  case " $PARTS " in *" $name "*) ;; *) return 0 ;; esac
  left=$((BUDGET - $(date +%s) + began))
  [ "$limit" -le "$left" ] || limit=$left
  if [ "$limit" -lt "$least" ]; then
    say "== $name: left out, $left s of $BUDGET are left"
    return 0
  fi
  start=$(date +%s)
  say "== $name: at most $limit s"
  timeout "$limit" "$@" >>"$OUT/session.log" 2>&1
  code=$?
  tail -n 12 "$OUT/session.log"
  say "== $name: exit status $code after $(($(date +%s) - start)) s"
}

full_size="$PYTHON benchmarks/full_size.py --out $OUT --model $SCRATCH/model --device $DEVICE"
small="--frames 4 --group 2 --completion 16"
if [ "$DEVICE" = cpu ]; then
  full_size="$full_size --tiny"
  sizes="--frames 1 2 --group 3 --completion 5 --repeats 1"
  small="--frames 1 --group 2 --completion 4"
  tests="tests/models/test_decoding.py -k graphs"
  compare="--quick --sides trl ours"
else
  sizes="--frames 4 10 24 32 --group 8 --completion 300 --repeats 1"
  tests="-m gpu tests/models"
  compare="--gpu --cells 1100x300 --betas 0 --repeats 1 --sides o5 trl --minutes 4"
fi
"$PYTHON" -c "import torch; print(torch.__version__, torch.version.cuda, torch.cuda.is_available() and torch.cuda.get_device_name())" \
  2>&1 | tee -a "$OUT/session.log"
phases="encode prefill greedy sft rollout grpo attention"
part stages 200 20 $full_size $sizes --stages write load $phases
part graphs 60 10 "$PYTHON" -m pytest -q -p no:cacheprovider $tests
part full 60 25 env ACCELERATE_MIXED_PRECISION=bf16 $full_size $small --stages full
part compare 200 90 "$PYTHON" benchmarks/grpo_step.py $compare --out "$OUT/grpo_step.jsonl"
part save 90 40 $full_size $small --stages save detect
rm -rf "$SCRATCH/model" "$SCRATCH/saved"
say "== all of it: $(($(date +%s) - began)) s"

#!/usr/bin/env bash
# Sets up and runs the whole recipe on generated scenes: contrastive pretraining
# and fine-tuning against training from scratch. Run again, it resumes, or reports
# that it is complete. Arguments are passed on, for example
#   bash tools/quickstart.sh --gin_bindings="LABELS = 64" --model_dir=runs/64
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/venv.sh "[weights]"
exec .venv/bin/python -m deeplab_contrast.recipe \
  --gin_file=gin_configs/quickstart.gin --model_dir=runs/quickstart \
  --data_dir=runs/data "$@"

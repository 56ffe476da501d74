#!/usr/bin/env bash
# Sets up and compares four trainings of equal cost on 4 labelled images of generated
# scenes, with and without contrastive pretraining. Run again, it resumes, or reports
# that it is complete. Arguments are passed on, for example
#   bash tools/quickstart.sh --gin_bindings="BUDGETS = (64,)" --model_dir=runs/64
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/venv.sh "[weights]"
exec .venv/bin/python -m deeplab_contrast.recipe \
  --gin_file=gin_configs/quickstart.gin --model_dir=runs/quickstart \
  --data_dir=runs/data "$@"

#!/usr/bin/env bash
# Lint and all tests, in a virtual environment of the project's own.
#   bash tools/test.sh           everything
#   bash tools/test.sh --fast    without the tests marked slow
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/venv.sh "[test]"
.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/python -m pytest -q --durations=10
if [ "${1:-}" != "--fast" ]; then
  .venv/bin/python -m pytest -q -m slow --durations=10
fi

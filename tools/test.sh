#!/usr/bin/env bash
# Lint and all tests, in the project's own virtual environment.
#   bash tools/test.sh           everything
#   bash tools/test.sh --fast    without the tests marked slow
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/venv.sh "[test,weights,import]"
# Pages are also tested in a browser; without one these tests are skipped.
if ! command -v chromedriver > /dev/null \
    && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  echo "Installing chromium (half a minute) ..."
  { apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive timeout 300 \
      apt-get -qq install -y --no-install-recommends \
        chromium chromium-driver; } \
    > /dev/null 2>&1 || echo "No chromium: tests in a browser will be skipped."
fi
.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
.venv/bin/python tools/machine.py 2> /dev/null
# Two processes, since a test mostly traces graphs, which keeps one core busy. By
# file, since the tests of a file share what is slow to make.
which=(-m "slow or not slow")
if [ "${1:-}" = "--fast" ]; then
  which=()
fi
.venv/bin/python -m pytest -q -n 2 --dist loadfile --durations=10 "${which[@]}"

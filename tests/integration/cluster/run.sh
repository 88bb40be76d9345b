#!/bin/bash
# Runs one Python test of this directory: run.sh TEST.py MUSTER ODD_NODE.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
MUSTER=$(readlink -f "$2") ODD_NODE=$(readlink -f "$3")
export MUSTER ODD_NODE
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
exec /usr/bin/python3 "$here/$1" --verbose

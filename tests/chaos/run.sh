#!/bin/bash
# Runs rows of the nemesis: run.sh NODE MUSTER LOAD FOLLOWER CHECKER [its arguments...].
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
node=$(readlink -f "$1") muster=$(readlink -f "$2")
load=$(readlink -f "$3") follow=$(readlink -f "$4") check=$(readlink -f "$5")
shift 5
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
exec /usr/bin/python3 "$here/nemesis.py" --node "$node" --muster "$muster" \
  --load "$load" --follow "$follow" --check "$check" "$@"

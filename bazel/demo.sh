#!/bin/bash
# The demo: a three-node cluster on etcd, the example servers called from the
# command line and from Python, a node killed, its servers back elsewhere.
#
#   bazel/demo.sh
#
# Sets up what is missing and builds first. Everything it starts runs on
# loopback with free ports and a temporary directory, and is stopped at its end,
# also after a failure or Ctrl-C.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bold='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then bold=$'\e[1m' plain=$'\e[0m'; fi
step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
fail() {
  printf '\ndemo: %s\n' "$*" >&2
  for log in "$work"/*.log; do
    [[ -e $log ]] && printf -- '--- last lines of %s\n%s\n' "${log##*/}" \
      "$(tail -n 15 "$log")" >&2
  done
  exit 1
}

work=$(mktemp -d)
declare -A pids=()
stop_all() {
  local code=$?
  trap - EXIT INT TERM
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null || true; done
  for pid in ${pids[@]+"${pids[@]}"}; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
  exit "$code"
}
trap stop_all EXIT
trap 'exit 130' INT TERM

# Shows a muster command as one would type it, and runs it.
run() {
  local shown='' argument
  for argument in "$@"; do
    if [[ $argument == *[!A-Za-z0-9_./:=-]* ]]; then argument="'$argument'"; fi
    shown+=" $argument"
  done
  printf '%s$ muster%s%s\n' "$bold" "$shown" "$plain"
  "$muster" "$@" || fail "'muster $1' failed with exit code $?"
}
# run, and the last line of the output must be $1.
expect() {
  local want=$1 got
  shift
  got=$(run "$@") || exit 1
  printf '%s\n' "$got"
  [[ $(sed 1d <<<"$got" | tr -d ' \n') == "$want" ]] ||
    fail "expected $want"
}
free_port() {
  /usr/bin/python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
now_ms() { echo $(($(date +%s%N) / 1000000)); }

step 'Set up and build (the first time takes some minutes)'
bazel/setup.sh </dev/null
bazel=/usr/bin/bazel
[[ -x $bazel ]] || bazel=bazel
"$bazel" build //:muster </dev/null
# bazel-bin may be pointed elsewhere by another build meanwhile.
muster=$("$bazel" info bazel-bin 2>/dev/null </dev/null)/muster

step 'Start etcd, which the nodes agree through'
etcd_port=$(free_port)
etcd_peer=$(free_port)
etcd --name demo --data-dir "$work/etcd" \
  --listen-client-urls "http://127.0.0.1:$etcd_port" \
  --advertise-client-urls "http://127.0.0.1:$etcd_port" \
  --listen-peer-urls "http://127.0.0.1:$etcd_peer" \
  --initial-advertise-peer-urls "http://127.0.0.1:$etcd_peer" \
  --initial-cluster "demo=http://127.0.0.1:$etcd_peer" \
  >"$work/etcd.log" 2>&1 </dev/null &
pids[etcd]=$!
store=etcd://127.0.0.1:$etcd_port
deadline=$(($(now_ms) + 30000))
until (: <"/dev/tcp/127.0.0.1/$etcd_port") 2>/dev/null; do
  kill -0 "${pids[etcd]}" 2>/dev/null || fail 'etcd has ended'
  (($(now_ms) < deadline)) || fail 'etcd does not answer'
  sleep 0.1
done
echo "etcd answers on 127.0.0.1:$etcd_port"

step 'Start three nodes: a, b and c'
declare -A endpoint=()
for node in a b c; do
  endpoint[$node]=127.0.0.1:$(free_port)
  echo "\$ muster node start --name $node --cluster demo" \
    "--listen ${endpoint[$node]} --store $store &"
  "$muster" node start --name "$node" --cluster demo \
    --listen "${endpoint[$node]}" --store "$store" \
    >"$work/node-$node.log" 2>&1 </dev/null &
  pids[$node]=$!
done
a=${endpoint[a]} b=${endpoint[b]} c=${endpoint[c]}
deadline=$(($(now_ms) + 30000))
until [[ $("$muster" node list --endpoint "$a" -o json 2>/dev/null |
  grep -c '"name"') == 3 ]]; do
  (($(now_ms) < deadline)) || fail 'the three nodes did not find each other'
  for node in a b c; do
    kill -0 "${pids[$node]}" 2>/dev/null || fail "node $node has ended"
  done
done
run node list --endpoint "$a"

step 'Apply the Application tree of the guide: six servers under one supervisor'
run apply -f examples/application.yaml --endpoint "$a"
run tree --endpoint "$b"

step 'Call and cast every server, each through whichever node'
expect '{"value":"100"}' call counter_a GetValue --endpoint "$a"
expect '{"value":"101"}' call counter_a Increment --endpoint "$b"
expect '{"value":"111"}' call counter_a Increment '{"by": 10}' --endpoint "$c"
run cast counter_a Reset --endpoint "$a"
expect '{"value":"0"}' call counter_a GetValue --endpoint "$b"
expect '{"value":"199"}' call counter_b Decrement --endpoint "$c"
run call cache Put '{"key": "colour", "value": "blue"}' --endpoint "$a"
expect '{"value":"blue"}' call cache Get '{"key": "colour"}' --endpoint "$b"
created=$(run call session_store CreateSession \
  '{"user_id": "ada", "data": {"theme": "dark"}}' --endpoint "$c")
printf '%s\n' "$created"
session=$(sed -n 's/^{"session_id":\("[^"]*"\)}$/{"session_id": \1}/p' <<<"$created")
run call session_store GetSession "$session" --endpoint "$a"
run cast session_store DeleteSession "$session" --endpoint "$b"
run call periodic_task GetCount --endpoint "$a"

step 'The same from Python, with stock stubs and nothing of ours'
mkdir "$work/stubs"
examples/clients/python/generate.sh "$work/stubs"
echo "\$ python3 examples/clients/python/demo_client.py --endpoint $b"
/usr/bin/python3 examples/clients/python/demo_client.py --endpoint "$b" \
  --stubs "$work/stubs" || fail 'the Python client failed'

step "Kill the OS process of the node that hosts counter_a; its sentinel lives"
victim=$("$muster" name whereis counter_a --endpoint "$a" -o json |
  sed -n 's/.*"node": *"\([^"]*\)".*/\1/p')
[[ -n ${pids[$victim]:-} ]] || fail "counter_a is on no node of ours: '$victim'"
for node in a b c; do
  [[ $node == "$victim" ]] || survivor=$node
done
run name whereis counter_a --endpoint "${endpoint[$survivor]}"
old=$(pgrep -P "${pids[$victim]}") || fail "node $victim has no process"
echo "\$ pkill -9 -P ${pids[$victim]}   # the child of node $victim's sentinel"
killed=$(now_ms)
kill -9 "$old"
until value=$("$muster" call counter_a GetValue --timeout 1s \
  --endpoint "${endpoint[$survivor]}" 2>/dev/null); do
  (($(now_ms) < killed + 60000)) || fail 'counter_a did not come back'
done
took=$(($(now_ms) - killed))
printf 'counter_a answers again after %d.%03d s: %s\n' $((took / 1000)) \
  $((took % 1000)) "$(tr -d '\n' <<<"$value")"
echo "(the sentinel of node $victim saw it die and attested that in etcd; without that"
echo ' the others wait for 3.75 s of silence: by then it can no longer act itself, so no'
echo ' name ever has two owners)'
run name whereis counter_a --endpoint "${endpoint[$survivor]}"
echo
run explain counter_a --endpoint "${endpoint[$survivor]}"
run wait counter_b --for running --timeout 30s \
  --endpoint "${endpoint[$survivor]}"
# The sentinel starts its node again, which joins as a new one.
deadline=$(($(now_ms) + 30000))
until (($("$muster" node list --endpoint "${endpoint[$survivor]}" -o json \
  2>/dev/null | grep -c '"name"') == 3)); do
  (($(now_ms) < deadline)) || fail "node $victim did not come back"
done
echo
echo "node $victim is back, under a new epoch:"
run node list --endpoint "${endpoint[$survivor]}"
run tree --endpoint "${endpoint[$survivor]}"

step 'Done; everything it started is being stopped'
cat <<'TXT'
Try next:
  bazel-bin/muster dev                   one node, nothing to install
  bazel-bin/muster call counter_a Increment '{"by": 2}'
  bazel-bin/muster tree
  README.md                              write a server of your own
TXT

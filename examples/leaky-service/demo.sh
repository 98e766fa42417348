#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# examples/leaky-service/demo.sh - attach to the service under load and show where its memory goes.
# Knows: the service, its driver, memtrace's commands. Does not know: how any of them works.
# Called by `make demo` as: MEMTRACE=build/memtrace demo.sh OUTPUT-FOLDER [SECONDS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
memtrace=$(realpath "${MEMTRACE:-build/memtrace}")
out=${1:?usage: demo.sh OUTPUT-FOLDER [SECONDS]}
seconds=${2:-10}
python=/usr/bin/python3
[ -x $python ] || python=python3

mkdir -p "$out"
out=$(realpath "$out")
service= driver=
clean_up()
{
	local pid
	trap - EXIT
	for pid in $driver $service; do
		kill "$pid" 2>/dev/null || true
	done
	for pid in $driver $service; do
		for _ in $(seq 50); do		# five seconds to end by itself
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.1
		done
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say()
{
	printf '\n\033[1m%s\033[0m\n' "$*" | if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then cat
		else sed 's/\x1b\[[0-9;]*m//g'; fi
}

show()		# show COMMAND...: print it as a person would type it, run it
{
	local args=("$@")
	args[0]=$(basename "$1")
	say "\$ ${args[*]//$out\//}"
	"$@"
}

: >"$out/service.out"	# the shell below makes it too, but maybe later than sed looks
"$python" "$here/service.py" --port 0 >"$out/service.out" 2>"$out/service.err" &
service=$!
for _ in $(seq 100); do
	port=$(sed -n 's/^listening on .*://p' "$out/service.out")
	[ -z "$port" ] || break
	kill -0 $service 2>/dev/null || { cat "$out/service.err" >&2; exit 1; }
	sleep 0.1
done
[ -n "$port" ] || { echo "demo: the service did not start in 10 s" >&2; exit 1; }
echo "The service runs as process $service on port $port; its driver checks every answer."
"$python" "$here/driver.py" "$port" --seconds $((seconds + 3)) >"$out/driver.json" &
driver=$!
sleep 1

show "$memtrace" attach $service --duration "${seconds}s" -f -o "$out/demo.bin"
show "$memtrace" status $service
wait $driver || { echo "demo: the driver saw wrong answers:" >&2; cat "$out/driver.json" >&2; exit 1; }
driver=
show "$memtrace" symbolize "$out/demo.bin"
show "$memtrace" flamegraph -f -o "$out/demo.html" "$out/demo.bin"
show "$memtrace" leaks --html -f -o "$out/demo-leaks.html" "$out/demo.bin"
show "$memtrace" summary --view leaks -s 3 -r 8 "$out/demo.bin"
show "$memtrace" summary --view temporary -s 3 -r 8 "$out/demo.bin"
show "$memtrace" summary --view peak -s 3 -r 8 "$out/demo.bin"

say "Done"
echo "The driver counted $(cat "$out/driver.json")"
echo "Planted in examples/leaky-service/service.py: cached_search_page and render_search_page (a"
echo "cache that never evicts), make_thumbnail (native memory nobody frees), build_access_log_line"
echo "(a hot temporary). The flame graph, and the likeliest leaks:"
echo "  file://$out/demo.html"
echo "  file://$out/demo-leaks.html"

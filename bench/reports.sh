#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench/reports.sh - what every report of a long capture costs: 26 million events, 100,000 live blocks.
# Knows: bench/gen_capture.c, the report commands. Does not know: how captures are read.
# Run by hand; prints figures, is never a test. `bench/reports.sh [EVENTS [LIVE [ROUNDS]]]`, O= names
# the build. Of the rounds the one with least processor time counts: on a busy machine the clock says
# little. Beside it stands memray's own time for a capture of its own when MEMRAY_CAPTURE names one.
set -eu

cd "$(dirname "$0")/.."
build=${O:-build}
events=${1:-26000000}
live=${2:-100000}
rounds=${3:-3}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

${CC:-gcc} -std=gnu17 -D_GNU_SOURCE -O2 -I. -o "$dir/gen" \
	bench/gen_capture.c base/*.c capture/*.c -lzstd
"$dir/gen" "$dir/cap.bin" "$events" "$live"
"$dir/gen" "$dir/other.bin" "$((events / 10))" "$live"

# Wall clock, processor time (both seconds) and peak memory (MiB) of a command.
cat > "$dir/measure.py" <<'PYTHON'
import resource, subprocess, sys, time
best = None
for _ in range(int(sys.argv[1])):
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr.decode())
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    best = min(best or (cpu, wall), (cpu, wall))
print(f"{best[1]:.2f} {best[0]:.2f} {after.ru_maxrss / 1024:.0f}")
PYTHON

echo "capture: $events events, $live live blocks, $(stat -c %s "$dir/cap.bin") bytes; best of $rounds"
echo "| report | clock, s | processor, s | million events/s | peak memory, MiB | output, kB |"
echo "|---|---|---|---|---|---|"

report() {
	name=$1
	shift
	rm -f "$dir/out"
	figures=$(python3 "$dir/measure.py" "$rounds" "$@")
	size=$(stat -c %s "$dir/out" 2>/dev/null || echo 0)
	echo "$figures" | awk -v name="$name" -v events="$events" -v size="$size" '{
		printf "| %s | %s | %s | %.1f | %s | %.0f |\n", name, $1, $2, events / $2 / 1e6, $3, size / 1000 }'
}

# A memtrace command on the capture; its output in a file.
ours() {
	name=$*
	command=$1
	shift
	report "$name" "$build/memtrace" "$command" --no-debuginfod -f -o "$dir/out" "$@" "$dir/cap.bin"
}

ours stats
ours summary
ours flamegraph
ours flamegraph --no-temporal
ours flamegraph --split-threads
ours table
ours leaks
ours leaks --html
report "diff --html" "$build/memtrace" diff --html --no-debuginfod -f -o "$dir/out" "$dir/other.bin" "$dir/cap.bin"
for format in folded pprof speedscope gprof2dot csv dhat; do
	report "transform $format" "$build/memtrace" transform --no-debuginfod -f -o "$dir/out" "$format" "$dir/cap.bin"
done
if [ -n "${MEMRAY_CAPTURE:-}" ]; then
	report "memray flamegraph --temporal" "${MEMRAY:-memray}" flamegraph --temporal --no-web -f -o "$dir/out" "$MEMRAY_CAPTURE"
fi

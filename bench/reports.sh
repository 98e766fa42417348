#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench/reports.sh - what every report of a long capture costs: 26 million events, 100,000 live blocks.
# Knows: bench/gen_capture.c, the report commands. Does not know: how captures are read.
# Run by hand; prints figures, is never a test. `bench/reports.sh [EVENTS [LIVE [ROUNDS]]]`, O= names
# the build. Of the rounds the one with least processor time counts: on a busy machine the clock says
# little. With ROOTFS=DIR (bench/rootfs.sh makes it) memray and memtrace record one program there with so many
# events, and the reports that both have follow side by side. TMPDIR has to have room: 6 bytes an event;
# $ROOTFS/tmp 3.
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

# Of what was measured: $figures, $size.
row() {
	echo "$figures" | awk -v name="$1" -v events="$events" -v size="$size" '{
		printf "| %s | %s | %s | %.1f | %s | %.0f |\n", name, $1, $2, events / $2 / 1e6, $3, size / 1000 }'
}

report() {
	name=$1
	shift
	rm -f "$dir/out"
	figures=$(python3 "$dir/measure.py" "$rounds" "$@")
	size=$(stat -c %s "$dir/out" 2>/dev/null || echo 0)
	row "$name"
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
[ -n "${ROOTFS:-}" ] || exit 0

# Both record the same program, in the same root; memray's reports are made there, too.
inside=$(mktemp -d -p "$ROOTFS/tmp")
trap 'rm -rf "$dir" "$inside"' EXIT
cp bench/reports_target.py "$inside/target.py"
place=${inside#"$ROOTFS"}
# memray looks into /proc; what is mounted for it is gone with the command.
cat > "$dir/inside" <<'SH'
#!/bin/sh
exec unshare --mount sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$@"
SH
chmod 755 "$dir/inside"
set -- /usr/bin/python3 "$place/target.py" "$events"
alone=$(python3 "$dir/measure.py" 1 "$dir/inside" "$ROOTFS" "$@")
memray=$(python3 "$dir/measure.py" 1 "$dir/inside" "$ROOTFS" memray run -q -o "$place/memray.bin" "$place/target.py" "$events")
memtrace=$(python3 "$dir/measure.py" 1 "$build/memtrace" run -q -f --no-native -o "$dir/cap.bin" -- chroot "$ROOTFS" "$@")
echo
echo "bench/reports_target.py, $events events: alone $alone, memray run $memray, memtrace run $memtrace (clock, processor," \
	"peak MiB); captures of $(stat -c %s "$inside/memray.bin") and $(stat -c %s "$dir/cap.bin") bytes"
echo "| report | clock, s | processor, s | million events/s | peak memory, MiB | output, kB |"
echo "|---|---|---|---|---|---|"

# A report of memray's, whose options differ here and there.
theirs() {
	rm -f "$inside/out"
	figures=$(python3 "$dir/measure.py" 1 "$dir/inside" "$ROOTFS" memray "$@")
	size=$(stat -c %s "$inside/out" 2>/dev/null || echo 0)
	row "memray $1"
}

theirs flamegraph --temporal --no-web -f -o "$place/out" "$place/memray.bin"
ours flamegraph
theirs table --no-web -f -o "$place/out" "$place/memray.bin"
ours table
theirs stats --json -f -o "$place/out" "$place/memray.bin"
ours stats
theirs summary "$place/memray.bin"
ours summary
theirs transform csv -f -o "$place/out" "$place/memray.bin"
report "transform csv" "$build/memtrace" transform --no-debuginfod -f -o "$dir/out" csv "$dir/cap.bin"

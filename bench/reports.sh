#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench/reports.sh - how fast a long capture is read: 26 million events, 100,000 live blocks.
# Knows: bench/gen_capture.c, memtrace stats. Does not know: how captures are read.
# Run by hand; prints figures, is never a test. `bench/reports.sh [EVENTS [LIVE]]`, O= names the build.
# Processor time is what counts: on a busy machine the clock says little.
set -eu

cd "$(dirname "$0")/.."
build=${O:-build}
events=${1:-26000000}
live=${2:-100000}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

${CC:-gcc} -std=gnu17 -D_GNU_SOURCE -O2 -I. -o "$dir/gen" \
	bench/gen_capture.c base/*.c capture/*.c -lzstd
"$dir/gen" "$dir/cap.bin" "$events" "$live"
echo "capture: $events events, $live live blocks, $(stat -c %s "$dir/cap.bin") bytes"
for round in 1 2 3; do
	/usr/bin/env bash -c 'TIMEFORMAT="%R %U %S"; time "$@" >/dev/null 2>/dev/null' time \
		"$build/memtrace" stats --no-debuginfod "$dir/cap.bin" 2>"$dir/time"
	awk -v events="$events" -v round="$round" '{
		printf "stats, round %d: %.2f s, of the processor %.2f s: %.1f million events/s\n",
			round, $1, $2 + $3, events / ($2 + $3) / 1e6 }' "$dir/time"
done

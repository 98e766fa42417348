#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tests/structure/headers.sh - every header compiles alone, with gcc and with clang.
# Knows: the compilers' flags (FLAGS, TRACER_FLAGS from the Makefile). Does not know: the headers.
# Called by `make check-headers`; prints what the compilers say and exits 1 on any failure.
set -eu
cd "$(dirname "$0")/../.."

if [ "${1:-}" = --one ]; then	# a header, by the xargs below
	case $3 in
	inject/tracer/*) flags=$TRACER_FLAGS ;;
	*) flags=$FLAGS ;;
	esac
	printf '#include "%s"\n#include "%s"\n' "$3" "$3" |
		"$2" -x c $flags -Werror -Wno-unused-function -fsyntax-only - || {
			echo "check-headers: $3 does not compile alone with $2" >&2
			exit 1
		}
	exit
fi

compilers=
for cc in gcc clang; do
	if command -v $cc >/dev/null; then
		compilers="$compilers $cc"
	else
		echo "check-headers: no $cc here" >&2
		exit 1
	fi
done
headers=$(find base capture attach inject record symbolize analysis reporters cmds -name '*.h' | sort)
for cc in $compilers; do
	for header in $headers; do
		echo "$cc $header"
	done
done | xargs -P "$(nproc)" -L 1 "$0" --one
echo "check-headers:$compilers, $(echo "$headers" | wc -l) headers, all compile alone"

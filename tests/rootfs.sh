#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tests/rootfs.sh - packages of another Debian release in a folder, to be run by chroot.
# Knows: apt, which files make a root. Does not know: what the packages are for.
# Called by harness.rootfs(). Prints the folder; what is missing, and why it fails, on stderr.
#
#	tests/rootfs.sh SUITE DIR PACKAGE...
#
# The packages and what they need are unpacked, not configured: that takes seconds where
# debootstrap takes minutes, and is enough for interpreters and C libraries. The folder appears
# whole or not at all and is kept; asked for the same packages again, the script does nothing.
set -eu

suite=$1 dir=$2
shift 2
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
keys=/usr/share/keyrings/debian-archive-keyring.gpg

fail()
{
	echo "rootfs: $*" >&2
	exit 1
}

command -v apt-get >/dev/null && [ -e "$keys" ] || fail "no apt with Debian's keys here"
mkdir -p "$(dirname "$dir")"
exec 9>"$dir.lock"			# two tests may ask at once
flock 9
wanted=$(printf '%s\n' "$@" | sort)
if [ -e "$dir/.packages" ] && [ "$(cat "$dir/.packages")" = "$wanted" ]; then
	echo "$dir"
	exit
fi

# An apt of its own: nothing of this machine's lists, packages or preferences.
new=$(realpath -m "$dir").new
trap 'rm -rf "$new"' EXIT
trap 'exit 1' INT TERM HUP
rm -rf "$new"
mkdir -p "$new/.apt/lists/partial" "$new/.apt/archives/partial" "$new/.apt/parts"
: >"$new/.apt/status"
echo "deb [signed-by=$keys] $mirror $suite main" >"$new/.apt/sources.list"
apt()
{
	command=$1
	shift
	"apt-$command" -o "Dir::State=$new/.apt" -o "Dir::State::status=$new/.apt/status" \
		-o "Dir::Cache=$new/.apt" -o "Dir::Etc=$new/.apt" -o Dir::Etc::SourceParts=parts \
		-o Dir::Etc::Parts=parts -o Dir::Etc::Preferences=none -o Acquire::Languages=none \
		-o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o APT::Sandbox::User=root \
		-o APT::Install-Recommends=false -qq "$@"
}
log=$dir.log
apt get update >"$log" 2>&1 || fail "$mirror has no $suite: $(tail -n 1 "$log")"
packages=
for package in $wanted; do
	if [ -n "$(apt cache show --no-all-versions "$package" 2>/dev/null)" ]; then
		packages="$packages $package"
	else
		echo "rootfs: $suite has no $package" >&2
	fi
done
[ -n "$packages" ] || fail "$suite has none of:" $wanted
apt get -y --download-only install base-files libc-bin dash coreutils $packages >"$log" 2>&1 ||
	fail "$suite: $(tail -n 1 "$log")"

# base-files first: its links make the root a merged one.
for deb in "$new"/.apt/archives/base-files_*.deb "$new"/.apt/archives/*.deb; do
	dpkg-deb -x "$deb" "$new" || fail "cannot unpack $deb"
done
rm -rf "$new/.apt" "$new/usr/share/doc" "$new/usr/share/man" "$new/usr/share/locale"
mkdir -p "$new/proc" "$new/dev/shm" "$new/tmp"
[ -e "$new/dev/null" ] || mknod -m 666 "$new/dev/null" c 1 3 2>/dev/null || :
chmod 1777 "$new/tmp" "$new/dev/shm"
ldconfig -r "$new" 2>/dev/null || :
echo "$wanted" >"$new/.packages"
rm -rf "$dir"
mv "$new" "$dir"
echo "$dir"

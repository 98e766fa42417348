#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench/rootfs.sh - a folder with a newer Debian: Python 3.14, memray, heaptrack, to compare with.
# Knows: debootstrap, apt, package names. Does not know: what is measured in it.
# Called by `make bench` (ROOTFS=DIR), or by hand, as root: bench/rootfs.sh DIR. Once: it stays.
set -eu

SUITE=${SUITE:-forky}
PACKAGES="python3 python3-numpy python3-django memray|python3-memray heaptrack libheaptrack"

case ${1-} in ""|/) set --; esac	# never this system itself
[ $# = 1 ] || { echo "usage: bench/rootfs.sh DIR" >&2; exit 2; }
root=$1
[ "$(id -u)" = 0 ] || { echo "rootfs: as root, please" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "rootfs: apt-get install debootstrap" >&2; exit 1; }
if [ -e "$root/.complete" ]; then
	echo "rootfs: $root is complete"
	exit
fi

# The mirror that this machine's apt uses for Debian itself.
mirror=$(apt-get indextargets --format '$(SITE) $(ORIGIN) $(LABEL)' 2>/dev/null |
	awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }')
mirror=${MIRROR:-${mirror:?no Debian mirror in the configuration of apt: set MIRROR}}

script=/usr/share/debootstrap/scripts/$SUITE
[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
if [ ! -e "$root/etc/debian_version" ] || [ -e "$root/debootstrap" ]; then
	[ ! -e "$root/debootstrap" ] || rm -rf "$root"	# what it left half done
	debootstrap --variant=minbase "$SUITE" "$root" "$mirror" "$script"
fi
# The settings that let apt reach its mirror; the suite's Release file may be past its date.
apt-config dump 2>/dev/null | grep -E '^Acquire::(http|https)::' >"$root/etc/apt/apt.conf.d/90host" || true
echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/91dates"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"

inside()
{
	chroot "$root" env DEBIAN_FRONTEND=noninteractive "$@"
}

inside apt-get -qq update
for names in $PACKAGES; do
	done=
	for name in $(echo "$names" | tr '|' ' '); do
		if inside apt-get -qq -y --no-install-recommends install "$name" >/dev/null 2>&1; then
			done=$name
			break
		fi
	done
	[ -n "$done" ] || echo "rootfs: not installed: $names" >&2
done
inside apt-get clean
touch "$root/.complete"
inside python3 --version

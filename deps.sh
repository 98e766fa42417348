#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# deps.sh - installs the Debian or Ubuntu packages that building and testing need.
# Knows: package names, apt. Does not know: what they are for (docs/dependencies.md does).
# Called by `make deps` (all), `make demo` (build), `make bench` (bench); needs root or sudo only when some are missing.
set -eu

# "a|b": the first that apt offers. "a?": left out where apt offers none or only a snap's stub.
# "a=command": not needed when the command is there by other means.
build="gcc make pkg-config libc6-dev libunwind-dev libelf-dev libdw-dev libzstd-dev libiberty-dev
	libxxhash-dev zlib1g-dev libncurses-dev libmicrohttpd-dev python3"
test="libcmocka-dev clang libclang-rt-dev|libclang-rt-14-dev|libclang-rt-18-dev|libclang-common-14-dev
	g++ gcc-multilib musl-tools gdb strace binutils dwz xz-utils debuginfod elfutils llvm git procps util-linux tmux systemd ca-certificates nodejs=node npm=npm chromium?
	cppcheck clang-tidy man-db python3-pip mypy python3-ipykernel jupyter-nbconvert python3-pytest
	python3-pytest-xdist python3-flask python3-psycopg2 python3-greenlet python3-gevent cython3 python3-dev
	golang-go=go graphviz valgrind sqlite3"
real="gunicorn python3-django postgresql postgresql-contrib redis-server redis-tools
	nginx-light|nginx wrk default-jdk-headless=javac rustc=rustc"
bench="python3-numpy python3-django heaptrack debootstrap"

usage()
{
	echo "usage: deps.sh build|all|bench|list" >&2
	exit 2
}

installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

offered()
{
	[ -n "$(apt-cache show --no-all-versions "$1" 2>/dev/null)" ]
}

# The name to install for an entry; nothing when it is there already or may be left out.
missing()
{
	case $1 in *=*)
		if command -v "${1#*=}" >/dev/null; then
			return
		fi
		set -- "${1%=*}"
	esac
	names=$(echo "${1%\?}" | tr '|' ' ')
	for name in $names; do
		if installed "$name"; then
			return
		fi
	done
	case $1 in *\?)
		if [ "$(. /etc/os-release && echo "$ID")" != debian ] || ! offered "${1%\?}"; then
			return
		fi
	esac
	for name in $names; do
		if offered "$name"; then
			echo "$name"
			return
		fi
	done
	echo "${names%% *}"		# apt will say that it does not know it
}

all_missing()
{
	for entry in $wanted; do
		missing "$entry"
	done
}

apt()
{
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 \
		-o Acquire::Retries=3 -qq "$@"
}

# Debian starts services as it installs them. Tests start their own; a machine's ports stay free.
forbid_services()
{
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		trap '$sudo rm -f /usr/sbin/policy-rc.d' EXIT
		trap 'exit 1' INT TERM HUP
		printf '#!/bin/sh\nexit 101\n' | $sudo tee /usr/sbin/policy-rc.d >/dev/null
		$sudo chmod 755 /usr/sbin/policy-rc.d
	fi
}

[ $# = 1 ] || usage
case $1 in
build)	wanted=$build ;;
all)	wanted="$build $test $real" ;;
bench)	wanted="$build $bench" ;;
list)	printf '%s\n' "build:" $build "tests:" $test "programs the tests attach to:" $real \
		"workloads and peers of make bench:" $bench
	exit ;;
*)	usage ;;
esac

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
	echo "deps: no apt here; install what docs/dependencies.md names by other means" >&2
	exit 1
fi
# A fresh image has no package lists, and no name can be chosen without them.
need=$(all_missing)
if [ -z "$need" ]; then
	echo "deps: all packages are installed"
	exit
fi
sudo=
if [ "$(id -u)" != 0 ]; then
	sudo=sudo
	if ! command -v sudo >/dev/null; then
		echo "deps: as root, please: apt-get install" $need >&2
		exit 1
	fi
fi
apt update || echo "deps: apt-get update failed; trying with the lists that are here" >&2
need=$(all_missing)
echo "deps: installing" $need
forbid_services
apt install -y --no-install-recommends $need >/dev/null
need=$(all_missing)
if [ -n "$need" ]; then
	echo "deps: still missing:" $need >&2
	exit 1
fi
echo "deps: done"

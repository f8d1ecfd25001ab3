#!/bin/sh
# Makes this clone ready to work; the first command of every make target.
#
# When all is ready it costs a few milliseconds and says nothing. Else it finds a Python, which does the rest.
# With the word `look` it installs nothing, and says what is missing.
set -eu
look=${1:-}
CDPATH='' cd -- "$(dirname -- "$0")/.."

# Stands for all that says what is to be installed, and for the command, which is installed as a copy.
what_is_wanted() {
    cat pyproject.toml harness/frame-harness harness/frame_harness/cli/requirements.lock harness/bootstrap.py \
        harness/frame_harness/base/host_tools.py harness/frame_harness/base/packages.py | cksum
}

# Prints what a set-up for that leaves. A clone that was moved has a virtualenv full of paths that are wrong
# by now; so has one whose Python was replaced by the next version.
set_up_for() {
    echo "$1"
    pwd
    readlink -f .venv/bin/python
}

venv_is_ready() {
    [ -x .venv/bin/frame-harness ] && [ -x .venv/bin/python ] && [ -r .venv/ready ] &&
        [ "$(set_up_for "$(what_is_wanted)")" = "$(cat .venv/ready)" ]
}

is_ready() {
    { command -v qemu-system-x86_64 || [ -x .venv/bin/qemu-system-x86_64 ]; } >/dev/null && command -v cc >/dev/null &&
        venv_is_ready
}

# Fit for bootstrap.py; python3-minimal is not.
starts() {
    "$1" -c 'import dataclasses, subprocess, sys, tempfile, threading; sys.exit(sys.version_info < (3, 11))' \
        >/dev/null 2>&1
}

is_whole() {
    starts "$1" && "$1" -c 'import ctypes, ensurepip, ssl, venv, zlib' >/dev/null 2>&1
}

# Prints the first of the given programs that passes a test.
first_that() {
    passes=$1
    shift
    for python; do
        if "$passes" "$python"; then
            echo "$python"
            return
        fi
    done
}

# Debian's own can be made whole by one package more, which bootstrap.py installs.
find_python() {
    set -- python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3
    python=$(first_that is_whole "$@")
    [ -n "$python" ] || python=$(first_that starts /usr/bin/python3)
}

# packages.py does the same for all other packages, and more; here there is no Python yet.
install_python() (
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
    umask 022
    [ -d "${TMPDIR:-/tmp}" ] || unset TMPDIR
    try() {
        apt-get install -y -qq --no-install-recommends --no-remove -o DPkg::Lock::Timeout=300 python3 python3-venv
    }
    try || {
        dpkg --configure -a --force-confdef --force-confold
        apt-get update -qq
        try
    }
)

is_ready && exit 0

find_python
if [ -z "$python" ] && [ -z "$look" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing python3, python3-venv" >&2
    said=$(install_python 2>&1 >/dev/null) ||
        refusal=": apt-get refused: $(printf '%s\n' "$said" | grep '^[EW]: ' | head -n 1)"
    find_python
fi
# One without all of its modules may still do, or says itself what it lacks.
[ -n "$python" ] || python=$(first_that starts python3 python3.14 python3.13 python3.12 python3.11)
if [ -z "$python" ]; then
    got=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo none)
    echo "set-up: python: expected version 3.11 or later, got $got${refusal:-}" >&2
    echo "next: apt-get install python3 python3-venv (as root)" >&2
    exit 1
fi
if [ -n "$look" ]; then
    venv_is_ready && found=ready || found=
    exec "$python" -B harness/bootstrap.py look $found
fi
# Another make may be at it. bootstrap.py locks the folder behind descriptor 9. The lock goes when this shell
# and the bootstrap.py that it started have ended.
exec 9<.
"$python" -B harness/bootstrap.py wait 9
is_ready && exit 0
# What is wanted may change while it is installed: then the next set-up is to know.
wanted=$(what_is_wanted)
"$python" -B harness/bootstrap.py
set_up_for "$wanted" >.venv/ready

#!/bin/sh
# Makes this clone ready to work; the first command of every make target.
#
# When all is ready it costs a few milliseconds and says nothing. Else it finds a Python, which does the rest.
# With the word `look` it installs nothing, and says what is missing.
set -eu
look=${1:-}
CDPATH='' cd -- "$(dirname -- "$0")/.."

what_it_depends_on() {
    # A clone that was moved has a virtualenv full of paths that are wrong by now; so has one whose Python
    # was replaced by the next version.
    pwd
    readlink -f .venv/bin/python
    cat pyproject.toml harness/frame_harness/cli/requirements.lock harness/bootstrap.py
}

is_ready() {
    [ -x .venv/bin/frame-harness ] && [ -x .venv/bin/python ] && [ -r .venv/ready ] &&
        { command -v qemu-system-x86_64 || [ -x .venv/bin/qemu-system-x86_64 ]; } >/dev/null && command -v cc >/dev/null &&
        [ "$(what_it_depends_on | cksum)" = "$(cat .venv/ready)" ]
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
    exec "$python" -B harness/bootstrap.py look
fi
"$python" -B harness/bootstrap.py
what_it_depends_on | cksum >.venv/ready

#!/bin/sh
# Makes this clone ready to work; the first command of every make target.
#
# When all is ready it costs a few milliseconds and says nothing. Else it finds a Python, which does the rest.
# With the word `look` it installs nothing, and says what is missing.
set -eu
look=${1:-}
cd "$(dirname "$0")/.."

what_it_depends_on() {
    # A clone that was moved has a virtualenv full of paths that are wrong by now.
    pwd
    cat pyproject.toml harness/frame_harness/cli/requirements.lock harness/bootstrap.py
}

is_ready() {
    [ -x .venv/bin/frame-harness ] && [ -x .venv/bin/python ] && [ -r .venv/ready ] &&
        command -v qemu-system-x86_64 >/dev/null && command -v cc >/dev/null &&
        [ "$(what_it_depends_on | cksum)" = "$(cat .venv/ready)" ]
}

fits() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if fits "$python"; then
            echo "$python"
            return
        fi
    done
}

is_ready && exit 0

python=$(find_python)
if [ -z "$python" ] && [ -z "$look" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing python3, python3-venv" >&2
    export DEBIAN_FRONTEND=noninteractive
    packages="python3 python3-venv"
    # shellcheck disable=SC2086  # two words on purpose
    apt-get install -y -qq --no-install-recommends $packages >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages >/dev/null; }
    python=$(find_python)
fi
if [ -z "$python" ]; then
    echo "set-up: python: expected version 3.11 or later, got none" >&2
    echo "next: apt-get install python3 python3-venv" >&2
    exit 1
fi
if [ -n "$look" ]; then
    exec "$python" -B harness/bootstrap.py look
fi
"$python" -B harness/bootstrap.py
what_it_depends_on | cksum >.venv/ready

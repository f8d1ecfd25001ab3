"""The first command works on a real machine in the worst state, or says in one line why not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from frame_harness.base.commands import Finished
from tests.support.fresh_machine import HOME, FreshMachine, fresh_machine, needs_network

pytestmark = pytest.mark.slow

JUDGE = 'make qemu-test ARGS="--machine microvm --profile dev -k CONST-01"'
PASSED = "PASS: 1 check, 1 clause held, 1 machine × 1 profile"
OLD_QEMU = "1:7.2+dfsg-1\n"
# Packages that are not installed are no mistake; what depends on one of them goes, too.
REMOVE = r"""
dpkg-query -W -f '${db:Status-Status} ${Package}\n' $NAMES |
    sed -n 's/^installed //p' | DEBIAN_FRONTEND=noninteractive xargs -r apt-get remove -y -q
rm -f /usr/local/bin/qemu-system-x86_64
"""
WITHOUT_QEMU = {"NAMES": "qemu-system-x86 python3*-venv"}
# A host with a newer release of QEMU's tools, whose packages and those of its own release exclude each other.
TOOLS_OF_ANOTHER_RELEASE = """
mkdir -p /tmp/package/DEBIAN
cat >/tmp/package/DEBIAN/control <<END
Package: newer-qemu-tools
Version: 1
Architecture: all
Breaks: qemu-system-common, qemu-system-data
Maintainer: t <t@t>
Description: t
END
dpkg-deb --build /tmp/package /tmp/newer.deb >/dev/null
dpkg --install /tmp/newer.deb
"""
WITHOUT_RUST = {"NAMES": "rustc cargo rustc-web cargo-web rust-web-src libstd-rust-web-dev"}
# The oldest compiler that will do; other tests have newer ones.
PIN = """\
Package: rustc-web cargo-web rust-web-src libstd-rust-web-dev
Pin: version 1.85.*
Pin-Priority: 1001
"""
# Lists as they are after months: QEMU in a version that no mirror has any more, Rust as Debian 12 began.
MAKE_LISTS_OLD = """
cd /var/lib/apt/lists
for list in *_Packages*; do
    /usr/lib/apt/apt-helper cat-file "$list" | awk '
        /^Package: / { qemu = $2 == "qemu-system-x86"; rust = $2 ~ /^(rustc|cargo)-web$|^rust-web-src$/ }
        qemu && /^Version: / { $2 = "1:7.2+dfsg-1" }
        qemu && /^Filename: / { $2 = "pool/main/q/qemu/qemu-system-x86_7.2+dfsg-1_amd64.deb" }
        rust && /^Version: / { $2 = "1.63.0+dfsg1-2" }
        { print }' >/tmp/list
    rm "$list"
    cp /tmp/list "${list%_Packages*}_Packages"
done
sed -i 's/^ [0-9a-f]\\{8\\}\\([0-9a-f]\\{56\\} \\)/ 00000000\\1/' *Release
touch -d 2023-06-10 *
"""
# A real dpkg that is killed while it configures a package: by that package's own script, the first time.
INTERRUPT_DPKG = """
mkdir -p /tmp/package/DEBIAN
cd /tmp/package/DEBIAN
cat >control <<END
Package: half-done
Version: 1
Architecture: all
Maintainer: t <t@t>
Description: t
END
printf '#!/bin/sh\\n[ -e /etc/half-done ] || { touch /etc/half-done; kill -9 $PPID; }\\n' >postinst
chmod 755 postinst
dpkg-deb --build /tmp/package /tmp/half-done.deb >/dev/null
! dpkg --install /tmp/half-done.deb
"""
BRING_QEMU = """
import sys
sys.path.insert(0, "harness")
import bootstrap
(bootstrap.VENV / "bin").mkdir(parents=True, exist_ok=True)
for tool in bootstrap.HOST_TOOLS:
    if tool.stands_alone:
        assert not tool.works()
        bootstrap.bring(tool, print)
        assert tool.works()
"""
HOSTILE = {
    "PATH": "/opt/other/bin:/usr/local/bin:/usr/bin:/bin",  # no sbin, as `su` leaves it
    "VIRTUAL_ENV": "/opt/other",
    "PYTHONHOME": "/opt/nothing",
    "PYTHONPATH": "/opt/hostile",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PIP_PREFIX": "/opt/elsewhere",
    "PIP_PYTHON": "/bin/false",
    "PIP_REQUIRE_HASHES": "1",
    "PIP_NO_BINARY": ":all:",
    "PIP_CONSTRAINT": "/opt/nothing",
    "RUSTUP_TOOLCHAIN": "nothing",
    "CDPATH": "/opt:/",
    "TMPDIR": "/opt/nothing",
    "LC_ALL": "xx_YY.ISO-8859-1",
}


def done(finished: Finished) -> str:
    """What a command that went well said."""
    said = f"{finished.out}{finished.err}"
    assert finished.status == 0, said
    return said


@pytest.mark.whole
def test_machine_in_the_worst_state_is_judged_on_after_one_command(tmp_path: Path) -> None:
    """Debian's compiler alone, from lists that are months old; all else is damaged or in the way."""
    with fresh_machine(tmp_path) as machine:
        needs_network(machine)
        become_worst(machine)
        first = done(machine.sh(f"umask 077; {JUDGE}", HOSTILE))
        audited = done(machine.sh("dpkg --audit"))
        known = done(machine.sh("apt-cache policy qemu-system-x86"))
        second = machine.sh(f"umask 077; {JUDGE}", HOSTILE)
        elsewhere = machine.sh("ls /opt/elsewhere")
    assert "dpkg was interrupted" in first
    assert "Debian's rustc" in first and PASSED in first
    assert "half-done" not in audited
    assert OLD_QEMU not in known, "the lists are still old"
    assert PASSED in done(second)
    assert "installing" not in second.err and "toolchain" not in second.err
    assert elsewhere.status != 0, elsewhere.out


def become_worst(machine: FreshMachine) -> None:
    """Let the machine lack everything, and damage what is left."""
    done(machine.sh(REMOVE, WITHOUT_QEMU))
    done(machine.sh(REMOVE, WITHOUT_RUST))
    done(machine.sh(MAKE_LISTS_OLD))
    assert f"Candidate: {OLD_QEMU}" in done(machine.sh("apt-cache policy qemu-system-x86"))
    done(machine.sh("python3 -m venv --without-pip /opt/other"))
    done(machine.sh(INTERRUPT_DPKG))
    machine.place("/etc/apt/preferences.d/oldest-rust", PIN)
    machine.place("/opt/hostile/click.py", "raise SystemExit(9)\n")
    machine.place("/opt/hostile/frame_harness/__init__.py")
    machine.place(f"{HOME}/.pip/pip.conf", "[install]\nuser = true\n")


@pytest.fixture(scope="module")
def without_qemu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshMachine]:
    with fresh_machine(tmp_path_factory.mktemp("without-qemu")) as machine:
        done(machine.sh(REMOVE, WITHOUT_QEMU))
        yield machine


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "chown -R nobody: .; setpriv --reuid nobody --clear-groups make setup",
            "set-up: expected the packages python3-venv.*, got none, not root",
        ),
        (
            "chmod -R go-w .; chown -R root: .; setpriv --reuid nobody --clear-groups make setup",
            "expected a folder that you may write, got one that user 65534 may not",
        ),
        ("rm -rf /var/lib/apt/lists/*; unshare --net make setup", "none in apt's lists; apt-get update: "),
    ],
    ids=["no-rights", "somebody-else-s-clone", "no-network"],
)
def test_machine_that_cannot_be_set_up_says_so_in_one_line(
    command: str, said: str, without_qemu: FreshMachine
) -> None:
    finished = without_qemu.sh(command)
    assert finished.status != 0
    lines = [line for line in finished.err.splitlines() if not re.search(r" … | done in ", line)]
    reason, advice, *makes = lines
    assert re.search(said, reason), reason
    assert advice.startswith("next: ")
    assert all(line.startswith("make: ") for line in makes)


@pytest.mark.parametrize(
    "user", ["", "setpriv --reuid nobody --clear-groups "], ids=["as-root", "without-rights"]
)
def test_qemu_that_cannot_be_installed_is_unpacked_and_boots(user: str, tmp_path: Path) -> None:
    with fresh_machine(tmp_path) as machine:
        needs_network(machine)
        done(machine.sh(REMOVE, {"NAMES": "qemu-system-x86"}))
        done(machine.sh(TOOLS_OF_ANOTHER_RELEASE))
        set_up = machine.sh(f"chown -R nobody: . ..; {user}python3 -c '{BRING_QEMU}'")
        started = machine.sh(".venv/bin/qemu-system-x86_64 -machine microvm -L help")
        kept = machine.sh("dpkg-query -W -f '${db:Status-Status}' newer-qemu-tools")
    assert set_up.status == 0, set_up.err
    assert ".venv" in done(started)
    assert done(kept) == "installed"

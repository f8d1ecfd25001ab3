"""Makes programs that stand in for QEMU while misbehaving."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

from frame_harness.machine import Machine, load_machine

IMPATIENT = {"stall_wall_s": 1.0}
"""For a QEMU that never does anything; one that does must have the time that a loaded host takes."""

# Answers the monitor just well enough; `AFTER_CONT` is what it does once the guest is let run.
TALKS_QMP = """\
import json, os, re, signal, socket, sys
def fd_of(name):
    return int(re.search(rf"socket,id={name},fd=([0-9]+)", " ".join(sys.argv)).group(1))
monitor = socket.socket(fileno=fd_of("monitor"))
console = socket.socket(fileno=fd_of("console"))
def send(message):
    monitor.sendall(json.dumps(message).encode() + b"\\r\\n")
def requests():
    text = ""
    while piece := monitor.recv(4096).decode():
        text += piece.strip()
        while text:
            request, end = json.JSONDecoder().raw_decode(text)
            text = text[end:].strip()
            yield request
MTREE = 'FlatView #0\\r\\n AS "memory", root: system\\r\\n' \\
    "  0000000000000000-0000000003ffffff (prio 0, ram): ram\\r\\n"
send({"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}})
for request in requests():
    send({"return": MTREE if "mtree" in str(request) else {}, "id": request.get("id")})
    if request["execute"] == "cont":
        AFTER_CONT
"""


def write_script(folder: Path, text: str, *, name: str = "fake-qemu") -> Machine:
    """Return a machine whose QEMU is this shell script."""
    return _machine(folder / name, "#!/bin/sh\n" + text).override(limits=IMPATIENT)


def write_talker(folder: Path, after_cont: str) -> Machine:
    """Return a machine whose QEMU shakes hands like a real one, then runs these Python statements."""
    return write_python(folder, TALKS_QMP.replace("AFTER_CONT", after_cont.replace("\n", "\n        ")))


def write_python(folder: Path, text: str) -> Machine:
    """Return a machine whose QEMU is this Python program."""
    return _machine(folder / "fake-qemu", f"#!{sys.executable} -S\n" + text)


def _machine(path: Path, text: str) -> Machine:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return load_machine("pc").override(qemu=str(path), ram="64 MiB")

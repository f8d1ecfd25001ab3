"""Starts the program `frame-harness`, whatever is in the way.

It lies beside the package, not in it: a folder of the package's name that Python finds first, a package that
is not installed, Ctrl-C while modules are read must all end with a status that is no verdict. Python's own
status of an error would be 1, which means FAIL.

What takes time to import is imported by the functions: before `main`, the script that calls it tells Ctrl-C.
"""

from __future__ import annotations

import itertools
import os
import sys

PACKAGE = "frame_harness"
ERROR, INTERRUPTED = 3, 130
_REPORTS = ("--json", "--junit", "--sarif", "--code-quality", "--lcov", "--html")
_READ = ("--frame-rs", "--kernel-src", "--baseline", "--machine", "--last-failed")
_READ_FROM_THE_ENVIRONMENT = ("FRAME_RS", "KERNEL_SRC")
_OF_A_CAMPAIGN = ("results.jsonl", "campaign.json", "lock")


def main() -> None:
    """Run the command line, exit with its status; what keeps it from starting is one line."""
    try:
        import importlib  # noqa: PLC0415

        _stop_like_ctrl_c()
        _hear_each_ctrl_c()
        _open_closed_streams()
        if sys.argv[1:2] and not sys.argv[1].startswith("-"):
            _require_working_directory()
        if sys.argv[1:2] == ["check"]:
            forget_reports(sys.argv[2:])
        importlib.import_module(f"{PACKAGE}.cli.main").main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except (
        Exception
    ) as error:  # whatever a foreign or a broken package raises, at once or when it is first needed
        print(f"error: frame-harness cannot start: {type(error).__name__}: {error}", file=sys.stderr)
        print(f"next: {_advice()}", file=sys.stderr)
        sys.exit(ERROR)
    finally:
        import signal  # noqa: PLC0415

        # Python still ends its threads and its guests: nothing there is to be cut off by a second Ctrl-C.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def _require_working_directory() -> None:
    """End where the folder that paths are relative to is gone: it was removed, or another took its place."""
    from pathlib import Path  # noqa: PLC0415

    try:
        Path.cwd()
    except OSError as error:
        print(f"error: working directory: expected a folder, got: {error.strerror}", file=sys.stderr)
        print("next: cd to a folder that is there, such as this one by its name", file=sys.stderr)
        sys.exit(ERROR)


def forget_reports(words: list[str]) -> None:
    """Remove the reports that the words after `check` name, unless the run may read the same file.

    Before anything can refuse the command line: a typo must not leave the report of an earlier run in place.
    Rust source stays, whatever names it: a module has files of its own beside it, a kernel tree has many.
    """
    from pathlib import Path  # noqa: PLC0415

    named = [*_values(words, _READ), *(os.environ.get(name, "") for name in _READ_FROM_THE_ENVIRONMENT)]
    read = [Path(name) for name in named if name]
    read += [Path(folder, name) for folder in _values(words, ("--resume",)) for name in _OF_A_CAMPAIGN]
    for name in _values(words, _REPORTS):
        report = Path(name)
        try:
            mine = report.is_file() and not report.is_symlink() and report.resolve().suffix != ".rs"
            if mine and not any(one.exists() and one.samefile(report) for one in read):
                report.unlink()
        except (OSError, ValueError):
            continue  # the program itself says why it cannot be written


def _values(words: list[str], options: tuple[str, ...]) -> list[str]:
    found = [after for word, after in itertools.pairwise(words) if word in options]
    return found + [
        word.partition("=")[2] for word in words if word.partition("=")[0] in options and "=" in word
    ]


def _stop_like_ctrl_c() -> None:
    """Let SIGTERM and SIGHUP end the program as Ctrl-C does; one that is ignored (nohup) stays ignored."""
    import signal  # noqa: PLC0415

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _hear_each_ctrl_c() -> None:
    """Send a stop once more where Python dropped it: it ignores what a destructor raises."""
    before = sys.unraisablehook

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            before(dropped)
            return
        import signal  # noqa: PLC0415
        import threading  # noqa: PLC0415

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.default_int_handler:
                # Later, and from outside: here, it would be dropped again.
                again = threading.Timer(0.1, os.kill, (os.getpid(), number))
                again.daemon = True
                again.start()
                return

    sys.unraisablehook = hook


def _open_closed_streams() -> None:
    """Let each closed standard descriptor lead nowhere: the next file that is opened would take its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            # Both names, as in Python: a program that wraps one must not close it if the other is missing.
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _advice() -> str:
    from pathlib import Path  # noqa: PLC0415

    found = sys.modules.get(PACKAGE)
    places = [Path(place).resolve() for place in getattr(found, "__path__", [])]
    own = Path(__file__).resolve().parent / PACKAGE
    foreign = [place for place in places if place != own]
    if foreign:
        return f"{foreign[0]} hides the package of that name: take its folder out of PYTHONPATH"
    return "install it again: make setup in a clone, else pip install --force-reinstall"


if __name__ == "__main__":  # `python -m`: without it that did nothing, with the status of a PASS
    main()

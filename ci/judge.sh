#!/bin/sh
# Judges a kernel in a CI system, and leaves every report in one folder; ends with the status of the verdict.
#
# FRAME_RS or KERNEL_SRC   what to judge
# PROFILE, SELECT, BASELINE   as --profile, -k, --baseline; what is empty is omitted
# REPORTS   the folder for the reports
# HARNESS   the program, where it is not this clone's own
set -u
harness=${HARNESS:-$(dirname -- "$0")/../.venv/bin/frame-harness}
: "${REPORTS:?names the folder for the reports}"
if [ -z "${FRAME_RS:-}${KERNEL_SRC:-}" ]; then
    # The built-in module keeps every clause: its PASS would stand for a kernel that nobody looked at.
    echo "error: what to judge: expected a path in FRAME_RS or KERNEL_SRC, got none" >&2
    echo "next: name your frame.rs, or your kernel's tree" >&2
    exit 2
fi
mkdir -p -- "$REPORTS" || exit 3

set -- check \
    --json "$REPORTS/report.json" \
    --junit "$REPORTS/report.xml" \
    --sarif "$REPORTS/report.sarif" \
    --code-quality "$REPORTS/code-quality.json" \
    --html "$REPORTS/report.html" \
    --out "$REPORTS/evidence"
if [ -n "${PROFILE:-}" ]; then set -- "$@" --profile "$PROFILE"; fi
if [ -n "${SELECT:-}" ]; then set -- "$@" -k "$SELECT"; fi
if [ -n "${BASELINE:-}" ]; then set -- "$@" --baseline "$BASELINE"; fi
exec "$harness" "$@"

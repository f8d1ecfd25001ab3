#!/bin/sh
# Judges a kernel in a CI system, and leaves every report in one folder; ends with the status of the verdict.
#
# FRAME_RS or KERNEL_SRC   what to judge; the built-in module without either
# PROFILE, SELECT, BASELINE   as --profile, -k, --baseline; what is empty is left away
# REPORTS   the folder for the reports
# HARNESS   the program, where it is not this clone's own
set -u
harness=${HARNESS:-$(dirname -- "$0")/../.venv/bin/frame-harness}
: "${REPORTS:?names the folder for the reports}"
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

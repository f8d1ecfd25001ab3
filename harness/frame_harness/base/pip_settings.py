"""Takes from a user's settings of pip what says where packages come from.

The others may send the packages elsewhere than into the virtualenv (`target`, `prefix`, `python`), or change
what is installed (`constraint`, `require-hashes`, `no-binary`). A list of those would always lack one.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping

TAKEN = frozenset(
    {
        "cache-dir", "cert", "client-cert", "default-timeout", "extra-index-url", "find-links", "index-url",
        "keyring-provider", "no-cache-dir", "no-index", "proxy", "retries", "timeout", "trusted-host",
    }
)  # fmt: skip
# Later ones outrank earlier ones, as in pip: every command's, then those of `pip install`.
_SECTIONS = ("global", "install")


def to_ask(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which `pip config list` tells what stands in files."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith("PIP_") or name == "PIP_CONFIG_FILE"
    }


def environment(environ: Mapping[str, str], listed: str) -> dict[str, str]:
    """Return the environment in which pip installs.

    Args:
        environ: the caller's.
        listed: what `pip config list` printed.
    """
    found: dict[str, str] = {}
    for section in _SECTIONS:
        # global.cert='/etc/ssl/certs/ca-certificates.crt'
        for key, value in re.findall(rf"^{section}\.([\w-]+)=(.+)$", listed, flags=re.MULTILINE):
            found[key] = str(ast.literal_eval(value))
    for name, value in environ.items():
        if name.startswith("PIP_"):
            found[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    kept = {name: value for name, value in environ.items() if not name.startswith("PIP_")}
    taken = {f"PIP_{key.upper().replace('-', '_')}": value for key, value in found.items() if key in TAKEN}
    # pip reads no file at all then.
    return kept | taken | {"PIP_CONFIG_FILE": os.devnull}

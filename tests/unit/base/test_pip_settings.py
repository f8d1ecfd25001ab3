"""Of pip's settings only those count that say where packages come from."""

from __future__ import annotations

import os

from frame_harness.base import pip_settings

LISTED = """\
global.cert='/etc/ssl/own.crt'
global.timeout='10'
install.timeout='20'
install.user='true'
install.no-binary=':all:'
global.find-links='/opt/one\\n/opt/two'
"""


def test_where_packages_come_from_is_taken_from_files_and_variables() -> None:
    env = pip_settings.environment({"PIP_INDEX_URL": "https://mirror/simple", "HOME": "/h"}, LISTED)
    assert env == {
        "HOME": "/h",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_CERT": "/etc/ssl/own.crt",
        "PIP_FIND_LINKS": "/opt/one\n/opt/two",
        "PIP_INDEX_URL": "https://mirror/simple",
        "PIP_TIMEOUT": "20",
    }


def test_variable_outranks_files() -> None:
    assert pip_settings.environment({"PIP_TIMEOUT": "30"}, LISTED)["PIP_TIMEOUT"] == "30"


def test_what_changes_where_or_what_is_installed_is_left_out() -> None:
    hostile = {
        "PIP_TARGET": "/x", "PIP_PREFIX": "/x", "PIP_ROOT": "/x", "PIP_USER": "1", "PIP_PYTHON": "/bin/false",
        "PIP_DRY_RUN": "1", "PIP_REQUIRE_HASHES": "1", "PIP_CONSTRAINT": "/x", "PIP_PRE": "1",
    }  # fmt: skip
    assert pip_settings.environment(hostile, "") == {"PIP_CONFIG_FILE": os.devnull}


def test_files_are_asked_for_without_what_the_variables_say() -> None:
    environ = {"PIP_PYTHON": "/bin/false", "PIP_CONFIG_FILE": "/my/pip.conf", "PATH": "/bin"}
    assert pip_settings.to_ask(environ) == {"PIP_CONFIG_FILE": "/my/pip.conf", "PATH": "/bin"}

"""Sets hypothesis up so that a loaded host is no failure."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("frame-harness", deadline=None)
settings.load_profile("frame-harness")

"""Which copy of this project the tests are testing."""

from __future__ import annotations

import os
from pathlib import Path

import publisher
import registry_client

_ROOT = Path(__file__).resolve().parents[1]
_INSTALLED = bool(os.environ.get("TEST_INSTALLED"))


def test_what_is_tested_is_what_was_meant() -> None:
    """With TEST_INSTALLED, as `make test-wheel` sets it, the built wheel is tested, and otherwise the source tree."""
    for package in (registry_client, publisher):
        folder = Path(package.__file__ or "").resolve().parent
        if _INSTALLED:
            assert folder.parent.name == "site-packages", folder
        else:
            assert folder.parent == _ROOT, folder

"""What an attacker may do to a host: with stolen keys, as a mirror, by an edited lock, by a plugin that writes where it can."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.areas import tree
from support.host import HostBench, host_bench
from support.installs import HostProject, done
from support.trials import Trial
from support.world import World
from test_attacks import (
    KEYS,
    Files,
    Thief,
    blocks_signed_online,
    forged_release,
    line,
    new_manifest,
    older_blocks,
    signed_release,
    snapshot_with,
)

from publisher.registrar.gate import TreeTransport
from publisher.tree import MemoryTree
from registry_client.digest import Digest
from registry_client.errors import ConfigError, ConsentError, DigestError, DocumentError, InstallError, RegistryError, UnsafePathError
from registry_client.installer.installer import Consent, Installer

"""Manifests in other forms, made into the registry's: one adapter for each.

An adapter is pure: it reads the plugin's folder through `SourceFiles`, and says what it could not carry over. It never
changes a file; `Converted.with_version` gives the bytes that another version would make of one.
"""

from publisher.adapters.detect import REGISTRY, Detected, detect
from publisher.adapters.draft import Converted, Note
from publisher.adapters.files import Folder, MemoryFiles, SourceFiles
from publisher.adapters.repository import repository_name

__all__ = [
    "REGISTRY",
    "Converted",
    "Detected",
    "Folder",
    "MemoryFiles",
    "Note",
    "SourceFiles",
    "detect",
    "repository_name",
]

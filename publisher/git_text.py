"""What Git prints, and what it is given to read, as text. Pure: starts nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from publisher.git_remote import TOKEN_VARIABLE
from registry_client.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

AUTHOR: Final = ("Plugin Registry", "plugin-registry@localhost")
NEW_COMMIT: Final = "refs/heads/_new"
_SECRET_IN_URL = re.compile(r"(://)[^/@\s]+@")
_LONGEST_OUTPUT = 2000


@dataclass(frozen=True)
class Entry:
    """One entry of a Git tree.

    Attributes:
        mode: such as `100644`.
        kind: `blob`, `commit` (a submodule) or `tree`.
        oid: object id.
        path: relative to the tree's top.
    """

    mode: str
    kind: str
    oid: str
    path: str


@dataclass(frozen=True)
class PushResult:
    """What became of one ref of a push."""

    ref: str
    accepted: bool
    reason: str


def parse_entries(listing: bytes) -> list[Entry]:
    """What `git ls-tree -z` lists."""
    found = []
    for line in listing.split(b"\0")[:-1]:
        head, _, path = line.partition(b"\t")
        mode, kind, oid = head.decode().split(" ")
        found.append(Entry(mode, kind, oid, path.decode(errors="replace")))
    return found


def parse_push(output: bytes, shown: Callable[[bytes], str]) -> list[PushResult]:
    """What `git push --porcelain` says of each ref.

    Args:
        output: what it prints.
        shown: makes text of a remote's that may be shown.
    """
    results = []
    for line in output.decode(errors="replace").splitlines():
        flag, _, rest = line.partition("\t")
        names, _, reason = rest.partition("\t")
        if len(flag) == 1 and ":" in names:
            results.append(PushResult(names.rpartition(":")[2], flag != "!", shown(reason.encode())))
    return results


def commit_stream(
    parent: str | None, changes: Mapping[str, bytes | None], message: str, when: datetime
) -> bytes:
    """What `git fast-import` reads to make a commit at `NEW_COMMIT`. Arguments as for `Git.commit`.

    Raises:
        GitError: a path cannot stand in a commit.
    """
    who = f"{AUTHOR[0]} <{AUTHOR[1]}> {int(when.timestamp())} +0000"
    text = message.encode()
    head = f"commit {NEW_COMMIT}\ncommitter {who}\ndata {len(text)}\n"
    stream = [head.encode() + text + b"\n"]
    if parent:
        stream.append(b"from %s\n" % parent.encode())
    for path, data in sorted(changes.items()):
        name = _quoted(path)
        if data is None:
            stream.append(b"D %s\n" % name)
        else:
            stream.append(b"M 100644 inline %s\ndata %d\n%s\n" % (name, len(data), data))
    return b"".join(stream) + b"done\n"


def _quoted(path: str) -> bytes:
    """A path as fast-import reads it, whatever is in it: no path can end its line and begin a command.

    Raises:
        GitError: it cannot stand in a commit.
    """
    try:
        data = path.encode()
    except UnicodeEncodeError:
        data = b"\0"
    if b"\0" in data or any(part.lower() in {"", ".", "..", ".git"} for part in path.split("/")):
        raise GitError(f"{path[:120]!r} cannot be a path in a commit")
    return b'"%s"' % data.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")


def without_secrets(output: bytes, token: str) -> str:
    """The end of what Git printed, with the token and any other credential removed."""
    text = output.decode(errors="replace").strip()
    if token:
        text = text.replace(token, "***")
    return _SECRET_IN_URL.sub(r"\1***@", text)[-_LONGEST_OUTPUT:]


def hint_for(stderr: bytes) -> str:
    """What to do about an error of Git's."""
    text = stderr.decode(errors="replace").lower()
    if "authentication failed" in text or "could not read username" in text or "403" in text:
        return f"Put a token that may push to this repository into {TOKEN_VARIABLE}."
    nowhere = (
        "not found",
        "does not appear to be a git repository",
        "does not exist",
        "could not read from remote",
    )
    if any(words in text for words in nowhere):
        return "Check the name of the registry; it may be a folder, or any Git URL."
    return ""


__all__ = [
    "AUTHOR",
    "NEW_COMMIT",
    "Entry",
    "PushResult",
    "commit_stream",
    "hint_for",
    "parse_entries",
    "parse_push",
    "without_secrets",
]

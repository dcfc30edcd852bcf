"""The error tree.

Every failure that a caller can meet is a `RegistryError`. An error has a message that names the file or
URL and the rule, and a hint that says what to do about it. Each branch has its own exit code for the command lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class RegistryError(Exception):
    """Base of every error that this project raises on purpose.

    Args:
        message: what is wrong, naming the file or URL and the rule.
        hint: the way out, one sentence; empty where there is none.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    @property
    def kind(self) -> str:
        """The class name without `Error`, as the JSON outputs show it."""
        return type(self).__name__.removesuffix("Error")


class ConfigError(RegistryError):
    """What the caller configured cannot be used: an option, a key, a directory, a root of trust."""

    exit_code = 3


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a document.

    Attributes:
        path: JSON path of the offending value, such as `$.artifacts[0].digest`.
        message: what was found and what was expected.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class DocumentError(RegistryError):
    """A document breaks the rules of its kind; all that is wrong with it is listed in `problems`."""

    exit_code = 4

    def __init__(self, where: str, problems: list[Problem], *, hint: str = "") -> None:
        self.where = where
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{where}: {count}{lines}", hint=hint)


class ManifestError(DocumentError):
    """A manifest breaks its rules."""


class FetchError(RegistryError):
    """Bytes could not be fetched. `status` is the HTTP status code, or None where there was no answer.

    `retry_after` is how many seconds the host asked to be left alone, where it did.
    """

    exit_code = 5

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after = retry_after


class NotFetchedError(FetchError):
    """The host answered that the file does not exist (404, 410) or may not be read (403)."""


class TooLargeError(FetchError):
    """The body is longer than allowed; reading stopped at the limit."""


class VerificationError(RegistryError):
    """Bytes arrived, but they are not what was signed."""

    exit_code = 6


class SignatureError(VerificationError):
    """Too few valid signatures of keys that count."""


class DigestError(VerificationError):
    """Bytes do not have the digest or the size that the signed documents state."""


class ExpiredError(VerificationError):
    """Signed metadata has expired, so nothing can be said about what is current."""


class RollbackError(VerificationError):
    """Something older than what was already seen was offered as current."""


class ResolutionError(RegistryError):
    """No version fits what was asked for."""

    exit_code = 7


class NotFoundError(ResolutionError):
    """The plugin or the version is not in the registry."""


class YankedError(ResolutionError):
    """The version exists, but its status keeps it from being used (yanked, blocked, quarantined, draft)."""


class ConflictError(ResolutionError):
    """What is asked for cannot be had together."""


class InstallError(RegistryError):
    """A plugin could not be put in place on this machine."""

    exit_code = 8


class UnsafePathError(InstallError):
    """A name would leave its folder or cannot exist on every file system."""


class ConsentError(InstallError):
    """What an operation would change needs its owner's consent: more permissions, or an unsigned source."""


class ReadOnlyError(InstallError):
    """The plugins folder cannot be written: what is there can be looked at, and nothing changed."""


class HookError(InstallError):
    """A host's own hook failed. Before the change: nothing was changed. After it: the change stands."""


class PublishError(RegistryError):
    """Something could not be published."""

    exit_code = 9


class VersionExistsError(PublishError):
    """The version is published already, with other content."""


class GitError(PublishError):
    """A Git command failed. Its output is in the message, with credentials removed."""


class GitHubError(PublishError):
    """GitHub's API refuses or does not answer. `status` is the HTTP status code, or None where there was no answer."""

    def __init__(self, message: str, *, status: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class RegistrarError(RegistryError):
    """The registrar refuses to write a new index."""

    exit_code = 10


class PluginWarning(UserWarning):
    """Something that works, but that an owner should know about: a stale index, a deprecated version."""

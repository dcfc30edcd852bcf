"""A mirror on object storage. The only module that touches obstore.

Credentials are the library's business: it takes them from the environment or from the machine's role. Its errors may hold URLs with
signatures or tokens in them, so no text of theirs is ever passed on: out of it are taken a status, a code and a few known words.
"""

from __future__ import annotations

import contextlib
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from publisher.mirror.lease import LEASE_SECONDS, Clock, held
from publisher.mirror.place import OWN, ConflictError, Tag, say_nothing
from registry_client.errors import ConfigError, PublishError
from registry_client.jsontext import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from publisher.mirror.kinds import Kind
    from publisher.mirror.place import Hold
    from publisher.mirror.target import Bucket

_SMALL: Final = 16 * MIB
_QUICK = timedelta(seconds=LEASE_SECONDS / 6)
"""Of what a run may write only while it holds the right: one attempt, and for as long further ones."""
_LONG = timedelta(seconds=600)
_PAGE = 1000
_RETRIES = 5
_STATUS = re.compile(r"status code: ([1-5][0-9]{2})")
_CODE = re.compile(r"<Code>([A-Za-z]{3,60})</Code>")
_WORDS: Final = (
    ("dns error", "its host name is not known"),
    ("tcp connect error", "nothing answers there"),
    ("BadScheme", "http is refused"),
    ("certificate", "its certificate does not verify"),
    ("TimedOut", "no answer in time"),
    ("timed out", "no answer in time"),
    ("MissingAccount", "AZURE_STORAGE_ACCOUNT_NAME is not set"),
    ("MissingRegion", "AWS_REGION is not set"),
    ("instance metadata", "no credentials are in the environment, and this machine has no role"),
    ("169.254.169.254", "no credentials are in the environment, and this machine has no role"),
    ("InstanceCredentials", "no credentials are in the environment, and this machine has no role"),
    ("TokenRequest", "no credentials could be had"),
    ("not yet implemented", "conditions of writes are switched off: unset AWS_CONDITIONAL_PUT"),
    ("InvalidPath", "an object there has a name with an empty part, '.' or '..': delete it"),
)
_HINTS: Final = {
    "401": "Set the credentials in the environment, as docs/operations.md lists them.",
    "403": "Give these credentials the right to list, read, write and delete below this prefix, and check the bucket's region.",
    "404": "Make the bucket first; check its name and the endpoint.",
    "301": "Set AWS_REGION to the bucket's region.",
    "400": "Check AWS_REGION, the endpoint and the credentials.",
}
_CONFLICT = "409"
"""S3 answers so where two writes with conditions meet."""
_ELSE = "Run it again; it completes what is missing."


def open_bucket(
    bucket: Bucket,
    endpoint: str | None,
    *,
    wait: float,
    clock: Clock | None = None,
    on_wait: Callable[[], object] = say_nothing,
) -> ObjectPlace:
    """The place that a target names.

    Args:
        bucket: the target.
        endpoint: what is asked in place of the cloud's own endpoint; checked before (`target.endpoint_of`).
        wait: seconds to wait for another run.
        clock: how time passes.
        on_wait: called once where that wait begins.

    Raises:
        ConfigError: the library is missing, or cannot use what is configured.
    """
    try:
        from obstore import store as stores  # noqa: PLC0415  (an extra)
    except ImportError as e:
        raise ConfigError(
            f"{bucket.url}: mirrors on object storage need obstore",
            hint="pip install 'plugin-registry[mirror]'",
        ) from e
    config: dict[str, Any] = {"endpoint": endpoint} if endpoint and bucket.scheme != "gs" else {}
    if endpoint and bucket.scheme == "gs":
        config = {"base_url": endpoint}
    from_url: Any = stores.from_url  # its overloads tell the clouds apart, and this does not
    plain = (endpoint or "").startswith("http://")

    def store(timeout: timedelta) -> Any:
        with _translated(bucket.url, "cannot be opened"):
            return from_url(
                bucket.url,
                config=config or None,
                client_options={"allow_http": plain, "timeout": timeout},
                retry_config={"max_retries": _RETRIES, "retry_timeout": timeout},
            )

    return ObjectPlace(bucket.url, store(_QUICK), store(_LONG), wait, clock or Clock(), on_wait)


class ObjectPlace:
    """A `Place` on object storage.

    Args:
        name: the target, for messages.
        quick: obstore's store, for what is small.
        patient: the same with time for large files, which are all immutable: written late, they do no harm.
        wait: seconds to wait for another run.
        clock: how time passes.
        on_wait: called once where that wait begins.
    """

    def __init__(
        self,
        name: str,
        quick: Any,
        patient: Any,
        wait: float,
        clock: Clock,
        on_wait: Callable[[], object] = say_nothing,
    ) -> None:
        self.name = name
        self._quick = quick
        self._patient = patient
        self._wait = wait
        self._clock = clock
        self._on_wait = on_wait

    def exclusive(self, version: int) -> AbstractContextManager[Hold]:
        """Hold the lease; `Place.exclusive` documents it."""
        return held(self, version, self._wait, self._clock, self._on_wait)

    def empty(self) -> bool:
        """Whether there is nothing but what runs remember."""
        return not any(path.partition("/")[0] != OWN for path, _ in self._pages())

    def list(self) -> dict[str, Tag]:
        """Every object below the prefix."""
        return dict(self._pages())

    def _pages(self) -> Iterator[tuple[str, Tag]]:
        import obstore  # noqa: PLC0415

        with _translated(self.name, "cannot be listed"):
            for page in obstore.list(self._patient, chunk_size=_PAGE):
                # Without a name is the object that consoles make for a folder.
                named = (item for item in page if item["path"])
                yield from ((item["path"], Tag(item["e_tag"], item["version"])) for item in named)

    def digest(self, tag: Tag) -> None:  # noqa: ARG002
        """An entity tag says nothing of the bytes that every store would agree on."""
        return

    def read(self, path: str, limit: int) -> tuple[bytes, Tag] | None:
        """The bytes of an object; `Place.read` documents it."""
        import obstore  # noqa: PLC0415

        try:
            with _translated(f"{self.name}/{path}", "cannot be read", missing=True):
                got = obstore.get(self._patient if limit > _SMALL else self._quick, path)
                if got.meta["size"] > limit:
                    raise PublishError(
                        f"{self.name}/{path}: more than {limit} bytes", hint="Delete it, and run it again."
                    )
                return bytes(got.bytes()), Tag(got.meta["e_tag"], got.meta["version"])
        except FileNotFoundError:
            return None

    def put(self, path: str, data: bytes, kind: Kind, seen: Tag | None) -> Tag:
        """Write an object under a condition; `Place.put` documents it."""
        import obstore  # noqa: PLC0415

        attributes = {"Content-Type": kind.content_type, "Cache-Control": kind.cache_control}
        if kind.attachment:
            attributes["Content-Disposition"] = "attachment"
        mode: Any = "create" if seen is None else {k: v for k, v in seen._asdict().items() if v is not None}
        store = self._patient if len(data) > _SMALL else self._quick
        with _translated(f"{self.name}/{path}", "cannot be written"):
            done = obstore.put(store, path, data, attributes=attributes, mode=mode, use_multipart=False)
        return Tag(done["e_tag"], done["version"])

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects."""
        import obstore  # noqa: PLC0415

        with (
            contextlib.suppress(FileNotFoundError),
            _translated(self.name, "cannot be deleted from", missing=True),
        ):
            obstore.delete(self._quick, list(paths))


@contextlib.contextmanager
def _translated(where: str, what: str, *, missing: bool = False) -> Iterator[None]:
    """Turn obstore's errors into ours, without a word of theirs; not chained either, for a log of the chain would hold them."""
    from obstore import exceptions  # noqa: PLC0415

    try:
        yield
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
        raise ConflictError(f"{where}: was changed meanwhile", hint=_ELSE) from None
    except FileNotFoundError as e:
        if missing and "NoSuchBucket" not in str(e):
            raise
        raise ConfigError(f"{where}: {what} (NoSuchBucket)", hint=_HINTS["404"]) from None
    except (exceptions.BaseError, OSError, ValueError, NotImplementedError) as e:
        raise _error(where, what, str(e)) from None


def _error(where: str, what: str, text: str) -> PublishError:
    status, code = _STATUS.search(text), _CODE.search(text)
    said = [found[1] for found in (status, code) if found]
    said += [word for mark, word in _WORDS if mark in text][:1]
    hint = _HINTS.get(status[1] if status else "", _ELSE)
    kind = ConflictError if status and status[1] == _CONFLICT else PublishError
    return kind(f"{where}: {what} ({', '.join(said) or 'no reason was given'})", hint=hint)


__all__ = ["ObjectPlace", "open_bucket"]

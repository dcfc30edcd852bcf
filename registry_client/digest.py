"""Digests: `sha256:<64 lower-case hex digits>`, a type of their own."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Self

from registry_client.errors import DigestError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")


class Digest(str):
    """A SHA-256 digest written as `sha256:<hex>`.

    Raises:
        ValueError: the text is not of that form.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Accept a well-formed digest only."""
        if not _PATTERN.fullmatch(text):
            raise ValueError(f"expected sha256: and 64 lower-case hex digits, got {text[:80]!r}")
        return super().__new__(cls, text)

    @classmethod
    def of(cls, data: bytes | memoryview) -> Self:
        """The digest of `data`."""
        return str.__new__(cls, f"sha256:{hashlib.sha256(data).hexdigest()}")

    @classmethod
    def from_hex(cls, hexdigest: str) -> Self:
        """The digest whose 64 hex digits are `hexdigest`."""
        return cls(f"sha256:{hexdigest}")

    @property
    def hex(self) -> str:
        """The 64 hex digits alone."""
        return self[7:]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Accept exactly this form wherever a model has a digest."""
        from pydantic_core import core_schema  # noqa: PLC0415  (pydantic is imported only where models are)

        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema())

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Show the form in the generated JSON Schemas."""
        return {"type": "string", "pattern": r"^sha256:[0-9a-f]{64}$(?!\n)"}


def verify_digest(data: bytes, *, digest: Digest, size: int | None, where: str) -> bytes:
    """Give `data` back if it has exactly this digest and this size in bytes.

    Raises:
        DigestError: it has not. `where` (a path or URL) is named in the message.
    """
    if size is not None and len(data) != size:
        raise DigestError(
            f"{where}: {len(data)} bytes, but the signed size is {size}",
            hint="The copy is damaged, changed, or older than the index. Try again in 5 minutes or use a mirror.",
        )
    found = Digest.of(data)
    if found != digest:
        raise DigestError(
            f"{where}: digest is {found}, but the signed digest is {digest}",
            hint="The copy is damaged, changed, or older than the index. Try again in 5 minutes or use a mirror.",
        )
    return data

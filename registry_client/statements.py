"""The maintainers' documents as this machine has them: policy, publishers, blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from registry_client.digest import Digest
from registry_client.errors import NotFoundError, VerificationError
from registry_client.keys import refuse_dev_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client.models.blocks import Block
    from registry_client.models.policy import Policy
    from registry_client.signed import PublisherKeys
    from registry_client.store import Store

T = TypeVar("T")


class Statements:
    """Reads and parses what the maintainers signed, each document once.

    Args:
        target: gives the verified bytes of a TUF target.
        store: remembers blocks.
        allow_dev_keys: accept publishers with development keys.
    """

    def __init__(self, target: Callable[[str], bytes], store: Store, *, allow_dev_keys: bool) -> None:
        self._target = target
        self._store = store
        self._allow_dev_keys = allow_dev_keys
        self._parsed: dict[Digest, object] = {}

    def blocks(self) -> tuple[Block, ...]:
        """The blocks in force; remembered, because they do not expire for those who hold them."""
        from registry_client.signed import parse_blocks  # noqa: PLC0415  (searching needs no signatures)

        data = self._target("blocks.json")
        blocks = self._once(data, lambda: parse_blocks(data, "blocks.json").blocks)
        self._store.write_blocks(data)
        return blocks

    def last_blocks(self) -> tuple[Block, ...]:
        """The blocks last verified, however old; none if there never were any."""
        from registry_client.signed import parse_blocks  # noqa: PLC0415

        data = self._store.read_blocks()
        return () if data is None else parse_blocks(data, "blocks.json").blocks

    def policy(self) -> Policy:
        """The registry's policy."""
        return self._policy(self._target("policy.json"))

    def cached_policy(self) -> Policy | None:
        """The policy as it was last verified, without asking a host; None if it was never needed."""
        view = self._store.read_view()
        data = self._store.read_object(Digest(view.policy)) if view is not None else None
        return None if data is None else self._policy(data)

    def publisher(self, publisher_id: str) -> PublisherKeys:
        """A publisher's keys.

        Raises:
            VerificationError: the maintainers know no such publisher, or its file is not sound.
        """
        from registry_client.signed import parse_publisher  # noqa: PLC0415

        path = f"publishers/{publisher_id}.json"
        try:
            data = self._target(path)
        except NotFoundError as e:
            raise VerificationError(f"{path}: the maintainers have signed no such publisher") from e
        keys = self._once(data, lambda: parse_publisher(data, path))
        current = [key.model_dump() for key in keys.publisher.keys.values()]
        refuse_dev_keys(current, path, allowed=self._allow_dev_keys)
        return keys

    def _policy(self, data: bytes) -> Policy:
        from registry_client.signed import parse_policy  # noqa: PLC0415

        return self._once(data, lambda: parse_policy(data, "policy.json"))

    def _once(self, data: bytes, parse: Callable[[], T]) -> T:
        digest = Digest.of(data)
        if digest not in self._parsed:
            self._parsed[digest] = parse()
        return self._parsed[digest]  # type: ignore[return-value]

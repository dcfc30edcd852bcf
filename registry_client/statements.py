"""The maintainers' documents as this machine has them: policy, publishers, blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from registry_client.digest import Digest
from registry_client.errors import NotFoundError, VerificationError
from registry_client.keys import refuse_dev_keys
from registry_client.store import HeldBlocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client.models.blocks import Block
    from registry_client.models.policy import Policy
    from registry_client.signed import PublisherKeys
    from registry_client.store import Store
    from registry_client.trust import TargetRef

T = TypeVar("T")


class Statements:
    """Reads and parses what the maintainers signed, each document once.

    Args:
        find: what the verified state says of a TUF target.
        read: gives the verified bytes of a target.
        store: remembers blocks.
        lock_timeout: seconds to wait for the store's lock.
        allow_dev_keys: accept publishers with development keys.
    """

    def __init__(
        self,
        find: Callable[[str], TargetRef],
        read: Callable[[TargetRef], bytes],
        store: Store,
        *,
        lock_timeout: float,
        allow_dev_keys: bool,
    ) -> None:
        self._find = find
        self._read = read
        self._store = store
        self._lock_timeout = lock_timeout
        self._allow_dev_keys = allow_dev_keys
        self._parsed: dict[tuple[str, Digest], object] = {}

    def blocks(self) -> tuple[Block, ...]:
        """The blocks in force; remembered, because they do not expire for those who hold them."""
        from registry_client.signed import parse_blocks  # noqa: PLC0415  (searching needs no signatures)

        ref = self._find("blocks.json")
        held = self._store.read_blocks()
        data = held.data if held is not None and Digest.of(held.data) == ref.digest else self._read(ref)
        blocks = self._once(ref.path, ref.digest, lambda: parse_blocks(data, "blocks.json").blocks)
        self._store.write_blocks(HeldBlocks(ref.role_version, data), self._lock_timeout)
        return blocks

    def last_blocks(self) -> tuple[Block, ...]:
        """The blocks last verified, however old; none if there never were any."""
        from registry_client.signed import parse_blocks  # noqa: PLC0415

        held = self._store.read_blocks()
        return () if held is None else parse_blocks(held.data, "blocks.json").blocks

    def policy(self) -> Policy:
        """The registry's policy."""
        ref = self._find("policy.json")
        return self._policy(ref.digest, self._read(ref))

    def cached_policy(self) -> Policy | None:
        """The policy as it was last verified, without asking a host; None if it was never needed."""
        view = self._store.read_view()
        digest = Digest(view.policy) if view is not None else None
        data = self._store.read_object(digest) if digest is not None else None
        return None if digest is None or data is None else self._policy(digest, data)

    def publisher(self, publisher_id: str) -> PublisherKeys:
        """A publisher's keys.

        Raises:
            VerificationError: the maintainers know no such publisher, or its file is not sound.
        """
        from registry_client.signed import parse_publisher  # noqa: PLC0415

        path = f"publishers/{publisher_id}.json"
        try:
            ref = self._find(path)
        except NotFoundError as e:
            raise VerificationError(f"{path}: the maintainers have signed no such publisher") from e

        def parse() -> PublisherKeys:
            keys = parse_publisher(self._read(ref), path)
            current = [key.model_dump() for key in keys.publisher.keys.values()]
            refuse_dev_keys(current, path, allowed=self._allow_dev_keys)
            return keys

        return self._once(path, ref.digest, parse)

    def knows(self, ref: TargetRef) -> bool:
        """Whether a publisher's document was read already."""
        return (ref.path, ref.digest) in self._parsed

    def blocks_wanted(self) -> TargetRef | None:
        """What is to be fetched for `blocks`; None where this machine has the blocks in force."""
        ref = self._find("blocks.json")
        held = self._store.read_blocks()
        return None if held is not None and Digest.of(held.data) == ref.digest else ref

    def _policy(self, digest: Digest, data: bytes) -> Policy:
        from registry_client.signed import parse_policy  # noqa: PLC0415

        return self._once("policy.json", digest, lambda: parse_policy(data, "policy.json"))

    def _once(self, path: str, digest: Digest, parse: Callable[[], T]) -> T:
        """What `parse` gives, once for each document: bytes of one digest are the same bytes."""
        if (path, digest) not in self._parsed:
            self._parsed[path, digest] = parse()
        return self._parsed[path, digest]  # type: ignore[return-value]

"""What a route of the double is given and gives back, and how it says no."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from support.github.state import Double, Repository, Token

DOCS = "https://docs.github.com/rest"


@dataclass
class Answer:
    """A response.

    Attributes:
        status: of HTTP.
        body: sent as JSON; None for none; bytes as they are.
        headers: besides those that every response has.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """An error as GitHub writes it.

    Args:
        status: of HTTP.
        message: for people.
        errors: the entries of a validation error.
        headers: of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        errors: list[dict[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        body: dict[str, Any] = {"message": message, "documentation_url": DOCS, "status": str(status)}
        if errors:
            body["errors"] = errors
        self.answer = Answer(status, body, headers or {})


def not_found() -> ApiError:
    """The answer for what is not there, or not to be seen."""
    return ApiError(404, "Not Found")


def invalid(resource: str, field_name: str, code: str, message: str = "") -> ApiError:
    """A validation error about one field."""
    entry = {"resource": resource, "field": field_name, "code": code}
    return ApiError(422, "Validation Failed", [{**entry, "message": message} if message else entry])


class Fields:
    """Named values that remember which were read: what a route leaves unread, the double does not do."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        """A value, or the default where it is missing or null."""
        self._read.add(name)
        value = self._given.get(name)
        return default if value is None else value

    def has(self, name: str) -> bool:
        """Whether it was sent, even as null."""
        self._read.add(name)
        return name in self._given

    def ignore(self, *names: str) -> None:
        """These make no difference here."""
        self._read.update(names)

    def unread(self) -> list[str]:
        """Names that were sent and not read."""
        return [name for name in self._given if name not in self._read]


@dataclass
class Call:
    """A request that may be answered: its token, repository and form have been checked.

    Attributes:
        double: the state.
        path: parameters of the path.
        query: parameters of the query.
        body: fields of the JSON body.
        content: the body as it came.
        headers: with names in lower case.
        token: None for someone unknown.
        found: the repository; None for routes without one.
    """

    double: Double
    path: Mapping[str, str]
    query: Fields
    body: Fields
    content: bytes
    headers: Mapping[str, str]
    token: Token | None
    found: Repository | None

    @property
    def repository(self) -> Repository:
        """The repository; only in routes that have one."""
        assert self.found is not None
        return self.found

    @property
    def login(self) -> str:
        """Whose token it is; only in routes that ask for one."""
        assert self.token is not None
        return self.token.login

    def page(self, items: list[Any], url: str) -> Answer:
        """The part of a list that was asked for, with links to the other parts."""
        size = min(int(self.query.get("per_page", 30)), 100)
        number = max(int(self.query.get("page", 1)), 1)
        last = max((len(items) + size - 1) // size, 1)
        links = {"next": number + 1, "last": last} if number < last else {}
        links |= {"prev": number - 1, "first": 1} if number > 1 else {}
        where = url + ("&" if "?" in url else "?")
        parts = [f'<{where}per_page={size}&page={to}>; rel="{name}"' for name, to in links.items()]
        headers = {"Link": ", ".join(parts)} if parts else {}
        return Answer(200, items[(number - 1) * size : number * size], headers)


@dataclass(frozen=True)
class Route:
    """How one operation is answered.

    Attributes:
        answer: does the work.
        permission: that a token needs on the repository, such as `contents`.
        level: `read` or `write` of it.
        anyone: a classic token may do this to a public repository that is not its own.
    """

    answer: Callable[[Call], Answer]
    permission: str
    level: str
    anyone: bool = False


ROUTES: dict[tuple[str, str], Route] = {}


def route(
    method: str, template: str, permission: str = "metadata", level: str = "read", *, anyone: bool = False
) -> Callable[[Callable[[Call], Answer]], Callable[[Call], Answer]]:
    """Register an answer; a template that begins with `/repos` may leave `{owner}/{repo}` out as `…`."""
    full = template.replace("…", "/repos/{owner}/{repo}")

    def register(answer: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        ROUTES[method, full] = Route(answer, permission, level, anyone)
        return answer

    return register

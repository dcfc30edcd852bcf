"""What GitHub answers, looked into carefully: one that is not as GitHub documents it is an error, never a surprise."""

from __future__ import annotations

import json
from typing import Any

from registry_client.errors import GitHubError


def member_of(answer: Any, name: str, kind: type | tuple[type, ...]) -> Any:
    """A member of an object.

    Raises:
        GitHubError: there is none, or not one of that kind.
    """
    value = answer.get(name) if isinstance(answer, dict) else None
    if isinstance(value, kind):
        return value
    raise GitHubError(f"GitHub's answer has no {name} where it should", hint="Try again.")


def text_of(answer: Any, *names: str) -> str:
    """A text, by the names that lead to it.

    Raises:
        GitHubError: there is none.
    """
    for name in names[:-1]:
        answer = member_of(answer, name, dict)
    text: str = member_of(answer, names[-1], str)
    return text


def items_of(answer: Any) -> list[Any]:
    """The items of a list.

    Raises:
        GitHubError: it is not a list.
    """
    if isinstance(answer, list):
        return answer
    raise GitHubError("GitHub's answer is not a list where it should be", hint="Try again.")


def parse_answer(text: str) -> Any:
    """The JSON of an answer; None for an empty one.

    Raises:
        ValueError: not JSON.
    """
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError("the answer is not JSON") from None


def parse_error(text: str) -> Any:
    """What an error says; a proxy's error page says nothing."""
    try:
        return parse_answer(text)
    except ValueError:
        return None


def details_of(errors: Any) -> str:
    """What a 422 says about single fields."""
    if not isinstance(errors, list):
        return ""
    said = [
        str(e.get("message") or f"{e.get('field', '')} {e.get('code', '')}")
        if isinstance(e, dict)
        else str(e)
        for e in errors
    ]
    return f": {'; '.join(said)}" if said else ""

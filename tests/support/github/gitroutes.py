"""The Git data API and the contents API: refs, blobs, trees, commits, files and folders."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import TYPE_CHECKING, Any

from support.github import bodies, gitdata
from support.github.wire import Answer, ApiError, Call, not_found, route

if TYPE_CHECKING:
    from support.github.records import Repository

_FILE_LIMIT = 1_000_000
_LINE = 60
_TREE_LIMIT = 100_000
_CONTENTS_LIMIT = 1000


def _not_empty(call: Call) -> Repository:
    """The repository; GitHub serves no Git data of one without a commit, and takes none."""
    if not gitdata.refs(call.repository.git):
        raise ApiError(409, "Git Repository is empty.")
    return call.repository


def _ref(call: Call, name: str, sha: str, kind: str) -> dict[str, Any]:
    url = f"{bodies.repository_api(call.double, call.repository)}/git"
    return {
        "ref": name,
        "node_id": bodies.node_id("Ref", f"{call.repository.id}:{name}"),
        "url": f"{url}/{name}",
        "object": {"sha": sha, "type": kind, "url": f"{url}/{kind}s/{sha}"},
    }


@route("GET", "…/git/ref/{ref}", "contents")
def get_ref(call: Call) -> Answer:
    name = f"refs/{call.path['ref']}"
    found = gitdata.refs(_not_empty(call).git, name).get(name)
    if found is None:
        raise not_found()
    return Answer(200, _ref(call, name, *found))


@route("GET", "…/git/matching-refs/{ref}", "contents")
def get_matching_refs(call: Call) -> Answer:
    found = gitdata.refs(_not_empty(call).git, f"refs/{call.path['ref']}")
    return Answer(200, [_ref(call, name, *each) for name, each in found.items()])


def _named_object(call: Call, sha: str, ref: str) -> str:
    """The kind of the object that a ref is to point at."""
    if not gitdata.is_object_name(sha):
        raise ApiError(422, "The sha parameter must be exactly 40 characters and contain only [0-9a-f].")
    kind = gitdata.kind_of(call.repository.git, sha)
    if not kind:
        raise ApiError(422, "Object does not exist")
    if ref.startswith("refs/heads/") and kind != "commit":
        raise ApiError(422, "Object is not a commit")
    return kind


@route("POST", "…/git/refs", "contents", "write")
def post_ref(call: Call) -> Answer:
    git, name, sha = _not_empty(call).git, call.body.get("ref"), call.body.get("sha")
    if not name.startswith("refs/") or name.count("/") < 2 or not gitdata.is_ref_name(git, name):
        raise ApiError(422, f"{name} is not a valid ref name.")
    kind = _named_object(call, sha, name)
    call.double.check_rules(call.repository, name, "creation", call.token)
    if name in gitdata.refs(git, name):
        raise ApiError(422, "Reference already exists")
    try:
        gitdata.set_ref(git, name, sha, gitdata.NOTHING)
    except gitdata.GitRefusedError as e:
        exists = name in gitdata.refs(git, name)
        raise ApiError(422, "Reference already exists" if exists else "Reference update failed") from e
    body = _ref(call, name, sha, kind)
    return Answer(201, body, {"Location": body["url"]})


@route("PATCH", "…/git/refs/{ref}", "contents", "write")
def patch_ref(call: Call) -> Answer:
    git, name, sha = _not_empty(call).git, f"refs/{call.path['ref']}", call.body.get("sha")
    old, _ = gitdata.refs(git, name).get(name, ("", ""))
    if not old:
        raise ApiError(422, "Reference does not exist")
    kind = _named_object(call, sha, name)
    call.double.check_rules(call.repository, name, "update", call.token)
    forward = gitdata.is_ancestor(git, old, sha)
    if not forward and not call.body.get("force", default=False):
        raise ApiError(422, "Update is not a fast forward")
    if not forward:
        call.double.check_rules(call.repository, name, "non_fast_forward", call.token)
    call.body.ignore("force")
    try:
        gitdata.set_ref(git, name, sha, old)
    except gitdata.GitRefusedError as e:
        raise ApiError(422, "Update is not a fast forward") from e
    return Answer(200, _ref(call, name, sha, kind))


@route("DELETE", "…/git/refs/{ref}", "contents", "write")
def delete_ref(call: Call) -> Answer:
    git, name = _not_empty(call).git, f"refs/{call.path['ref']}"
    old, _ = gitdata.refs(git, name).get(name, ("", ""))
    if not old:
        raise ApiError(422, "Reference does not exist")
    call.double.check_rules(call.repository, name, "deletion", call.token)
    try:
        gitdata.set_ref(git, name, gitdata.NOTHING, old)
    except gitdata.GitRefusedError as e:
        raise ApiError(422, "Reference cannot be deleted") from e
    return Answer(204)


@route("POST", "…/git/blobs", "contents", "write")
def post_blob(call: Call) -> Answer:
    git, content = _not_empty(call).git, call.body.get("content", "")
    data = content.encode()
    if call.body.get("encoding", "utf-8") == "base64":
        try:
            data = base64.b64decode(data)
        except binascii.Error as e:
            raise ApiError(422, "content is not valid Base64") from e
    sha = gitdata.write_blob(git, data)
    url = f"{bodies.repository_api(call.double, call.repository)}/git/blobs/{sha}"
    return Answer(201, {"sha": sha, "url": url}, {"Location": url})


def _wrapped(content: bytes) -> str:
    """Base64 in short lines, as GitHub sends it."""
    whole = base64.b64encode(content).decode()
    return "".join(f"{whole[at : at + _LINE]}\n" for at in range(0, len(whole), _LINE))


@route("GET", "…/git/blobs/{file_sha}", "contents")
def get_blob(call: Call) -> Answer:
    git, sha = _not_empty(call).git, call.path["file_sha"]
    if gitdata.kind_of(git, sha) != "blob":
        raise not_found()
    content = gitdata.read_blob(git, sha)
    if "raw" in call.headers.get("accept", ""):
        return Answer(200, content, {"Content-Type": "application/vnd.github.raw"})
    body = {
        "sha": sha,
        "node_id": bodies.node_id("Blob", sha),
        "size": len(content),
        "url": f"{bodies.repository_api(call.double, call.repository)}/git/blobs/{sha}",
        "content": _wrapped(content),
        "encoding": "base64",
    }
    return Answer(200, body)


def _tree(call: Call, sha: str, *, recursive: bool) -> dict[str, Any]:
    url = f"{bodies.repository_api(call.double, call.repository)}/git"
    entries = gitdata.read_tree(call.repository.git, sha, recursive=recursive)
    shown = []
    for entry in entries[:_TREE_LIMIT]:
        line: dict[str, Any] = {"path": entry.path, "mode": entry.mode, "type": entry.kind, "sha": entry.sha}
        if entry.size is not None:
            line["size"] = entry.size
        if entry.kind != "commit":
            line["url"] = f"{url}/{entry.kind}s/{entry.sha}"
        shown.append(line)
    return {"sha": sha, "url": f"{url}/trees/{sha}", "tree": shown, "truncated": len(entries) > _TREE_LIMIT}


@route("GET", "…/git/trees/{tree_sha}", "contents")
def get_tree(call: Call) -> Answer:
    git, name = _not_empty(call).git, call.path["tree_sha"]
    sha = gitdata.resolve(git, name)
    kind = gitdata.kind_of(git, sha)
    if kind == "commit":
        sha = gitdata.read_commit(git, sha).tree
    elif kind != "tree":
        raise not_found()
    # Any value makes it recursive, "0" and "false" as well.
    return Answer(200, _tree(call, sha, recursive=call.query.get("recursive") is not None))


@route("POST", "…/git/trees", "contents", "write")
def post_tree(call: Call) -> Answer:
    git, base = _not_empty(call).git, call.body.get("base_tree", "")
    if base and gitdata.kind_of(git, base) not in {"tree", "commit"}:
        raise ApiError(422, "base_tree is not a valid tree oid")
    given = call.body.get("tree")
    if not given:
        raise ApiError(422, "Invalid tree info")
    entries = [_entry(git, each, bool(base)) for each in given]
    try:
        sha = gitdata.write_tree(git, base, entries)
    except gitdata.GitRefusedError as e:
        raise ApiError(422, "tree.path contains a malformed path component") from e
    body = _tree(call, sha, recursive=False)
    return Answer(201, body, {"Location": body["url"]})


def _entry(git: Any, given: dict[str, Any], has_base: bool) -> tuple[str, str, str | None]:
    path, mode, kind = given["path"], given["mode"], given["type"]
    if "content" in given:
        if "sha" in given:
            raise ApiError(422, "Must supply either tree.sha or tree.content, not both.")
        return path, mode, gitdata.write_blob(git, given["content"].encode())
    if "sha" not in given:
        raise ApiError(422, "Must supply tree.sha or tree.content")
    sha = given["sha"]
    if sha is None and not has_base:
        raise ApiError(422, "tree.sha may be null only with a base_tree")
    if sha is not None and kind != "commit" and gitdata.kind_of(git, sha) != kind:
        raise ApiError(422, f"tree.sha {sha} is not a valid {kind}")
    return path, mode, sha


@route("GET", "…/git/commits/{commit_sha}", "contents")
def get_commit(call: Call) -> Answer:
    repository = _not_empty(call)
    if gitdata.kind_of(repository.git, call.path["commit_sha"]) != "commit":
        raise not_found()
    return Answer(200, bodies.git_commit(call.double, repository, call.path["commit_sha"]))


@route("POST", "…/git/commits", "contents", "write")
def post_commit(call: Call) -> Answer:
    repository = _not_empty(call)
    tree, parents = call.body.get("tree"), call.body.get("parents", [])
    if gitdata.kind_of(repository.git, tree) != "tree":
        raise ApiError(422, "Tree SHA does not exist")
    if any(gitdata.kind_of(repository.git, each) != "commit" for each in parents):
        raise ApiError(422, "Parent SHA does not exist or is not a commit object")
    author = _who(call, call.body.get("author", {}))
    committer = _who(call, call.body.get("committer", call.body.get("author", {})))
    message, signature = call.body.get("message"), call.body.get("signature", "")
    new = gitdata.Commit("", tree, tuple(parents), author, committer, message, signature)
    body = bodies.git_commit(call.double, repository, gitdata.write_commit(repository.git, new))
    return Answer(201, body, {"Location": body["url"]})


def _who(call: Call, given: dict[str, str]) -> gitdata.Who:
    """Who is named, or whose token it is; with the time that is given, or now."""
    when = datetime.fromisoformat(given["date"]) if "date" in given else call.double.now()
    number = call.double.user_id(call.login)
    address = f"{number}+{call.login}@users.noreply.github.com"
    return gitdata.Who(given.get("name", call.login), given.get("email", address), when)


@route("GET", "…/contents/{path}", "contents")
def get_contents(call: Call) -> Answer:
    repository, path = call.repository, call.path["path"].strip("/")
    if not gitdata.refs(repository.git):
        raise ApiError(404, "This repository is empty.")
    ref = call.query.get("ref", repository.default_branch)
    sha = gitdata.resolve(repository.git, ref)
    if not sha:
        raise ApiError(404, f"No commit found for the ref {ref}")
    place = gitdata.resolve_path(repository.git, sha, path)
    kind = gitdata.kind_of(repository.git, place)
    if kind == "tree":
        entries = gitdata.read_tree(repository.git, place)
        return Answer(200, [_listed(call, ref, path, each) for each in entries[:_CONTENTS_LIMIT]])
    if kind != "blob":
        raise not_found()
    content = gitdata.read_blob(repository.git, place)
    if "raw" in call.headers.get("accept", ""):
        return Answer(200, content, {"Content-Type": "application/vnd.github.raw"})
    entry = gitdata.Entry("100644", "blob", place, path, len(content))
    small = len(content) <= _FILE_LIMIT
    shown = (
        {"content": _wrapped(content), "encoding": "base64"} if small else {"content": "", "encoding": "none"}
    )
    return Answer(200, _listed(call, ref, "", entry) | shown)


def _listed(call: Call, ref: str, folder: str, entry: gitdata.Entry) -> dict[str, Any]:
    path = f"{folder}/{entry.path}" if folder else entry.path
    url = bodies.repository_api(call.double, call.repository)
    file = entry.kind == "blob"
    # A submodule is listed as a file that cannot be downloaded, "for backwards compatibility purposes".
    kind = "symlink" if entry.mode == "120000" else "dir" if entry.kind == "tree" else "file"
    place = f"{url}/contents/{path}?ref={ref}"
    git = f"{url}/git/{entry.kind}s/{entry.sha}"
    html = f"{call.double.url}/{call.repository.name}/{'blob' if file else 'tree'}/{ref}/{path}"
    return {
        "type": kind,
        "size": entry.size or 0,
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": entry.sha,
        "url": place,
        "git_url": git,
        "html_url": html,
        "download_url": f"{call.double.url}/raw/{call.repository.name}/{ref}/{path}" if file else None,
        "_links": {"self": place, "git": git, "html": html},
    }

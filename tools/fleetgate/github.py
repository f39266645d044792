"""Reports on GitHub that are kept up to date: a comment of a pull request, an issue. One of each kind, found by a hidden mark.

Standard library only, so that a job that may write on GitHub installs nothing. [GitHub REST API: issue comments, issues]
"""

from __future__ import annotations

import http.client
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fleetgate.errors import fail

#: GitHub refuses a longer body.
MAXIMUM_BODY = 65_536
_PAGE = 100
_SECONDS = 30
_CUT = "\n\n… the rest did not fit in here.\n"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Repository:
    """api: its address below the REST API, without a slash at the end. token: never shown."""

    api: str
    token: str

    def __repr__(self) -> str:
        return f"Repository({self.api!r})"


def from_variables(variables: Mapping[str, str] = os.environ) -> Repository:
    """Of the workflow that this runs in. Raises FleetgateError with what is missing."""
    missing = [name for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN") if not variables.get(name)]
    if missing:
        remedy = "run it in a GitHub workflow, and give the step GITHUB_TOKEN: ${{ github.token }} in its env"
        raise fail(" and ".join(missing), "not in the environment", remedy)
    name = variables["GITHUB_REPOSITORY"]
    if not re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", name):
        raise fail("GITHUB_REPOSITORY", f"{name!r:.100} is no repository", "write it like owner/name")
    api = variables.get("GITHUB_API_URL") or "https://api.github.com"
    if not re.match(r"https://|http://127\.0\.0\.1:[0-9]+$", api):
        raise fail("GITHUB_API_URL", "is no https address", "leave it to GitHub, which sets it")
    return Repository(f"{api.rstrip('/')}/repos/{name}", variables["GITHUB_TOKEN"])


def mark(kind: str) -> str:
    """The first line of every report of a kind; GitHub does not show it."""
    return f"<!-- fleetgate: {kind} -->"


def put_comment(repository: Repository, pull_request: int, kind: str, text: str, say: Say) -> None:
    """Writes the comment of this kind below a pull request, in place of the one that is there."""
    body = _body(kind, text)
    there = _find(repository, f"/issues/{pull_request}/comments", kind)
    if there is None:
        _call(repository, "POST", f"/issues/{pull_request}/comments", {"body": body})
        say(f"commented on pull request {pull_request}")
    elif there["body"] == body:
        say(f"the comment on pull request {pull_request} says so already")
    else:
        _call(repository, "PATCH", f"/issues/comments/{int(there['id'])}", {"body": body})
        say(f"updated the comment on pull request {pull_request}")


def put_issue(repository: Repository, kind: str, title: str, text: str, say: Say) -> None:
    """Opens the issue of this kind, or updates the one that is open. An empty text closes it: there is nothing left to report."""
    there = _find(repository, "/issues?state=open", kind)
    body = _body(kind, text)
    if not text.strip():
        if there is None:
            say("nothing to report")
            return
        _call(repository, "POST", f"/issues/{int(there['number'])}/comments", {"body": "Nothing is left of this."})
        _call(repository, "PATCH", f"/issues/{int(there['number'])}", {"state": "closed"})
        say(f"closed issue {there['number']}")
    elif there is None:
        made = _call(repository, "POST", "/issues", {"title": title, "body": body})
        say(f"opened issue {made['number']}")
    elif there["body"] == body:
        say(f"issue {there['number']} says so already")
    else:
        _call(repository, "PATCH", f"/issues/{int(there['number'])}", {"title": title, "body": body})
        say(f"updated issue {there['number']}")


def _body(kind: str, text: str) -> str:
    body = f"{mark(kind)}\n{text}"
    return body if len(body) <= MAXIMUM_BODY else body[: MAXIMUM_BODY - len(_CUT)] + _CUT


def _find(repository: Repository, path: str, kind: str) -> dict[str, Any] | None:
    """The first of ours. A person may write the mark too: what a person wrote is left alone."""
    for item in _pages(repository, path):
        written = item.get("body") or ""
        if written.startswith(mark(kind)) and item.get("user", {}).get("type") == "Bot" and "pull_request" not in item:
            return item
    return None


def _pages(repository: Repository, path: str) -> Iterator[dict[str, Any]]:
    joined = "&" if "?" in path else "?"
    page = 1
    while True:
        items = _call(repository, "GET", f"{path}{joined}per_page={_PAGE}&page={page}")
        yield from items
        if len(items) < _PAGE:
            return
        page += 1


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would follow with the token, to whatever host the answer names, and make a GET of a POST, which writes nothing."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def _call(repository: Repository, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {repository.token}",
        "Content-Type": "application/json",
        "User-Agent": "fleetgate",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(repository.api + path, data, headers, method=method)  # noqa: S310 - https, see from_variables
    where = f"{method} {urllib.parse.urlsplit(repository.api + path).path}"
    try:
        with _OPENER.open(request, timeout=_SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        said = _message(error)
        if 300 <= error.code < 400:
            remedy = "give GITHUB_REPOSITORY the name that it has now: nothing was written, and the token was sent nowhere else"
            raise fail(where, f"GitHub answers {error.code}: the repository has moved", remedy) from None
        remedy = (
            "give the job the permission: pull-requests: write for a comment, issues: write for an issue"
            if error.code in (401, 403, 404)
            else "see what GitHub says, then run the job again"
        )
        raise fail(where, f"GitHub answers {error.code}{said}", remedy) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise fail(where, f"no answer from GitHub: {error}", "run the job again") from None


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return f": {json.load(error)['message']:.200}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""

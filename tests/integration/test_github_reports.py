"""`fleetgate github` against a server that answers as GitHub's REST API does: issues, comments, pages, and who may write."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from fleetgate import cli, github

TOKEN = "ghs_a-token-that-nobody-may-read"


class GitHub:
    """One repository, acme/fleet. calls: what was asked, in order."""

    def __init__(self) -> None:
        self.issues: list[dict] = []
        self.comments: list[dict] = []
        self.calls: list[str] = []
        self.refuses = False
        self.moved: tuple[str, str] | None = None

    def answer(self, method, path, query, body):
        self.calls.append(f"{method} {path}")
        if self.refuses:
            return 403, {"message": "Resource not accessible by integration"}
        page, size = int(query.get("page", ["1"])[0]), int(query.get("per_page", ["30"])[0])
        part = slice((page - 1) * size, page * size)
        if found := re.fullmatch(r"/issues/(\d+)/comments", path):
            number = int(found[1])
            if method == "GET":
                return 200, [c for c in self.comments if c["issue"] == number][part]
            return 201, self.comment(number, body["body"])
        if (found := re.fullmatch(r"/issues/comments/(\d+)", path)) and method == "PATCH":
            self.comments[int(found[1])] |= body
            return 200, self.comments[int(found[1])]
        if path == "/issues" and method == "GET":
            return 200, [i for i in self.issues if i["state"] == query["state"][0]][part]
        if path == "/issues":
            return 201, self.issue(**body)
        if (found := re.fullmatch(r"/issues/(\d+)", path)) and method == "PATCH":
            self.issues[int(found[1])] |= body
            return 200, self.issues[int(found[1])]
        return 404, {"message": "Not Found"}

    def comment(self, issue, body, kind="Bot"):
        self.comments.append({"id": len(self.comments), "issue": issue, "body": body, "user": {"type": kind}})
        return self.comments[-1]

    def issue(self, title, body, kind="Bot", **more):
        self.issues.append(
            {"number": len(self.issues), "title": title, "body": body, "state": "open", "user": {"type": kind}, **more}
        )
        return self.issues[-1]


@pytest.fixture
def hub(monkeypatch):
    state = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            address = urlsplit(self.path)
            assert address.path.startswith("/repos/acme/fleet") and self.headers["Authorization"] == f"Bearer {TOKEN}"
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
            path = address.path.removeprefix("/repos/acme/fleet")
            if state.moved and state.moved[0] == self.command:
                self.send_response(301)
                self.send_header("Location", state.moved[1])
                self.end_headers()
                return
            status, content = state.answer(self.command, path, parse_qs(address.query), body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        do_GET = do_POST = do_PATCH = answer

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("GITHUB_REPOSITORY", "acme/fleet")
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        yield state
        server.shutdown()


@pytest.fixture
def report(tmp_path):
    file = tmp_path / "report.md"

    def write(text):
        file.write_text(text, encoding="utf-8")
        return str(file)

    return write


def comment(file, *more):
    return cli.main(["github", "comment", "--kind", "access", "--pull-request", "7", "--yes", file, *more])


def issue(file, *more):
    return cli.main(["github", "issue", "--kind", "drift", "--title", "Drift", "--yes", file, *more])


def test_the_comment_is_written_once_and_then_kept_up_to_date(hub, report):
    hub.comment(7, "a review\n")
    hub.comment(8, f"{github.mark('access')}\nof another pull request")
    hub.comment(7, f"{github.mark('access')}\ntyped by a person", kind="User")
    assert comment(report("first")) == 0
    assert comment(report("second")) == 0
    writes = [call for call in hub.calls if not call.startswith("GET")]
    assert writes == ["POST /issues/7/comments", "PATCH /issues/comments/3"]
    assert hub.comments[3]["body"] == f"{github.mark('access')}\nsecond" and len(hub.comments) == 4
    assert comment(report("second")) == 0
    assert [call for call in hub.calls if not call.startswith("GET")] == writes


def test_a_report_that_was_not_made_takes_the_place_of_an_older_one(hub, report, tmp_path):
    assert comment(report("of the first commit"), "--if-missing", "not known") == 0
    assert hub.comments[0]["body"] == f"{github.mark('access')}\nof the first commit"
    assert comment(str(tmp_path / "not-made.md"), "--if-missing", "not known for 1234") == 0
    assert [c["body"] for c in hub.comments] == [f"{github.mark('access')}\nnot known for 1234\n"]
    assert comment(str(tmp_path / "not-made.md")) == 1 and len(hub.comments) == 1


def test_the_comment_is_found_behind_many_others(hub, report):
    for number in range(130):
        hub.comment(7, f"talk {number}")
    comment(report("first"))
    comment(report("second"))
    assert len(hub.comments) == 131 and hub.comments[130]["body"].endswith("second")


def test_the_issue_is_opened_updated_closed_and_opened_anew(hub, report):
    hub.issue("a pull request", github.mark("drift"), pull_request={})
    assert issue(report("")) == 0 and not [call for call in hub.calls if not call.startswith("GET")]
    assert issue(report("one")) == 0 and issue(report("two")) == 0
    assert hub.issues[1]["body"] == f"{github.mark('drift')}\ntwo" and len(hub.issues) == 2
    assert issue(report(" \n")) == 0
    assert hub.issues[1]["state"] == "closed" and hub.comments[-1]["issue"] == 1
    assert issue(report("three")) == 0
    assert hub.issues[2]["body"].endswith("three") and hub.issues[1]["body"].endswith("two")


def test_a_report_that_is_too_long_is_cut(hub, report):
    assert comment(report("x" * 100_000)) == 0
    assert len(hub.comments[0]["body"]) == github.MAXIMUM_BODY and hub.comments[0]["body"].endswith("did not fit in here.\n")


def test_a_job_without_the_permission_is_told_which_and_the_token_is_not_shown(hub, report, capsys):
    hub.refuses = True
    assert comment(report("x")) == 1
    error = capsys.readouterr().err
    assert "GitHub answers 403: Resource not accessible by integration" in error and "pull-requests: write" in error
    assert TOKEN not in error and "Traceback" not in error and TOKEN not in repr(github.from_variables())


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("GITHUB_TOKEN", "", "GITHUB_TOKEN: not in the environment"),
        ("GITHUB_REPOSITORY", "", "GITHUB_REPOSITORY: not in the environment"),
        ("GITHUB_REPOSITORY", "acme/fleet/../other", "is no repository"),
        ("GITHUB_API_URL", "http://example.org", "is no https address"),
        ("GITHUB_API_URL", "http://127.0.0.1:1", "no answer from GitHub"),
    ],
)
def test_what_is_missing_or_wrong_around_it_is_named(hub, report, capsys, monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)
    assert comment(report("x")) == 1
    assert said in capsys.readouterr().err and hub.calls == []


def test_nothing_is_written_without_a_yes_or_in_a_dry_run(hub, report, capsys):
    words = ["github", "comment", "--kind", "access", "--pull-request", "7", report("what is said\n")]
    assert cli.main(words) == 1 and "add --yes" in capsys.readouterr().err
    assert cli.main([*words, "--dry-run"]) == 0
    assert capsys.readouterr().out == "write the comment access of pull request 7:\n  what is said\n"
    assert hub.calls == []


@pytest.mark.parametrize(
    "words", [["--pull-request", "0"], ["--pull-request", "7/../8"], ["--pull-request", "7", "--kind", "a b"]]
)
def test_wrong_words_are_refused_before_anything_is_asked(hub, report, words):
    with pytest.raises(SystemExit) as ended:
        cli.main(["github", "comment", "--kind", "access", *words, "--yes", report("x")])
    assert ended.value.code == 2 and hub.calls == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_repository_that_has_moved_is_an_error_and_the_token_goes_nowhere_else(hub, report, capsys, method):
    reached = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self):
            reached.append(self.headers.get("Authorization"))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub.moved = (method, f"http://localhost:{server.server_port}/repositories/1/issues/7/comments")
        assert comment(report("first")) == 1
        server.shutdown()
    shown = capsys.readouterr()
    assert "301: the repository has moved" in shown.err and "commented" not in shown.out
    assert reached == [] and TOKEN not in shown.out + shown.err


@pytest.mark.parametrize("write", [comment, issue], ids=["comment", "issue"])
def test_a_report_that_is_no_text_is_told(hub, tmp_path, capsys, write):
    file = tmp_path / "report.md"
    file.write_bytes(b"\xff\xfe")
    assert write(str(file)) == 1 and hub.calls == []
    assert f"{file}: is not UTF-8 text" in capsys.readouterr().err

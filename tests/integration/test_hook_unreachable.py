"""A registry that cannot be reached never lets anybody in, and never takes the five seconds AWS gives the hook."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import hook_events
import lambdas

DENIED = {"allowProvisioning": False, "parameterOverrides": {}}
#: Lambda's time-out for the hook; AWS's own budget is five seconds.
BUDGET_SECONDS = 4


def ask(url, tmp_path, monkeypatch, capsys):
    for name, value in (lambdas.HOOK_ENVIRONMENT | {"AWS_ENDPOINT_URL": url}).items():
        monkeypatch.setenv(name, value)
    handler = lambdas.deploy("provisioning_hook", tmp_path, lambdas.HOOK_CATALOGUE).handler
    start = time.monotonic()
    answer = handler.handler(hook_events.request(), None)
    elapsed = time.monotonic() - start
    return answer, json.loads(capsys.readouterr().out)["reason"], elapsed


@contextmanager
def http(status: int, body: dict[str, object], unheard: int = 0) -> Iterator[tuple[str, list[str]]]:
    """A DynamoDB with one answer, after it has hung up on the first `unheard` requests. Yields its URL and who asked."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(self.headers["X-Amz-Target"])
            if len(seen) <= unheard:
                self.close_connection = True
                return
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
        server.shutdown()


def test_a_registry_that_accepts_and_never_answers_is_a_denial_in_time(tmp_path, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        answer, reason, elapsed = ask(url, tmp_path, monkeypatch, capsys)
    assert (answer, reason) == (DENIED, "registry_unavailable")
    assert 2 <= elapsed < BUDGET_SECONDS  # two attempts of a second each, and the pause between them


def test_a_registry_that_does_not_accept_is_a_denial_in_time(tmp_path, monkeypatch, capsys):
    # A backlog that is full: the handshake of a further connection is never completed.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):
            caller = socket.socket()
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
            waiting.append(caller)
        answer, reason, elapsed = ask(f"http://127.0.0.1:{listener.getsockname()[1]}", tmp_path, monkeypatch, capsys)
        for caller in waiting:
            caller.close()
    assert (answer, reason) == (DENIED, "registry_unavailable")
    assert elapsed < BUDGET_SECONDS


def test_a_closed_port_is_a_denial_in_time(tmp_path, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer, reason, elapsed = ask(f"http://127.0.0.1:{port}", tmp_path, monkeypatch, capsys)
    assert (answer, reason) == (DENIED, "registry_unavailable")
    assert elapsed < BUDGET_SECONDS


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ThrottlingException"),
        (400, "ProvisionedThroughputExceededException"),
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
    ],
)
def test_a_registry_that_turns_us_away_is_asked_twice_and_is_a_denial_in_time(status, code, tmp_path, monkeypatch, capsys):
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "slow down"}
    with http(status, body) as (url, seen):
        answer, reason, elapsed = ask(url, tmp_path, monkeypatch, capsys)
    assert (answer, reason) == (DENIED, "registry_unavailable")
    assert seen == ["DynamoDB_20120810.UpdateItem"] * 2
    assert elapsed < BUDGET_SECONDS


def test_a_registry_that_forbids_is_an_error_and_asked_once(tmp_path, monkeypatch, capsys):
    body = {"__type": "com.amazon.coral.service#AccessDeniedException", "message": "no"}
    with http(400, body) as (url, seen), pytest.raises(Exception, match="AccessDeniedException"):
        ask(url, tmp_path, monkeypatch, capsys)
    assert len(seen) == 1


def test_an_allowance_is_exactly_one_request(tmp_path, monkeypatch, capsys):
    with http(200, {"Attributes": {"leasedAt": {"N": "1795424400123"}}}) as (url, seen):
        answer, reason, _ = ask(url, tmp_path, monkeypatch, capsys)
    assert (answer["allowProvisioning"], reason) == (True, "allowed")
    assert seen == ["DynamoDB_20120810.UpdateItem"]


def test_a_refused_condition_is_exactly_one_request(tmp_path, monkeypatch, capsys):
    body = {
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "Item": {"status": {"S": "revoked"}},
    }
    with http(400, body) as (url, seen):
        assert ask(url, tmp_path, monkeypatch, capsys)[:2] == (DENIED, "revoked")
    assert len(seen) == 1


def test_a_retry_after_a_write_that_was_not_heard_of_lets_the_same_certificate_in(tmp_path, monkeypatch, capsys):
    """The first attempt is written and its answer lost; the second one meets its own lease."""
    own = {
        "status": {"S": "provisioning"},
        "deviceType": {"S": hook_events.TYPE},
        "certificateId": {"S": hook_events.certificate("device")[1]},
        "leasedAt": {"N": "1795424400123"},
    }
    body = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "Item": own}
    with http(400, body, unheard=1) as (url, seen):
        answer, reason, _ = ask(url, tmp_path, monkeypatch, capsys)
    assert (answer["allowProvisioning"], reason, len(seen)) == (True, "allowed", 2)

"""Access, limits and failures: a client receives JSON with a reason, and nothing of the server."""

import gc
import math
import socket
import threading
import time

import pytest
import torch
from fastapi.testclient import TestClient

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.serving.server_settings import ServedPath, ServerSettings, is_loopback, require_distinct

QUERY = {"query": "Once a fox sang."}


def message(answer, status):
    """Return the message of a refusal."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()["error"]["message"]


def test_requests_need_the_key(make_app, scorer):
    with TestClient(make_app(ServerSettings(api_key="secret"), reward=scorer)) as client:
        assert "no key" in message(client.post("/get_reward", json=QUERY), 401)
        for header in ("Bearer other", "Basic c2VjcmV0", "secret", "Bearer", "Basic ?"):
            assert client.post("/get_reward", json=QUERY, headers={"Authorization": header}).status_code == 401
        for header in ("Bearer secret", "bearer secret"):
            assert client.post("/get_reward", json=QUERY, headers={"Authorization": header}).status_code == 200
        assert client.post("/get_reward", json=QUERY, auth=("any", "secret")).status_code == 200
        for path in ("/info", "/metrics", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 401
        for path in ("/health", "/ready"):
            assert client.get(path).status_code == 200


def test_addresses_of_other_computers_need_a_key_or_a_word():
    with pytest.raises(InvalidSettingError, match="other computers"):
        ServerSettings(host="0.0.0.0")
    assert ServerSettings(host="0.0.0.0", no_auth=True)
    assert ServerSettings(host="0.0.0.0", api_key="k")
    assert [is_loopback(host) for host in ("127.0.0.2", "::1", "localhost", "10.0.0.1", "::", "")] == [True] * 3 + [
        False
    ] * 3


@pytest.mark.parametrize(
    "settings",
    [{"port": -1}, {"port": 70000}, {"max_texts": 0}, {"queue_timeout": math.nan}, {"cache_size": -1},
     {"max_texts": 10, "max_queue": 5}, {"api_key": ""}, {"api_key": "ü"}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidSettingError):
        ServerSettings(**settings)


def test_models_have_distinct_names():
    assert ServedPath.parse("org/name") == ServedPath("name", "org/name")
    with pytest.raises(InvalidSettingError, match="two"):
        require_distinct([ServedPath("two", "a"), ServedPath("two", "b")])


def test_limits_of_size_and_count_say_what_to_change(make_app, scorer):
    with TestClient(make_app(ServerSettings(max_texts=2, max_body_mb=0.01), reward=scorer)) as client:
        assert "max_texts" in message(client.post("/get_reward", json={"query": ["a"] * 3}), 413)
        assert "max_body_mb" in message(client.post("/get_reward", json={"query": "a" * 20000}), 413)
        chunks = (b"a" * 1000 for _ in range(20))
        assert "max_body_mb" in message(client.post("/get_reward", content=chunks), 413)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"a"', b'{"query": "\xff"}', b'{"query": "\\ud800"}', b'{"query": NaN}', b'{"query": [1e999]}',
     b"[" * 100000, b'{"query":' + b"[" * 100000, b"{" + b'"a":' * 3, b"\x00" * 10, b"9" * 5000],
    ids=range(13),
)  # fmt: skip
def test_bodies_that_are_no_request_are_refused(client, body):
    text = message(client.post("/get_reward", content=body), 422)
    assert "Traceback" not in text
    assert len(text) < 1000


def test_a_body_is_json_under_any_content_type(client):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = client.post("/get_reward", content='{"query": "Once a fox sang."}', headers={"Content-Type": kind})
        assert answer.status_code == 200


def test_other_paths_and_methods_are_answered_with_json(client):
    assert "GET /info" in message(client.post("/nothing", json={}), 404)
    assert "GET /info" in message(client.get("/get_reward"), 405)


def test_scores_that_are_not_finite_are_an_error_with_a_reason(make_app, scorer):
    head = scorer.model.score.weight
    with TestClient(make_app(reward=scorer), raise_server_exceptions=False) as client:
        before = head.detach().clone()
        try:
            with torch.no_grad():
                head.fill_(torch.nan)
            answer = client.post("/get_reward", json=QUERY)
        finally:
            with torch.no_grad():
                head.copy_(before)
        assert "nan" in message(answer, 500)
        assert client.post("/get_reward", json=QUERY).status_code == 200


def test_an_unexpected_failure_shows_nothing_of_the_server(make_app, scorer, monkeypatch):
    app = make_app(reward=scorer)
    model = app.state.models["reward"]

    async def fail(*_, **__):
        raise ValueError("/secret/path")

    monkeypatch.setattr(model, "scores", fail)
    with TestClient(app, raise_server_exceptions=False) as client:
        text = message(client.post("/get_reward", json=QUERY), 500)
    assert "secret" not in text
    assert "log" in text


def slow(app, seconds):
    """Let the forward passes of an application take longer."""
    queue = app.state.models["reward"].queue
    compute, passes = queue._compute, []

    def computed(items):
        passes.append(len(items))
        time.sleep(seconds)
        return compute(items)

    queue._compute = computed
    return passes


def test_a_request_that_takes_too_long_is_answered_503(make_app, scorer):
    app = make_app(ServerSettings(request_timeout=0.1), reward=scorer)
    slow(app, 0.5)
    with TestClient(app) as client:
        answer = client.post("/get_reward", json=QUERY)
    assert "0.1 seconds" in message(answer, 503)
    assert int(answer.headers["retry-after"]) > 0


def test_a_server_with_too_many_requests_answers_503(make_app, scorer):
    app = make_app(ServerSettings(max_requests=1), reward=scorer)
    slow(app, 0.4)
    with TestClient(app) as client:
        thread = threading.Thread(target=client.post, args=("/get_reward",), kwargs={"json": QUERY})
        thread.start()
        time.sleep(0.15)
        answer = client.post("/get_reward", json=QUERY)
        thread.join()
    assert "too many requests" in message(answer, 503)


def test_work_of_a_client_that_is_gone_is_not_done(make_app, scorer, serve_on_socket):
    app = make_app(reward=scorer)
    passes = slow(app, 0.3)
    with serve_on_socket(app) as url:
        port = int(url.rpartition(":")[2])
        for number in range(3):
            body = b'{"query": "Once a fox sang %s."}' % (b"very " * number)
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(b"POST /get_reward HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            time.sleep(0.05)
            connection.close()
        time.sleep(0.7)
        assert len(app.state.models["reward"].queue) == 0
    assert passes == [1]


def test_a_request_in_progress_is_answered_before_the_server_ends(make_app, scorer, serve_on_socket):
    import httpx2

    app, found = make_app(reward=scorer), []
    passes = slow(app, 0.4)
    with serve_on_socket(app) as url:
        ask = threading.Thread(target=lambda: found.append(httpx2.post(f"{url}/get_reward", json=QUERY)))
        ask.start()
        while not passes:
            time.sleep(0.01)
    ask.join()
    assert found[0].json()["rewards"] == pytest.approx(scorer.score([QUERY["query"]]), abs=1e-5)


def test_slow_and_broken_connections_do_not_stop_others(make_app, scorer, serve_on_socket, monkeypatch):
    import httpx2

    from rlhf_losses.serving import server_process

    monkeypatch.setattr(server_process, "HEADER_TIMEOUT", 0.3)
    with serve_on_socket(make_app(ServerSettings(read_timeout=0.3), reward=scorer)) as url:
        port = int(url.rpartition(":")[2])
        starts = [
            b"",
            b"GET",
            b"POST /get_reward HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{",
            b"\xff\x00\r\n\r\n",
        ]
        connections = [socket.create_connection(("127.0.0.1", port)) for _ in starts]
        for connection, start in zip(connections, starts, strict=True):
            connection.sendall(start)
        assert httpx2.post(f"{url}/get_reward", json=QUERY).status_code == 200
        ends = []
        for connection in connections:
            connection.settimeout(5)
            ends.append(b"".join(iter(lambda one=connection: one.recv(4096), b"")))
            connection.close()
        assert ends[:2] == [b"", b""]
        assert b"408" in ends[2].splitlines()[0]
        assert b"400" in ends[3].splitlines()[0]


def test_closed_connections_are_not_kept(make_app, scorer, serve_on_socket):
    import httpx2

    from rlhf_losses.serving.server_process import TimedProtocol

    with serve_on_socket(make_app(reward=scorer)) as url:
        for _ in range(20):
            httpx2.post(f"{url}/get_reward", json=QUERY, headers={"Connection": "close"})
        time.sleep(0.1)
        gc.collect()
        assert sum(isinstance(one, TimedProtocol) for one in gc.get_objects()) < 5

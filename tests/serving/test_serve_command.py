"""`rlhf-losses serve` as a process: messages before a model loads, and its end after SIGTERM."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest


def test_arguments_are_checked_before_a_model_loads(cli, tmp_path):
    from rlhf_losses.cli import serve  # noqa: F401

    for arguments, expected in [
        ([], "--model is missing"),
        (["--model", tmp_path], "contains no model"),
        (["--model", "a=x", "--host", "0.0.0.0"], "--no_auth"),
        (["--model", "a=x", "--model", "a=y"], "Two models have the name 'a'"),
        (["--model", "a=x", "--transforms", "unknown"], "unknown"),
        (["--model", "a=x", "--cache_size", "-1"], "--cache_size"),
        (["--model", f"a={tmp_path}"], "contains no model"),
    ]:
        result = cli("serve", *arguments)
        assert result.code == 2
        assert expected in result.err


def test_a_missing_extra_is_a_message(cli, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "uvicorn" else find(name, *rest)
    )
    result = cli("serve", "--model", "a")
    assert result.code == 2
    assert "rlhf-losses[serve]" in result.err


def test_an_address_in_use_is_a_message():
    from rlhf_losses.errors import InvalidSettingError
    from rlhf_losses.serving.server_process import bind

    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        with pytest.raises(InvalidSettingError, match="Stop the program"):
            bind("127.0.0.1", used.getsockname()[1])
    with pytest.raises(InvalidSettingError, match="choose another"):
        bind("no such host", 80)


@contextmanager
def started(folder, *arguments):
    """Start a server; the value is its process and its address."""
    command = [sys.executable, "-m", "rlhf_losses", "serve", "--model", str(folder), "--port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        read, found = [], None
        while found is None and (line := process.stderr.readline()):
            read.append(line)
            found = re.search(r"at (http://\S+?)\.? ", line)
        assert found, "".join(read)
        rest = threading.Thread(target=process.stderr.read)
        rest.start()
        try:
            yield process, found[1]
        finally:
            process.kill()
            rest.join()


@pytest.fixture(scope="module")
def folder(reward_model, tmp_path_factory):
    """Return a folder with the model."""
    path = tmp_path_factory.mktemp("served") / "reward"
    for part in reward_model:
        part.save_pretrained(path)
    return path


@pytest.mark.thorough
def test_requests_in_progress_are_answered_after_sigterm(folder, scorer):
    import httpx2

    texts, found = [f"Once a fox sang {'very ' * n}." for n in range(100)], []
    with started(folder) as (process, url):

        def ask():
            answer = httpx2.post(f"{url}/get_reward", json={"query": texts}, timeout=60)
            found.extend(answer.json()["rewards"])

        httpx2.get(f"{url}/ready", timeout=30).raise_for_status()
        thread = threading.Thread(target=ask)
        thread.start()
        while "queued" not in httpx2.get(f"{url}/metrics").text.replace("queued,", ""):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        thread.join()
        assert process.wait(timeout=30) == 0
    assert found == pytest.approx(scorer.score(texts), abs=1e-4)


def test_a_second_ctrl_c_ends_the_server_at_once_without_a_traceback():
    import uvicorn

    from rlhf_losses.serving.server_process import StoppableServer

    process = os.fork()
    if process == 0:
        server = StoppableServer(uvicorn.Config(print))
        server.handle_exit(signal.SIGINT, None)
        if server.should_exit and not server.force_exit:
            server.handle_exit(signal.SIGINT, None)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130


@pytest.mark.thorough
def test_several_processes_serve_one_address(folder, scorer):
    import httpx2

    from rlhf_losses import RemoteScorer

    with started(folder, "--workers", "2") as (process, url):
        texts = [f"Once a fox sang {'very ' * n}." for n in range(64)]
        assert RemoteScorer(url).score(texts) == pytest.approx(scorer.score(texts), abs=1e-4)
        assert "rlhf_losses_requests_total" in httpx2.get(f"{url}/metrics").text
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)

"""Answers of `rlhf-losses serve` under load, each compared with `Scorer`; kills, restarts and requests that are none.

    python -m benchmarks.reliability.server_load --requests 100000
    python -m benchmarks.reliability.server_load --requests 5000 --fuzz 1000 --kills 2

The model is a tiny random Llama. Prints one row per part:

* load: texts of all lengths, one to eight a request, from 64 clients over all dialects; a wrong, swapped or lost answer
  is counted, and the memory of the server after a tenth of the requests and at the end.
* kills: `RemoteScorer` asks while the server is killed and started again; all answers arrive, and are right.
* connections: 200 that send nothing, a part of a request, or a body without end, while other clients are answered.
* fuzz: bodies and paths that are no request. Each answer is JSON (or the page of a path), with a status below 500, and
  without a traceback.

The results are on the page docs/how-to/serve.md.
"""

import argparse
import asyncio
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks._lib.http_load import Connection, run_clients, running_server, wait_until_ready
from rlhf_losses import RemoteScorer, Scorer
from rlhf_losses.sandbox.stories import vocabulary
from rlhf_losses.sandbox.tiny_models import build_language_model, build_reward_model, build_tokenizer

PORT = 8932
CLIENTS = 64
TOLERANCE = 1e-4
"""Largest difference of scores: a batch sums in another order than one text alone."""


@dataclass(frozen=True)
class Ask:
    """A request with the scores that its answer must have.

    Attributes:
        path: its path.
        body: its content.
        scores: the scores, in order.
    """

    path: str
    body: dict[str, Any]
    scores: list[float]


def main() -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000, help="requests of the load")
    parser.add_argument("--texts", type=int, default=20_000, help="distinct texts")
    parser.add_argument("--kills", type=int, default=5, help="kills of the server")
    parser.add_argument("--fuzz", type=int, default=10_000, help="requests that are none")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder))
        texts = write_texts(args.texts)
        scores = dict(zip(texts, Scorer.from_pretrained(folder, device="cpu").score(texts), strict=True))
        command = [sys.executable, "-m", "rlhf_losses", "serve", "--model", folder, "--port", str(PORT)]
        command += ["--device", "cpu", "--cache_size", "1000", "--read_timeout", "2"]
        with running_server(command, PORT) as process:
            print("load:", check_load(list(requests(args.requests, texts, scores)), process.pid), flush=True)
            found = check_connections(texts[0], scores[texts[0]])
            print("connections:", found | {"memory": memory_of(process.pid)}, flush=True)
            for part in ("fuzz", "the same fuzz again"):
                print(f"{part}:", check_fuzz(args.fuzz) | {"memory": memory_of(process.pid)}, flush=True)
            print("load after all:", check_load(list(requests(1000, texts, scores)), process.pid), flush=True)
        print("kills:", check_kills(command, args.kills, texts, scores), flush=True)


def save_model(folder: Path) -> None:
    """Save a tiny reward model.

    Args:
        folder: its folder.
    """
    tokenizer = build_tokenizer(vocabulary())
    tokenizer.padding_side = "right"
    build_reward_model(build_language_model(tokenizer, steps=1)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_texts(count: int) -> list[str]:
    """Return distinct texts of 1 to 60 words; some begin alike.

    Args:
        count: their number.
    """
    generator, words = random.Random(0), vocabulary()
    starts = ["", *(" ".join(generator.choices(words, k=20)) for _ in range(200))]
    ends = (" ".join(generator.choices(words, k=generator.randint(1, 40))) for _ in range(2 * count))
    return list(dict.fromkeys(f"{generator.choice(starts)} {end}".strip() for end in ends))[:count]


def requests(count: int, texts: list[str], scores: dict[str, float]) -> Iterator[Ask]:
    """Yield requests in all dialects.

    Args:
        count: their number.
        texts: texts to choose from.
        scores: their scores.
    """
    generator = random.Random(1)
    for _ in range(count):
        chosen = generator.choices(texts, k=generator.choice((1, 1, 1, 1, 2, 8)))
        path, body = generator.choice(
            [
                ("/get_reward", {"query": chosen}),
                ("/classify", {"input": chosen}),
                ("/classify", {"text": chosen}),
                ("/v1/embeddings", {"input": chosen}),
                ("/predict", {"inputs": [[one] for one in chosen]}),
                ("/v1/score/evaluation", {"messages": chosen}),
                ("/rewards", {"completions": chosen}),
            ]
        )
        yield Ask(path, body, [scores[one] for one in chosen])


def found_scores(answer: Any) -> list[float]:
    """Return the scores in an answer of any dialect.

    Args:
        answer: its content.
    """
    if isinstance(answer, list):
        return [one["embedding"][0] if isinstance(one, dict) else one[0]["score"] for one in answer]
    if rows := answer.get("data"):
        return [one["probs"][0] if "probs" in one else one["embedding"][0] for one in rows]
    if "results" in answer:
        return [one["score"] for one in answer["results"]]
    scores: list[float] = answer.get("rewards") or answer["scores"]
    return scores


def check_load(asks: list[Ask], pid: int) -> dict[str, Any]:
    """Return the counts of right and wrong answers, requests per second and memory in MiB.

    Args:
        asks: the requests.
        pid: process of the server.
    """
    counts = Counter[str]()
    connections = [Connection(PORT) for _ in range(CLIENTS)]
    memory: list[int] = []

    async def ask(number: int, request: Ask) -> None:
        status, answer = await connections[number].post(request.path, request.body)
        counts[outcome(status, answer, request.scores)] += 1
        if counts.total() in (len(asks) // 10, len(asks)):
            memory.append(memory_of(pid))

    async def run() -> tuple[float, list[float]]:
        try:
            return await run_clients(CLIENTS, asks, ask)
        finally:
            for one in connections:
                one.close()

    seconds, _ = asyncio.run(run())
    lost = len(asks) - counts.total()
    return {**counts, "lost": lost, "requests/s": round(len(asks) / seconds), "memory": memory}


def memory_of(pid: int) -> int:
    """Return the resident memory of a process in MiB.

    Args:
        pid: the process.
    """
    return int(psutil.Process(pid).memory_info().rss // 2**20)


def outcome(status: int, answer: Any, expected: list[float]) -> str:
    """Return whether an answer is right.

    Args:
        status: its status.
        answer: its content.
        expected: the scores that it must have.
    """
    if status != 200:
        return f"status {status}"
    found = found_scores(answer)
    is_right = len(found) == len(expected) and all(
        abs(one - other) <= TOLERANCE for one, other in zip(found, expected, strict=True)
    )
    return "right" if is_right else "wrong"


def check_connections(text: str, score: float) -> dict[str, Any]:
    """Open connections that send nothing whole, and return how requests are answered meanwhile.

    Args:
        text: a text.
        score: its score.
    """
    starts = [b"", b"POST /get", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{", b"\xff\xfe\r\n\r\n"]
    opened = [socket.create_connection(("127.0.0.1", PORT)) for _ in range(200)]
    for number, connection in enumerate(opened):
        connection.sendall(starts[number % len(starts)])

    async def run() -> tuple[str, float, str]:
        one = Connection(PORT)
        start = time.perf_counter()
        status, answer = await one.post("/get_reward", {"query": [text]})
        seconds = time.perf_counter() - start
        large, _ = await one.post("/get_reward", {"query": ["a" * (40 * 2**20)]})
        one.close()
        return outcome(status, answer, [score]), seconds, f"status {large}"

    answered, seconds, large = asyncio.run(run())
    for connection in opened:
        connection.close()
    return {"meanwhile": answered, "seconds": round(seconds, 2), "body of 40 MiB": large}


def check_fuzz(count: int) -> dict[str, int]:
    """Send requests that are none, and return the counts of their statuses.

    Args:
        count: number of requests.
    """
    generator, counts = random.Random(2), Counter[str]()
    good = list(requests(200, ["Once a fox sang."], {"Once a fox sang.": 0.0}))
    for _ in range(count):
        path, body = damaged(generator, generator.choice(good))
        status, content = send_raw(path, body)
        shows = any(word in content for word in (b"Traceback", b'File "', b"site-packages"))
        counts["traceback" if shows else f"{status // 100}xx" if status else "no answer"] += 1
    return dict(counts)


def damaged(generator: random.Random, request: Ask) -> tuple[str, bytes]:
    """Return path and body of a request with something wrong.

    Args:
        generator: source of randomness.
        request: a request.
    """
    values = [
        None,
        1,
        -1.5,
        1e400,
        "",
        [],
        {},
        [[]],
        [None],
        {"a": {}},
        "\ud800",
        [1, "a"],
        True,
        10**400,
        ["a"] * 2000,
    ]
    body: dict[str, Any] = dict(request.body)
    kind = generator.randrange(6)
    if kind == 0:
        body[generator.choice(list(body))] = generator.choice(values)
    elif kind == 1:
        body[generator.choice(["model", "messages", "prompts", "tools", "output", "use_activation", "raw_scores"])] = (
            generator.choice(values)
        )
    elif kind == 2:
        body = {}
    data = json.dumps(body).encode()
    if kind == 3:
        data = bytes(generator.randrange(256) for _ in range(generator.randrange(200)))
    elif kind == 4:
        at = generator.randrange(len(data))
        data = data[:at] + bytes([generator.randrange(256)]) + data[at + 1 :]
    elif kind == 5:
        data = data[: generator.randrange(len(data))]
    paths = [
        "/",
        "/rewards",
        "/verify",
        "/pooling",
        "/tokenize",
        "/v1/chat/completions",
        "/rerank",
        "/%ff/..",
        "/remote_rm",
    ]
    return generator.choice([request.path, generator.choice(paths)]), data


def send_raw(path: str, body: bytes) -> tuple[int, bytes]:
    """Return status and content of the answer to a body, or 0 and nothing.

    Args:
        path: path of the request.
        body: its bytes.
    """
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", PORT), timeout=30) as connection:
        connection.sendall(head + body)
        try:
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            return 0, b""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0, answer


def check_kills(command: list[str], kills: int, texts: list[str], scores: dict[str, float]) -> dict[str, Any]:
    """Kill and restart the server while a client asks, and return the counts of right and wrong scores.

    Args:
        command: the command that starts the server.
        kills: number of kills.
        texts: the texts.
        scores: their scores.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until_ready(PORT, process)
    counts, stop = Counter[str](), threading.Event()
    remote = RemoteScorer(f"http://127.0.0.1:{PORT}", batch_size=4, connections=16)

    def ask() -> None:
        generator = random.Random(3)
        while not stop.is_set():
            chosen = generator.choices(texts, k=64)
            for text, score in zip(chosen, remote.score(chosen), strict=True):
                counts["right" if abs(float(score or 0) - scores[text]) <= TOLERANCE else "wrong"] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(kills):
        time.sleep(2)
        process.kill()
        process.wait()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until_ready(PORT, process)
    time.sleep(2)
    stop.set()
    thread.join()
    process.kill()
    return {"kills": kills, **counts}


if __name__ == "__main__":
    main()

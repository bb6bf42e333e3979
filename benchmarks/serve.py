"""Requests per second and latency of `rlhf-losses serve`, compared to simple servers, for 1 to 256 clients.

    python -m benchmarks.serve
    python -m benchmarks.serve --clients 64 --prompt 192 --completion 24

Each request has one text, and the requests of 8 completions of a prompt follow each other, as RL systems send them. A
client sends a request when the last one is answered. The model is a random Llama of 30 M parameters in float32. Server
and clients are pinned to one core each. Servers:

* pipeline: FastAPI with a text-classification pipeline of transformers, one request at a time.
* padded: FastAPI, with the texts of waiting requests in padded batches of up to 32.
* rlhf-losses serve: with its defaults, and without the cache of scores.

Scores of all servers are compared with `Scorer`; the largest difference is in the table. Next to requests per second,
which other programs on the core change, the table has the CPU time of the server for a request, which they do not.

The table is on the page docs/how-to/serve.md.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from benchmarks._lib.http_load import Connection, run_clients, running_server
from benchmarks._lib.measurement import environment
from benchmarks._lib.tables import markdown_header
from rlhf_losses import Scorer
from rlhf_losses.sandbox.stories import vocabulary
from rlhf_losses.sandbox.tiny_models import build_tokenizer

COMPLETIONS = 8
"""Completions of a prompt."""

SERVER_CORE, CLIENT_CORE = 0, 1
PORT = 8931


COLUMNS = (
    *("server", "clients", "requests/s", "p50 s", "p95 s", "p99 s", "times pipeline"),
    *("CPU s/request", "times pipeline", "largest difference"),
)


@dataclass(frozen=True)
class Load:
    """What was measured with one number of clients.

    Attributes:
        rate: requests per second.
        quantiles: 50, 95 and 99 % quantiles of the latency, in seconds.
        cpu: CPU time of the server for a request, in seconds; other programs on the core do not change it.
        difference: largest error of a score.
    """

    rate: float
    quantiles: tuple[float, ...]
    cpu: float
    difference: float

    def cells(self, pipeline: "Load") -> list[str]:
        """Return the cells of the table.

        Args:
            pipeline: the load of the first server.
        """
        latencies = [f"{one:.2f}" for one in self.quantiles]
        rates = [f"{self.rate:.2f}", *latencies, f"{self.rate / pipeline.rate:.1f}"]
        return [*rates, f"{self.cpu:.3f}", f"{pipeline.cpu / self.cpu:.1f}", f"{self.difference:.0e}"]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64, 256], help="numbers of clients")
    parser.add_argument("--prompt", type=int, default=256, help="words of a prompt")
    parser.add_argument("--completion", type=int, default=16, help="words of a completion")
    parser.add_argument("--rounds", type=int, default=2, help="requests of each client, at most 256 in all")
    args = parser.parse_args()
    if CLIENT_CORE in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {CLIENT_CORE})
    torch.set_num_threads(1)
    counts = {clients: max(2 * COMPLETIONS, min(args.rounds * clients, max(clients, 256))) for clients in args.clients}
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder))
        texts = write_texts(sum(counts.values()), args.prompt, args.completion)
        expected = Scorer.from_pretrained(folder, device="cpu").score(texts)
        print(environment())
        print(markdown_header(COLUMNS))
        pipeline: dict[int, Load] = {}
        for name, command in commands(folder).items():
            with running_server(command, PORT, SERVER_CORE) as process:
                first = 0
                for clients, count in counts.items():
                    chosen = slice(first, first + count)
                    found = measure(clients, process.pid, texts[chosen], expected[chosen])
                    pipeline.setdefault(clients, found)
                    print(f"| {' | '.join((name, str(clients), *found.cells(pipeline[clients])))} |", flush=True)
                    first += count


def commands(folder: str) -> dict[str, list[str]]:
    """Return the command that starts each server, on one core.

    Args:
        folder: folder of the model.
    """
    simple = [sys.executable, "-m", "benchmarks._lib.simple_servers"]
    own = [sys.executable, "-m", "rlhf_losses", "serve", "--model", folder, "--device", "cpu", "--cache_size", "0"]
    return {
        "pipeline": [*simple, "pipeline", folder, "--port", str(PORT)],
        "padded": [*simple, "padded", folder, "--port", str(PORT)],
        "rlhf-losses serve": [*own, "--port", str(PORT), "--request_timeout", "3600"],
    }


def measure(clients: int, pid: int, texts: Sequence[str], expected: Sequence[float]) -> Load:
    """Send requests and return what was measured.

    Args:
        clients: number of clients.
        pid: process of the server.
        texts: one text per request.
        expected: their scores.
    """
    server = psutil.Process(pid)
    before = sum(server.cpu_times()[:2])
    connections = [Connection(PORT) for _ in range(clients)]
    errors = []

    async def ask(number: int, request: tuple[str, float]) -> None:
        text, score = request
        status, answer = await connections[number].post("/get_reward", {"query": [text]})
        errors.append(abs(answer["rewards"][0] - score) if status == 200 else float("inf"))

    async def run() -> tuple[float, list[float]]:
        try:
            return await run_clients(clients, list(zip(texts, expected, strict=True)), ask)
        finally:
            for one in connections:
                one.close()

    seconds, times = asyncio.run(run())
    cpu = (sum(server.cpu_times()[:2]) - before) / len(texts)
    quantiles = tuple(map(float, np.quantile(times, [0.5, 0.95, 0.99])))
    return Load(len(texts) / seconds, quantiles, cpu, max(errors))


def save_model(folder: Path) -> None:
    """Save a random Llama of 30 M parameters.

    Args:
        folder: its folder.
    """
    tokenizer = build_tokenizer(vocabulary())
    tokenizer.padding_side, tokenizer.model_max_length = "right", 4096
    # The pipeline does not add EOS; the other servers tokenize a text with EOS once.
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=512, intermediate_size=1536, num_hidden_layers=9, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=4096, num_labels=1, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, problem_type="regression",
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_texts(count: int, prompt: int, completion: int) -> list[str]:
    """Return texts that end with EOS, of which 8 in a row have one prompt.

    Args:
        count: number of texts.
        prompt: words of a prompt.
        completion: words of a completion.
    """
    generator, words = random.Random(0), vocabulary()
    prompts = [" ".join(generator.choices(words, k=prompt)) for _ in range(count // COMPLETIONS + 1)]
    ends = [" ".join(generator.choices(words, k=completion)) for _ in range(count)]
    return [f"{prompts[index // COMPLETIONS]} {end}</s>" for index, end in enumerate(ends)]


if __name__ == "__main__":
    main()

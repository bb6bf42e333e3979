"""Servers to compare with: a transformers pipeline with a request at a time, and padded batches of up to 32 texts."""

import argparse
import asyncio
from collections.abc import Callable
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

BATCH = 32
"""Texts of a padded batch."""

WAIT = 0.005
"""Seconds that a padded batch waits for further texts."""


def pipeline_server(folder: str) -> FastAPI:
    """Return a server that calls a pipeline for each request.

    Args:
        folder: folder of the model.
    """
    classify = pipeline("text-classification", model=folder, function_to_apply="none", device="cpu")
    app = _app()

    @app.post("/get_reward")
    async def get_reward(body: dict[str, Any]) -> dict[str, Any]:
        return {"rewards": [one["score"] for one in classify(body["query"])]}

    return app


class PaddedBatches:
    """Scores of the texts of waiting requests, in padded batches.

    Args:
        folder: folder of the model.
    """

    def __init__(self, folder: str) -> None:
        self.model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.waiting: asyncio.Queue[tuple[str, asyncio.Future[float]]] = asyncio.Queue()
        self.tasks: list[asyncio.Task[None]] = []

    @torch.no_grad()
    def compute(self, texts: list[str]) -> list[float]:
        """Return the scores of a batch."""
        batch = self.tokenizer(texts, padding=True, return_tensors="pt", padding_side="right")
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        scores: list[float] = self.model(**inputs).logits.squeeze(-1).tolist()
        return scores

    async def run(self) -> None:
        """Compute the texts that wait."""
        while True:
            items = [await self.waiting.get()]
            await asyncio.sleep(WAIT)
            while len(items) < BATCH and not self.waiting.empty():
                items.append(self.waiting.get_nowait())
            scores = await asyncio.to_thread(self.compute, [text for text, _ in items])
            for (_, answer), value in zip(items, scores, strict=True):
                answer.set_result(value)

    async def score(self, text: str) -> float:
        """Return the score of a text."""
        if not self.tasks:
            self.tasks.append(asyncio.create_task(self.run()))
        answer = asyncio.get_running_loop().create_future()
        self.waiting.put_nowait((text, answer))
        return await answer


def padded_server(folder: str) -> FastAPI:
    """Return a server that pads the texts of waiting requests to one batch.

    Args:
        folder: folder of the model.
    """
    batches, app = PaddedBatches(folder), _app()

    @app.post("/get_reward")
    async def get_reward(body: dict[str, Any]) -> dict[str, Any]:
        return {"rewards": list(await asyncio.gather(*map(batches.score, body["query"])))}

    return app


def _app() -> FastAPI:
    app = FastAPI()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


SERVERS: dict[str, Callable[[str], FastAPI]] = {"pipeline": pipeline_server, "padded": padded_server}
"""Servers by name."""


def main() -> None:
    """Run a server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", choices=SERVERS)
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    uvicorn.run(SERVERS[args.server](args.folder), port=args.port, log_level="warning")


if __name__ == "__main__":
    main()

"""Reward of verl from `rlhf-losses serve`; verl calls `compute_score` for each response.

verl gives the function no prompt, so the dataset needs it: `extra_info={"prompt": messages or text}`.
"""

import asyncio
import os

import aiohttp

URL = os.environ.get("REWARD_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("RLHF_LOSSES_API_KEY", "")
TRIES = 8


async def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    """Return the score of a response after its prompt."""
    prompt = (extra_info or {}).get("prompt")
    if prompt is None:
        raise ValueError("extra_info has no prompt. Add it to the dataset: extra_info={'prompt': messages}.")
    body = {"prompts": [prompt], "completions": [solution_str]}
    headers = {"Authorization": f"Bearer {KEY}"} if KEY else {}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(300)) as session:
        for attempt in range(TRIES):
            try:
                async with session.post(f"{URL}/rewards", json=body) as answer:
                    if answer.status < 500:
                        answer.raise_for_status()
                        [result] = (await answer.json())["results"]
                        if "score" not in result:
                            raise ValueError(result["problem"])
                        return {"score": result["score"]}
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(2.0**attempt / 2)
    raise RuntimeError(f"{URL} has not answered {TRIES} times. Start it: rlhf-losses serve --model DIR.")

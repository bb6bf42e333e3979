"""Environment of NeMo-RL whose reward is the score of `rlhf-losses serve`.

Register it before the run (`nemo_rl.environments.utils.register_env`), and name it in the configuration of the data:

    register_env("remote_reward", "nemo_rl_environment.RemoteRewardEnvironment")

With NeMo Gym, no class is needed: the server is a resources server (`/seed_session`, `/verify`). Without a server,
NeMo-RL loads the folder of the model itself: see nemo_rl.yaml.
"""

import os
import time

import ray
import requests
import torch
from nemo_rl.environments.interfaces import EnvironmentInterface, EnvironmentReturn

URL = os.environ.get("REWARD_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("RLHF_LOSSES_API_KEY", "")
TRIES = 8


@ray.remote(max_restarts=-1, max_task_retries=-1)
class RemoteRewardEnvironment(EnvironmentInterface):
    """One turn: conversations are scored, a batch in a request."""

    def __init__(self, config=None):
        self.url = (config or {}).get("url", URL)

    def step(self, message_log_batch, metadata):
        """Return the scores of conversations."""
        texts = [[{"role": one["role"], "content": one["content"]} for one in log] for log in message_log_batch]
        count = len(texts)
        return EnvironmentReturn(
            observations=[{"role": "environment", "content": ""}] * count,
            metadata=metadata,
            next_stop_strings=[None] * count,
            rewards=torch.tensor(scores(self.url, texts)),
            terminateds=torch.ones(count),
            answers=[None] * count,
        )

    def global_post_process_and_metrics(self, batch):
        """Return the batch as it is, and the mean reward."""
        return batch, {"mean_reward": batch["rewards"].mean().item()}


def scores(url: str, texts: list) -> list:
    """Return the scores of conversations; a server that is busy is asked again."""
    headers = {"Authorization": f"Bearer {KEY}"} if KEY else {}
    for attempt in range(TRIES):
        try:
            answer = requests.post(f"{url}/rewards", json={"completions": texts}, headers=headers, timeout=300)
            if answer.status_code < 500:
                answer.raise_for_status()
                return [one["score"] for one in answer.json()["results"]]
        except requests.ConnectionError:
            pass
        time.sleep(2.0**attempt / 2)
    raise RuntimeError(f"{url} has not answered {TRIES} times. Start it: rlhf-losses serve --model DIR.")

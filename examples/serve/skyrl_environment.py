"""Environment of SkyRL whose reward is the score of `rlhf-losses serve`, and its registration.

    python -m skyrl_environment environment.env_class=reward_model data.train_data="['prompts.parquet']" ...

The rows need the column `prompt` (messages) and `env_class: reward_model`.
"""

import os
import sys
import time

import requests
from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput
from skyrl_gym.envs.registration import register

URL = os.environ.get("REWARD_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("RLHF_LOSSES_API_KEY", "")
TRIES = 8


class RewardModelEnv(BaseTextEnv):
    """One turn: the response is scored after its prompt."""

    def __init__(self, env_config=None, extras=None):
        super().__init__()
        self.prompt = []

    def init(self, prompt):
        """Keep the prompt, and return it as it is."""
        self.prompt = list(prompt)
        return prompt, {}

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Return the score of a response."""
        return BaseTextEnvStepOutput(observations=[], reward=score(self.prompt, action), done=True, metadata={})


def score(prompt: list, response: str) -> float:
    """Return the score of a response; a server that is busy is asked again."""
    headers = {"Authorization": f"Bearer {KEY}"} if KEY else {}
    body = {"prompts": [prompt], "completions": [response]}
    for attempt in range(TRIES):
        try:
            answer = requests.post(f"{URL}/rewards", json=body, headers=headers, timeout=300)
            if answer.status_code < 500:
                answer.raise_for_status()
                [result] = answer.json()["results"]
                if "score" not in result:
                    raise ValueError(result["problem"])
                return result["score"]
        except requests.ConnectionError:
            pass
        time.sleep(2.0**attempt / 2)
    raise RuntimeError(f"{URL} has not answered {TRIES} times. Start it: rlhf-losses serve --model DIR.")


def main() -> None:
    """Train with the arguments of the command line."""
    import ray
    from skyrl.train.config import SkyRLTrainConfig
    from skyrl.train.entrypoints.main_base import BasePPOExp, validate_cfg
    from skyrl.train.utils import initialize_ray

    @ray.remote(num_cpus=1)
    def run(config):
        register(id="reward_model", entry_point="skyrl_environment:RewardModelEnv")
        BasePPOExp(config).run()

    config = SkyRLTrainConfig.from_cli_overrides(sys.argv[1:])
    validate_cfg(config)
    initialize_ray(config)
    ray.get(run.remote(config))


if __name__ == "__main__":
    main()

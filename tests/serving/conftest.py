"""A tiny reward model, and servers of it: in this process, and on a socket."""

import pytest
from command_line import cli as cli
from listening_server import listening

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<{{ message.role }}>{{ message.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="session")
def reward_model():
    """Return a model and a tokenizer with a chat template."""
    from rlhf_losses.sandbox.stories import vocabulary
    from rlhf_losses.sandbox.tiny_models import build_language_model, build_reward_model, build_tokenizer

    tokenizer = build_tokenizer([*vocabulary(), "<", ">", "user", "assistant"])
    tokenizer.chat_template = CHAT_TEMPLATE
    return build_reward_model(build_language_model(tokenizer, steps=1)), tokenizer


@pytest.fixture(scope="session")
def scorer(reward_model):
    """Return a scorer of whole texts."""
    from rlhf_losses import Scorer

    return Scorer(*reward_model, batch_size=512)


@pytest.fixture(scope="session")
def step_scorer(reward_model):
    """Return a scorer of the same weights that scores sentences."""
    from rlhf_losses import Scorer
    from rlhf_losses.scoring.metadata import RewardModelMetadata

    metadata = RewardModelMetadata(loss="segment_hinge", feedback_types=["Steps"], segmentation="sentences")
    return Scorer(*reward_model, metadata, batch_size=512)


@pytest.fixture(scope="session")
def make_app():
    """Return a function that makes an application of scorers by name."""
    from rlhf_losses.serving.application import create_app
    from rlhf_losses.serving.server_settings import ServerSettings

    return lambda settings=None, **scorers: create_app(list(scorers.items()), settings or ServerSettings())


@pytest.fixture(scope="module")
def client(make_app, scorer):
    """Return a client of a server with one model."""
    from fastapi.testclient import TestClient

    with TestClient(make_app(reward=scorer)) as connected:
        yield connected


@pytest.fixture(scope="session")
def serve_on_socket():
    """Return the context manager that runs an application on a socket."""
    return listening

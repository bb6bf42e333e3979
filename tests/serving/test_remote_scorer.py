"""`RemoteScorer` gives the scores of the scorer, sync and async, also while the server restarts."""

import asyncio
import copy
import logging
import pickle
import random
import threading
import time

import pytest
import torch

from rlhf_losses import RemoteScorer
from rlhf_losses.cli.reward_function_arguments import RewardFunctionArguments, require_weights
from rlhf_losses.errors import (
    InvalidFeedbackError,
    InvalidSettingError,
    ProcessError,
    RlhfLossesError,
    UnsupportedModelError,
)
from rlhf_losses.ppo.ppo_run import reward_content
from rlhf_losses.ppo.reward_functions import load_reward_functions
from rlhf_losses.serving.retry_policy import RetryPolicy
from rlhf_losses.serving.server_settings import ServerSettings

PROMPTS = ["Once a fox", "Once a bear", [{"role": "user", "content": "Once a"}]] * 5
COMPLETIONS = [" sang.", " slept.", [{"role": "assistant", "content": "fox ran."}]] * 5


@pytest.fixture(scope="module")
def server(make_app, scorer, serve_on_socket):
    """Return the address of a server with one model."""
    with serve_on_socket(make_app(reward=scorer)) as url:
        yield url


def test_scores_are_those_of_the_scorer_in_batches(server, scorer):
    remote = RemoteScorer(server, batch_size=4, connections=3)
    expected = scorer(prompts=PROMPTS, completions=COMPLETIONS)
    assert remote(prompts=PROMPTS, completions=COMPLETIONS, trainer_state=None) == pytest.approx(expected, abs=1e-5)
    assert remote.score(["Once a fox sang."]) == pytest.approx(scorer.score(["Once a fox sang."]), abs=1e-5)
    assert remote.__name__ == "reward"
    assert remote(prompts=[], completions=[]) == []


def test_the_coroutine_gives_the_same(server, scorer):
    reward = RemoteScorer(server).as_async()
    assert asyncio.iscoroutinefunction(reward)
    found = asyncio.run(reward(prompts=PROMPTS, completions=COMPLETIONS))
    assert found == pytest.approx(scorer(prompts=PROMPTS, completions=COMPLETIONS), abs=1e-5)


def test_columns_of_the_chat_template_are_sent(server, scorer):
    columns = {"completion_cut_off": [True], "system": ["Be a fox."]}
    sent = {"prompts": [PROMPTS[2]], "completions": [COMPLETIONS[2]], **columns}
    found = RemoteScorer(server)(**sent, answer=["not sent"])
    assert found == pytest.approx(scorer(**sent), abs=1e-5)
    assert found != pytest.approx(scorer(prompts=[PROMPTS[2]], completions=[COMPLETIONS[2]]), abs=1e-5)


def test_a_completion_without_a_score_is_an_error_or_none(server, scorer, caplog):
    texts = {"prompts": ["", ""], "completions": ["Once a fox sang.", "fox " * 500]}
    with pytest.raises(InvalidFeedbackError, match="context length"):
        RemoteScorer(server)(**texts)
    found = RemoteScorer(server, problems="none")(**texts)
    assert found == [pytest.approx(scorer(prompts=[""], completions=["Once a fox sang."])[0], abs=1e-5), None]
    assert "context length" in caplog.text


def test_it_can_be_copied_and_pickled(server):
    remote = RemoteScorer(server)
    expected = remote.score(["Once a fox sang."])
    for copied in (pickle.loads(pickle.dumps(remote)), copy.deepcopy(remote)):
        assert copied.score(["Once a fox sang."]) == expected


def test_trainers_accept_an_address_in_place_of_a_path(server):
    [remote] = load_reward_functions([server], torch.device("cpu"), trust_remote_code=False)
    assert isinstance(remote, RemoteScorer)
    assert reward_content(remote).hash == remote.info["fingerprint"]


def test_settings_that_need_weights_are_refused_for_an_address():
    require_weights(RewardFunctionArguments(reward_model_name_or_path=["http://a:1"]))
    for setting in ({"reward_at": "step"}, {"reference_samples": "rows.jsonl"}, {"share_base": True}):
        with pytest.raises(RlhfLossesError, match="is a server"):
            require_weights(RewardFunctionArguments(reward_model_name_or_path=["http://a:1"], **setting))


def test_a_request_is_sent_again_while_the_server_restarts(make_app, scorer, serve_on_socket):
    with serve_on_socket(make_app(reward=scorer)) as url:
        remote = RemoteScorer(url, patience=30)
    found = []
    thread = threading.Thread(target=lambda: found.extend(remote.score(["Once a fox sang."])))
    thread.start()
    time.sleep(0.3)
    with serve_on_socket(make_app(reward=scorer), port=int(url.rpartition(":")[2])):
        thread.join(timeout=30)
    assert found == pytest.approx(scorer.score(["Once a fox sang."]), abs=1e-5)


def test_another_model_during_a_run_is_reported(make_app, scorer, step_scorer, serve_on_socket, caplog):
    with serve_on_socket(make_app(reward=scorer)) as url:
        remote = RemoteScorer(url)
    app = make_app(reward=step_scorer)
    with serve_on_socket(app, port=int(url.rpartition(":")[2])), caplog.at_level(logging.WARNING):
        remote.score(["Once a fox sang."])
        remote.score(["Once a fox sang."])
    assert caplog.text.count("is another one than at the start") == 1


def test_a_server_with_other_scores_than_it_says_is_refused(make_app, scorer, serve_on_socket):
    app = make_app(reward=scorer)
    model = app.state.models["reward"]
    model.canaries = [(text, score + 1) for text, score in model.canaries]
    with serve_on_socket(app) as url, pytest.raises(UnsupportedModelError, match="when it started"):
        RemoteScorer(url)


def test_the_model_of_a_folder_is_expected(server, scorer, reward_model, tmp_path):
    from rlhf_losses.feedback import Pairs
    from rlhf_losses.losses import BradleyTerry
    from rlhf_losses.scoring import describe_model

    metadata = describe_model(BradleyTerry(), [Pairs], *reward_model)
    metadata.save(tmp_path)
    RemoteScorer(server, folder=tmp_path)
    other = copy.deepcopy(scorer.model)
    with torch.no_grad():
        other.score.weight.mul_(2)
    describe_model(BradleyTerry(), [Pairs], other, scorer.tokenizer).save(tmp_path)
    with pytest.raises(UnsupportedModelError, match="other weights"):
        RemoteScorer(server, folder=tmp_path)


def test_models_are_selected_by_name_or_path(make_app, scorer, step_scorer, serve_on_socket):
    with serve_on_socket(make_app(whole=scorer, steps=step_scorer)) as url:
        text = "Once a fox sang. It slept."
        for remote in (RemoteScorer(url, model="steps"), RemoteScorer(f"{url}/models/steps")):
            assert remote.score([text]) == pytest.approx(step_scorer.score([text]), abs=1e-5)
        with pytest.raises(InvalidSettingError, match="whole, steps"):
            RemoteScorer(url)
        with pytest.raises(InvalidSettingError, match="Did you mean 'steps'"):
            RemoteScorer(url, model="step")


def test_the_key_is_sent(make_app, scorer, serve_on_socket, monkeypatch):
    with serve_on_socket(make_app(ServerSettings(api_key="secret"), reward=scorer)) as url:
        with pytest.raises(InvalidSettingError, match="no key"):
            RemoteScorer(url)
        assert RemoteScorer(url, api_key="secret").score(["Once."])
        monkeypatch.setenv("RLHF_LOSSES_API_KEY", "secret")
        assert RemoteScorer(url).score(["Once."])


def test_a_server_that_does_not_answer_is_named():
    with pytest.raises(ProcessError, match="Start the server"):
        RemoteScorer("http://127.0.0.1:1", patience=0.1)
    with pytest.raises(InvalidSettingError, match="not the address"):
        RemoteScorer("runs/reward-model")


def test_waits_double_with_jitter_until_the_patience_is_over():
    waits = list(RetryPolicy(patience=100, first=1, largest=8).waits(random.Random(0)))
    assert sum(waits) == pytest.approx(100)
    for wait, longest in zip(waits[:-1], [1, 2, 4, *[8] * 100], strict=False):
        assert longest / 2 <= wait <= longest
    assert len(set(waits)) == len(waits)

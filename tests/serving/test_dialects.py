"""Each dialect gives the scores of the scorer, in the form that its clients read."""

import base64
import math
import re
import shlex
import struct
from pathlib import Path

import pytest

GUIDE, HOST = Path(__file__).parents[2] / "docs" / "how-to" / "serve.md", "http://127.0.0.1:8000"
CURL = {"content-type": "application/x-www-form-urlencoded"}
"""What curl says of the content of `-d`, whatever it is."""

PROMPT, ANSWERS = "Once a fox", [" sang.", " slept.", " ran to a red house."]
TEXTS = [PROMPT + answer for answer in ANSWERS]
CONVERSATION = [{"role": "user", "content": "Once a"}, {"role": "assistant", "content": "fox sang."}]


def send(client, path, status=200, **body):
    """Send a request and return the content of the answer."""
    answer = client.post(path, json=body)
    assert answer.headers["content-type"] == "application/json"
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def scores(scorer):
    """Return the scores of `TEXTS`."""
    return [scorer.score([text])[0] for text in TEXTS]


def close(values):
    """Return an approximation within the rounding of a batch."""
    return pytest.approx(values, abs=1e-5)


def test_openrlhf_receives_one_reward_per_text(client, scores):
    for path in ("/get_reward", "/"):
        found = send(client, path, query=TEXTS, prompts=[PROMPT] * 3, labels=["", "", ""])
        assert found["rewards"] == close(scores)
        assert found["scores"] == found["rewards"]
    assert send(client, "/get_reward", query=TEXTS[0])["rewards"] == close(scores[:1])


def test_openrlhf_is_told_about_other_numbers_of_prompts(client):
    assert "2 entries for 3 texts" in send(client, "/get_reward", 422, query=TEXTS, prompts=["", ""])["message"]


def test_vllm_classify_gives_raw_scores_unless_an_activation_is_asked_for(client, scores):
    for asked in ({}, {"use_activation": False}):
        found = send(client, "/classify", model="any/name", input=TEXTS, **asked)
        assert [one["probs"] for one in found["data"]] == [[close(score)] for score in scores]
        assert [one["index"] for one in found["data"]] == [0, 1, 2]
    found = send(client, "/classify", input=TEXTS[0], use_activation=True)
    assert found["data"][-1]["probs"][-1] == close(1 / (1 + math.exp(-scores[0])))


def test_vllm_classify_of_a_model_of_numbers_has_no_activation(make_app, scorer, scores, monkeypatch):
    from fastapi.testclient import TestClient

    monkeypatch.setattr(scorer.model.config, "problem_type", "regression")
    with TestClient(make_app(reward=scorer)) as client:
        found = send(client, "/classify", input=TEXTS[0], use_activation=True)
    assert found["data"][0]["probs"] == [close(scores[0])]


def test_vllm_reads_messages_and_token_ids(client, scorer):
    found = send(client, "/classify", messages=CONVERSATION)
    assert found["data"][0]["probs"] == close(scorer.score([CONVERSATION]))
    ids = send(client, "/tokenize", prompt=TEXTS[0])
    assert ids["count"] == len(ids["tokens"])
    assert send(client, "/classify", input=[ids["tokens"]])["data"][0]["probs"] == close(scorer.score(TEXTS[:1]))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": "a", "messages": CONVERSATION},
        {"input": [[]]},
        {"input": [[999999]]},
        {"input": "a", "truncate_prompt_tokens": 5},
        {"messages": CONVERSATION, "chat_template": "{{ 1 }}"},
        {"messages": CONVERSATION, "chat_template_kwargs": {"chat_template": "{{ 1 }}"}},
        {"messages": [{"role": "user"}]},
        {"input": {"a": 1}},
    ],
)
def test_vllm_requests_that_cannot_be_answered_are_refused_with_a_reason(client, body):
    error = send(client, "/classify", 422, **body)["error"]
    assert error["message"]
    assert "Traceback" not in error["message"]


def test_sglang_shares_the_path_classify(client, scores):
    assert send(client, "/classify", text=TEXTS[0])["embedding"] == close(scores[:1])
    assert [one["embedding"][0] for one in send(client, "/classify", text=TEXTS)] == close(scores)


def test_embeddings_are_floats_or_base64(client, scores):
    found = send(client, "/v1/embeddings", model="x", input=TEXTS)
    assert [one["embedding"] for one in found["data"]] == [[close(score)] for score in scores]
    packed = send(client, "/v1/embeddings", input=TEXTS, encoding_format="base64")["data"]
    assert [struct.unpack("<f", base64.b64decode(one["embedding"]))[0] for one in packed] == close(scores)
    assert "one number" in send(client, "/v1/embeddings", 422, input="a", dimensions=8)["message"]


def test_slime_receives_a_number_or_an_object(client, scores):
    for path in ("/remote_rm", "/"):
        assert send(client, path, prompt=PROMPT, response=ANSWERS[1], label="x") == close(scores[1])
    assert send(client, "/remote_rm?reward_key=score", prompt=PROMPT, response=ANSWERS[1]) == {
        "score": close(scores[1])
    }


def test_slime_sends_prompts_of_messages(client, scorer):
    found = send(client, "/remote_rm", prompt=CONVERSATION[:1], response="fox sang.")
    assert found == close(scorer(prompts=[CONVERSATION[:1]], completions=["fox sang."])[0])


def test_llama_factory_reads_scores(client, scores):
    found = send(client, "/v1/score/evaluation", model="model", messages=TEXTS)
    assert found["scores"] == close(scores)
    assert found["object"] == "score.evaluation"


def test_ms_swift_reads_the_score_as_a_text(client, scorer):
    found = send(client, "/v1/chat/completions", model="x", messages=CONVERSATION)
    assert float(found["choices"][0]["message"]["content"]) == close(scorer.score([CONVERSATION])[0])
    assert send(client, "/v1/chat/completions", 422, messages=[])["object"] == "error"


def test_nemo_gym_receives_its_request_with_a_reward(client, scorer):
    assert send(client, "/seed_session") == {}
    assert send(client, "/seed_session", resources_session_id="7") == {"resources_session_id": "7"}
    assert client.get("/reverify_mode").json() == "stateless"
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "fox sang."}]}
    body = {
        "responses_create_params": {"input": "Once a"},
        "response": {"id": "1", "output": [{"type": "reasoning", "summary": []}, message]},
        "extra": [1, {"a": "ü"}],
    }
    found = send(client, "/verify", **body)
    assert found == {**body, "reward": close(scorer.score([CONVERSATION])[0])}
    mean = send(client, "/aggregate_metrics", verify_responses=[{"reward": 1.0}, {"reward": 3}])
    assert mean["agent_metrics"] == {"mean/reward": 2.0}


def test_nemo_gym_is_told_about_a_response_without_a_message(client):
    body = {"responses_create_params": {"input": "Once a"}, "response": {"output": []}}
    assert "no message" in send(client, "/verify", 422, **body)["message"]


def test_text_embeddings_inference_reads_texts_pairs_and_batches(client, scores):
    for path in ("/predict", "/"):
        assert send(client, path, inputs=TEXTS[0]) == [{"label": "reward", "score": close(scores[0])}]
        assert send(client, path, inputs=[PROMPT, ANSWERS[0]])[0]["score"] == close(scores[0])
        batch = send(client, path, inputs=[[TEXTS[0]], [PROMPT, ANSWERS[1]]], raw_scores=True)
        assert [one[0]["score"] for one in batch] == close(scores[:2])


def test_text_embeddings_inference_applies_a_sigmoid_on_request(client, scores):
    expected = [{"label": "reward", "score": close(1 / (1 + math.exp(-scores[0])))}]
    assert send(client, "/predict", inputs=TEXTS[0], raw_scores=False) == expected
    assert send(client, "/predict", inputs=TEXTS[0], parameters={"function_to_apply": "sigmoid"}) == expected
    refusal = send(client, "/predict", 422, inputs=TEXTS[0], parameters={"function_to_apply": "softmax"})
    assert "always 1" in refusal["message"]
    assert "one pair" in send(client, "/predict", 422, inputs=TEXTS)["message"]


def test_score_and_rerank_take_a_prompt_with_its_completions(client, scores):
    for body in ({"text_1": PROMPT, "text_2": ANSWERS}, {"queries": [PROMPT], "documents": ANSWERS}):
        assert [one["score"] for one in send(client, "/v1/score", **body)["data"]] == close(scores)
    found = send(client, "/v2/rerank", query=PROMPT, documents=ANSWERS, top_n=2)["results"]
    best = sorted(range(3), key=lambda index: -scores[index])[:2]
    assert [one["index"] for one in found] == best
    assert [one["relevance_score"] for one in found] == close([scores[index] for index in best])
    assert "2 prompts and 3 completions" in send(client, "/score", 422, queries=["", ""], documents=ANSWERS)["message"]


def test_the_own_dialect_says_which_text_has_no_score(client, scores):
    found = send(client, "/rewards", prompts=[PROMPT] * 3, completions=[*ANSWERS[:2], "fox " * 500])
    assert [one.get("score") for one in found["results"][:2]] == close(scores[:2])
    assert found["results"][2]["status"] == 422
    assert "context length" in found["results"][2]["problem"]
    assert "1 entries for 3" in send(client, "/rewards", 422, prompts=[PROMPT], completions=ANSWERS)["message"]


def test_models_of_steps_give_one_score_per_step(make_app, step_scorer):
    from fastapi.testclient import TestClient

    text, steps = "Once a fox sang. The fox slept.", ["Once a fox sang. ", "The fox slept."]
    expected = step_scorer.score_steps("", steps)
    with TestClient(make_app(steps=step_scorer)) as client:
        found = send(client, "/pooling", input=[text], task="token_classify")["data"][0]
        assert found == {"index": 0, "object": "pooling", "data": [[close(score)] for score in expected]}
        assert send(client, "/classify", input=text)["data"][0]["probs"] == close(step_scorer.score([text]))
        own = send(client, "/rewards", prompts=[""], completions=[steps], output="steps")
        assert own["results"] == [{"steps": close(expected)}]
        assert "finds in the text" in send(client, "/classify", 422, input=[[5, 6]])["message"]


def test_several_models_are_selected_by_name_or_path(make_app, scorer, step_scorer, scores):
    from fastapi.testclient import TestClient

    with TestClient(make_app(whole=scorer, steps=step_scorer)) as client:
        assert [one["id"] for one in client.get("/v1/models").json()["data"]] == ["whole", "steps"]
        for name in ("whole", "runs/whole"):
            assert send(client, "/classify", model=name, input=TEXTS[0])["data"][0]["probs"] == close(scores[:1])
        assert send(client, "/models/whole/get_reward", query=TEXTS[0])["rewards"] == close(scores[:1])
        for body in ({"model": "other"}, {}):
            assert "whole, steps" in send(client, "/classify", 404, input="a", **body)["message"]


def test_the_requests_of_the_guide_are_answered(make_app, serve_on_socket, scorer):
    import httpx2

    page = GUIDE.read_text(encoding="utf-8")
    lines = [shlex.split(line) for line in re.findall(r"^curl .*$", page, re.MULTILINE)]
    [code] = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    prompt, answer = "Where is it?", "In the red house."
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    expected = scorer(prompts=[f"{prompt} "] * 2, completions=[answer, "No."])
    chat = scorer.score([messages])[0]
    with serve_on_socket(make_app(reward=scorer)) as address:
        for _, url, *body in lines:
            url = url.replace(HOST, address)
            found = httpx2.post(url, content=body[1], headers=CURL) if body else httpx2.get(url)
            assert found.status_code == 200, found.text
            numbers = [float(one) for one in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", found.text)]
            assert not body or close(chat if url.endswith("completions") else expected[0]) in numbers, (url, found.text)
        namespace: dict = {}
        exec(code.replace(HOST, address), namespace)
    assert [namespace["better"], namespace["worse"]] == close(expected)
    assert len(lines) == 10


def test_pages_describe_the_server(client, scorer):
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}
    [model] = client.get("/info").json()["models"]
    assert model["layout"] == scorer.forward.layout.name
    assert [one["score"] for one in model["canaries"]] == close(
        scorer.score([one["input"] for one in model["canaries"]])
    )
    send(client, "/get_reward", query=TEXTS[0])
    assert 'rlhf_losses_requests_total{path="/get_reward",status="200"}' in client.get("/metrics").text


def test_the_openapi_page_loads_nothing_from_other_hosts(client):
    page = client.get("/docs").text
    assert "//" not in page.replace("<!--", "").partition("<script src=")[2].partition(">")[0]
    assert "https://" not in page
    assert client.get("/static-offline-docs/swagger-ui-bundle.js").status_code == 200
    assert "/get_reward" in client.get("/openapi.json").json()["paths"]

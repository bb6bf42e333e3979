"""Clients of other projects read the scores: huggingface_hub, and openai where it is installed."""

import pytest

TEXT = "Once a fox sang."


@pytest.fixture(scope="module")
def server(make_app, scorer, serve_on_socket):
    """Return the address of a server."""
    with serve_on_socket(make_app(reward=scorer)) as url:
        yield url


def test_the_inference_client_of_the_hub_reads_the_score(server, scorer, monkeypatch):
    from huggingface_hub import InferenceClient, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    found = InferenceClient(server).text_classification(TEXT, function_to_apply="none")
    assert found.label == "reward"
    assert found.score == pytest.approx(scorer.score([TEXT])[0], abs=1e-5)


def test_the_client_of_openai_reads_the_score(server, scorer):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none") as client:
        assert [one.id for one in client.models.list().data] == ["reward"]
        found = client.embeddings.create(model="any", input=TEXT)  # in base64
        assert found.data[0].embedding == pytest.approx(scorer.score([TEXT]), abs=1e-5)
        with pytest.raises(openai.UnprocessableEntityError, match="context length"):
            client.embeddings.create(model="any", input="fox " * 500)

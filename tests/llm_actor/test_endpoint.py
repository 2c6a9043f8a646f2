from __future__ import annotations

import pytest

from envs import InputError
from llm_actor.endpoint import Endpoint, EndpointError


def told(url: str) -> str:
    return str(Endpoint(url, "phi").mistake(EndpointError("status 404", 404)))


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1/chat/completions"),
        ("http://localhost:8000/", "http://localhost:8000/v1/chat/completions"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1/chat/completions"),
        ("https://llm.example/api/v1/", "https://llm.example/api/v1/chat/completions"),
        ("http://[::1]:11434/v1", "http://[::1]:11434/v1/chat/completions"),
    ],
)
def test_the_url_is_a_base_as_openai_clients_take_it(url: str, asked: str) -> None:
    assert f"{asked}: answers with status 404 Not Found" in told(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://host/v1",
        "file:///etc/passwd",
        "http://",
        "http:///v1",
        "http://user:hunter2@host/v1",
        "http://hunter2@host/v1",
        "https://host/v1?key=hunter2",
        "https://host/v1#hunter2",
        "http://host:hunter2/v1",
        "http://host\r\nX-Evil: 1/",
        "http://ho st/",
        "http://" + "a" * 100_000,
        "http://host/" + "a" * 10_000,
    ],
)
def test_what_is_no_such_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InputError, match="endpoint's URL") as caught:
        Endpoint(url, "phi")

    assert "hunter2" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("key", ["", "  ", "two words", "line\nfeed", "schlüssel"])
def test_a_key_that_cannot_be_one_is_refused_and_not_shown(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_KEY", key)

    with pytest.raises(InputError, match="environment variable LLM_KEY") as caught:
        Endpoint("http://localhost", "phi", api_key_env="LLM_KEY")

    assert not key.strip() or key not in str(caught.value)


def test_a_key_that_is_not_there_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLM_KEY", raising=False)

    with pytest.raises(InputError, match="LLM_KEY: it is not set"):
        Endpoint("http://localhost", "phi", api_key_env="LLM_KEY")


@pytest.mark.parametrize("model", ["", " \n"])
def test_a_model_has_a_name(model: str) -> None:
    with pytest.raises(InputError, match="model"):
        Endpoint("http://localhost", model)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_there_is_a_time_limit(seconds: float) -> None:
    with pytest.raises(InputError, match="timeout"):
        Endpoint("http://localhost", "phi", timeout_seconds=seconds)


def test_nothing_holds_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_KEY", "hunter2")
    endpoint = Endpoint("http://localhost", "phi", api_key_env="LLM_KEY")

    assert "hunter2" not in repr(endpoint) + repr(vars(endpoint))
    assert "hunter2" not in str(endpoint.mistake(EndpointError("status 401", 401)))


@pytest.mark.parametrize(
    ("status", "mend"),
    [
        (301, "the URL that it redirects to"),
        (401, "environment variable LLM_KEY"),
        (403, "environment variable LLM_KEY"),
        (404, "the model's name"),
        (499, "the model's name"),
    ],
)
def test_what_to_mend_depends_on_the_status(
    status: int, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_KEY", "hunter2")
    endpoint = Endpoint("http://localhost", "phi", api_key_env="LLM_KEY")

    assert mend in str(endpoint.mistake(EndpointError(f"status {status}", status)))

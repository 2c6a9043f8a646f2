"""One question to an OpenAI-compatible chat endpoint, by OpenAI's own client.

The client makes requests, limits their time and repeats those that may do better later, as the
server asks (``Retry-After``). Added here is what it leaves open: a reply has a limited size and
is read within the time limit however slowly it comes, nothing but the question and the key is
sent, nothing is logged, and what is wrong with a setting is one message.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx2
import openai
from pydantic import ValidationError

from envs.errors import InputError
from llm_actor.endpoint_reply import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MOST_BYTES = 2**20
"""A longer reply is not read to its end; 32 tokens with 20 alternatives each take a tenth."""

REFUSED = frozenset({400, 413, 422})
"""The server is well, but this request is not to its liking."""

SENT = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host"}
)
"""Headers that go out beside the key. OpenAI's client adds others, some of which it takes from
the environment (``OPENAI_ORG_ID``, ``OPENAI_CUSTOM_HEADERS``): they are not this server's."""

_LONGEST_URL = 2_000


class EndpointError(openai.OpenAIError):
    """A question without a usable reply.

    It is an error of the client's own kind, for the client repeats no request that ended so.

    Attributes:
        what: a short word for it: ``timeout``, ``unreachable``, ``broken``, ``too-long``,
            ``malformed``, ``circuit`` or ``status 503``.
        status: HTTP status, if there was one other than 200.
        detail: what the operating system says of an address that cannot be reached.
    """

    def __init__(self, what: str, status: int | None = None, detail: str | None = None) -> None:
        super().__init__(what)
        self.what, self.status, self.detail = what, status, detail

    @property
    def mistaken(self) -> bool:
        """Whether it looks like a setting that is wrong rather than a server that is unwell."""
        if self.status is None:
            return self.what == "unreachable"
        return self.status < 500 and self.status not in {408, 409, 429}


@dataclass(frozen=True)
class Endpoint:
    """Where the server is and how to ask it.

    Attributes:
        url: what OpenAI's clients call the base URL, such as ``http://localhost:8000/v1``;
            without a path ``/v1`` is meant.
        model: the server's name for the model.
        api_key_env: environment variable that holds the key; ``None`` sends none.
        timeout_seconds: for one request, from connecting to the reply's last byte.
        retries: how often a request is made again that a timeout, a broken connection, or
            status 408, 409, 429 or 5xx ended.

    Raises:
        InputError: not such a URL, one that holds a secret, no model, or no key.
    """

    url: str
    model: str
    api_key_env: str | None = None
    timeout_seconds: float = 60.0
    retries: int = 3

    def __post_init__(self) -> None:
        self._base_url()
        self._key()
        if not self.model.strip():
            raise InputError("no model is named", where="endpoint", mend="Set the model's name")
        if not 0 < self.timeout_seconds < float("inf"):
            raise InputError("the timeout is not a positive number of seconds", where="endpoint")

    @asynccontextmanager
    async def client(self, again: Callable[[], None]) -> AsyncIterator[openai.AsyncOpenAI]:
        """OpenAI's client; it checks certificates, and takes proxies from the environment.

        Args:
            again: called before a request is repeated; what it raises ends the question.
        """
        # Their messages hold prompts, and what a server writes: the key it was sent, perhaps.
        for name in ("httpx2", "httpcore2", "openai"):
            logging.getLogger(name).setLevel(logging.WARNING)
        http = _BoundedClient(self.timeout_seconds, self._key(), again)
        async with openai.AsyncOpenAI(
            base_url=self._base_url(),
            # The bounded client puts in the key; without any, the client would not start.
            api_key="none",
            timeout=self.timeout_seconds,
            max_retries=self.retries,
            http_client=http,
        ) as client:
            yield client

    async def complete(self, client: openai.AsyncOpenAI, request: dict[str, Any]) -> Reply:
        """Asks one question.

        Args:
            client: of :meth:`client`.
            request: the body's fields, besides the model.

        Raises:
            EndpointError: no usable reply, for whatever reason.
        """
        try:
            answer = await client.chat.completions.with_raw_response.create(
                model=self.model, **request
            )
        # Their messages, and those of their causes, would show what the server wrote.
        except openai.APIStatusError as error:
            raise EndpointError(f"status {error.status_code}", error.status_code) from None
        except openai.APITimeoutError:
            raise EndpointError("timeout") from None
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, httpx2.ConnectError):
                detail = str(error.__cause__)[:200]
                raise EndpointError("unreachable", detail=detail) from None
            raise EndpointError("broken") from None
        try:
            return Reply.model_validate_json(answer.content)
        except ValidationError:
            raise EndpointError("malformed") from None

    def mistake(self, problem: EndpointError) -> InputError:
        """The one message about a setting that is wrong; it quotes nothing from the server."""
        if problem.status is None:
            what = f"cannot be reached ({problem.detail})"
        else:
            known = {status.value: status.phrase for status in HTTPStatus}
            what = f"answers with status {problem.status} {known.get(problem.status, '')}".rstrip()
        return InputError(
            what,
            where=f"language model endpoint {self._base_url()}/chat/completions",
            expected=f"an OpenAI-compatible server with the model {self.model!r}",
            mend=self._mend(problem.status),
        )

    def _mend(self, status: int | None) -> str:
        if status is None:
            return "Start the server, or correct the URL"
        if status in {401, 403}:
            if self.api_key_env:
                return f"Check the key in the environment variable {self.api_key_env}"
            return "Name the environment variable that holds the key"
        if status < 400:
            return "Give the URL that it redirects to; redirects are not followed"
        return "Check the URL, which often ends in /v1, and the model's name"

    def _base_url(self) -> str:
        if re.search(r"\s", self.url) or len(self.url) > _LONGEST_URL:
            raise _bad_url("is not a URL")
        try:
            url = httpx2.URL(self.url)
        except httpx2.InvalidURL as error:
            raise _bad_url("is not a URL") from error
        # The message does not show the URL: what is wrong with it may be the secret in it.
        if url.userinfo or url.query or url.fragment:
            raise _bad_url("holds more than a host and a path")
        if url.scheme not in {"http", "https"} or not url.host:
            raise _bad_url("is not one of HTTP with a host")
        base = str(url).rstrip("/")
        return f"{base}/v1" if url.path == "/" else base

    def _key(self) -> str | None:
        """The key, read anew for each use, so that no lasting object holds it."""
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key or not all("!" <= c <= "~" for c in key):
            raise InputError(
                "it is not set" if not key else "it holds a character that no key has",
                where=f"environment variable {self.api_key_env}",
                expected="the endpoint's key",
                mend="Export the key, or leave the variable's name out of the settings",
            )
        return key


class _BoundedClient(httpx2.AsyncClient):
    """Sends requests for OpenAI's client, and reads replies of limited size in limited time.

    Args:
        seconds: for one request, all of it: a server that trickles bytes never meets a limit
            per read.
        key: to be sent; ``None`` sends none.
        again: called before a request is repeated.
    """

    def __init__(self, seconds: float, key: str | None, again: Callable[[], None]) -> None:
        # Callers limit how many requests there are; waiting for a connection takes time, too.
        super().__init__(follow_redirects=False, timeout=None, limits=httpx2.Limits())
        self._seconds, self._key, self._again = seconds, key, again

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:  # noqa: ANN401
        if request.headers.get("x-stainless-retry-count", "0") != "0":
            self._again()
        options["stream"] = True
        try:
            async with asyncio.timeout(self._seconds):
                response = await super().send(self._dressed(request), **options)
                try:
                    # What comes with an error is nobody's business: no message shows it.
                    body = await _read(response) if response.is_success else b""
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise httpx2.ReadTimeout("the time limit is over", request=request) from error
        headers = response.headers.copy()
        # What a server compressed unasked stays so: a few bytes may be many.
        headers.pop("Content-Encoding", None)
        return httpx2.Response(response.status_code, headers=headers, content=body, request=request)

    def _dressed(self, request: httpx2.Request) -> httpx2.Request:
        headers = {name: value for name, value in request.headers.items() if name in SENT}
        headers["accept-encoding"] = "identity"
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return httpx2.Request(
            request.method,
            request.url,
            headers=headers,
            content=request.content,
            extensions=request.extensions,
        )


async def _read(response: httpx2.Response) -> bytes:
    """The reply as it came over the wire."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MOST_BYTES:
            raise EndpointError("too-long")
    return bytes(body)


def _bad_url(what: str) -> InputError:
    return InputError(
        what,
        where="the language model endpoint's URL",
        expected="such as http://localhost:8000/v1, without user, password, '?' or '#'",
        mend="Keys belong into an environment variable that the settings name",
    )

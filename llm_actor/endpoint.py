"""One request to an OpenAI-compatible chat endpoint, bounded in time and size.

httpx2 speaks HTTP: huggingface_hub, which transformers needs, brings it along; it is typed,
asynchronous, never follows a redirect unasked, and unlike requests it does not replace the
authorisation by what a .netrc says.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx2
from pydantic import ValidationError

from envs.errors import InputError
from llm_actor.endpoint_reply import Reply

MOST_BYTES = 2**20
"""A longer reply is not read to its end; 32 tokens with 20 alternatives each take a tenth."""

REFUSED = frozenset({400, 413, 422})
"""The server is well, but this request is not to its liking."""

_PASSING = frozenset({408, 429})
_LONGEST_URL = 2_000


class EndpointError(Exception):
    """A request without a usable reply.

    Attributes:
        what: a short word for it: ``timeout``, ``unreachable``, ``broken``, ``too-long``,
            ``malformed`` or ``status 503``.
        status: HTTP status, if there was one other than 200.
        retry_after: seconds that the server asks to wait.
        detail: what the operating system says of an address that cannot be reached.
    """

    def __init__(
        self,
        what: str,
        status: int | None = None,
        retry_after: float | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what, self.status, self.retry_after = what, status, retry_after
        self.detail = detail

    @property
    def passing(self) -> bool:
        """Whether the same request may do better later."""
        if self.status is None:
            return self.what in {"timeout", "unreachable", "broken"}
        return self.status in _PASSING or self.status >= 500

    @property
    def mistaken(self) -> bool:
        """Whether it looks like a setting that is wrong rather than a server that is unwell."""
        return self.what == "unreachable" or (self.status is not None and not self.passing)


@dataclass(frozen=True)
class Endpoint:
    """Where the server is and how to speak to it.

    Attributes:
        url: what OpenAI's clients call the base URL, such as ``http://localhost:8000/v1``;
            without a path ``/v1`` is meant.
        model: the server's name for the model.
        api_key_env: environment variable that holds the key; ``None`` sends none.
        timeout_seconds: for one request, from connecting to the reply's last byte.

    Raises:
        InputError: not such a URL, one that holds a secret, no model, or no key.
    """

    url: str
    model: str
    api_key_env: str | None = None
    timeout_seconds: float = 60.0

    def __post_init__(self) -> None:
        self._completions()
        self._headers()
        if not self.model.strip():
            raise InputError("no model is named", where="endpoint", mend="Set the model's name")
        if not 0 < self.timeout_seconds < float("inf"):
            raise InputError("the timeout is not a positive number of seconds", where="endpoint")

    def client(self) -> httpx2.AsyncClient:
        """A client that checks certificates, and takes proxies from the environment."""
        # They log status lines and headers as they come; a server may put anything there, the
        # key it was sent included.
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        return httpx2.AsyncClient(
            headers=self._headers(),
            follow_redirects=False,
            # complete() limits the whole request.
            timeout=None,
            # Callers limit how many requests there are; waiting for a connection takes time, too.
            limits=httpx2.Limits(),
        )

    async def complete(self, client: httpx2.AsyncClient, request: dict[str, Any]) -> Reply:
        """Asks once.

        Args:
            client: of :meth:`client`.
            request: the body's fields, besides the model.

        Raises:
            EndpointError: no usable reply, for whatever reason.
        """
        told = {"model": self.model, **request}
        try:
            # One limit for all: a server that trickles bytes never meets a limit per read.
            async with asyncio.timeout(self.timeout_seconds):
                body = await _exchange(client, self._completions(), told)
        except TimeoutError as error:
            raise EndpointError("timeout") from error
        except httpx2.ConnectError as error:
            raise EndpointError("unreachable", detail=str(error)[:200]) from error
        except httpx2.HTTPError as error:
            raise EndpointError("broken") from error
        try:
            return Reply.model_validate_json(body)
        except ValidationError:
            # Its message would show what the server wrote.
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
            where=f"language model endpoint {self._completions()}",
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

    def _completions(self) -> str:
        if re.search(r"\s", self.url) or len(self.url) > _LONGEST_URL:
            raise _bad_url("is not a URL")
        try:
            url = httpx2.URL(self.url)
        except httpx2.InvalidURL as error:
            raise _bad_url("is not a URL") from error
        # The URL itself is not told: what is wrong with it may be the secret in it.
        if url.userinfo or url.query or url.fragment:
            raise _bad_url("holds more than a host and a path")
        if url.scheme not in {"http", "https"} or not url.host:
            raise _bad_url("is not one of HTTP with a host")
        base = str(url).rstrip("/")
        return f"{base}/v1/chat/completions" if url.path == "/" else f"{base}/chat/completions"

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self.api_key_env is not None:
            # Read anew for each use, so that no object holds it.
            headers["Authorization"] = f"Bearer {_secret(self.api_key_env)}"
        return headers


async def _exchange(client: httpx2.AsyncClient, url: str, told: dict[str, Any]) -> bytes:
    async with client.stream("POST", url, json=told) as response:
        if response.status_code != 200:
            wait = retry_after(response.headers.get("Retry-After", ""))
            status = response.status_code
            raise EndpointError(f"status {status}", status, wait)
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MOST_BYTES:
                raise EndpointError("too-long")
        return bytes(body)


def retry_after(header: str) -> float | None:
    """Seconds from now that a ``Retry-After`` header asks to wait, 0 for a time in the past.

    Args:
        header: seconds or an HTTP date (RFC 9110, section 10.2.3); else ``None`` comes back.
    """
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", header):
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def _secret(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key or not all("!" <= c <= "~" for c in key):
        raise InputError(
            "it is not set" if not key else "it holds a character that no key has",
            where=f"environment variable {variable}",
            expected="the endpoint's key",
            mend="Export the key, or leave the variable's name out of the settings",
        )
    return key


def _bad_url(what: str) -> InputError:
    return InputError(
        what,
        where="the language model endpoint's URL",
        expected="such as http://localhost:8000/v1, without user, password, '?' or '#'",
        mend="Keys belong into an environment variable that the settings name",
    )

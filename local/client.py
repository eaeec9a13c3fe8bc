"""The client of the demo: many requests at once, each with what was sent and what came back."""

import asyncio
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp

CONNECTIONS = 4
JSON = "application/json"


@dataclass(frozen=True)
class Sent:
    """One request and its answer."""

    body: bytes
    status: int
    answer: Mapping[str, Any]

    @property
    def accepted(self) -> bool:
        """Whether the front door says that the message is in the queue."""
        return self.status == HTTPStatus.ACCEPTED

    @property
    def message(self) -> tuple[str, str]:
        """The id that the message got, empty where it got none, and the hash of what was sent."""
        return self.answer.get("messageId", ""), hashlib.sha256(self.body).hexdigest()


def post_all(
    url: str, bodies: Iterable[bytes], token: str | None, headers: Mapping[str, str] | None = None
) -> Sequence[Sent]:
    """Send bodies over a few connections at once and return what came of each, in order."""
    return asyncio.run(_post_all(url, bodies, {**_authorization(token), **(headers or {})}))


def post(url: str, body: bytes, token: str | None = None, headers: Mapping[str, str] | None = None) -> Sent:
    """Send one body."""
    return post_all(url, [body], token, headers)[0]


async def _post_all(url: str, bodies: Iterable[bytes], headers: Mapping[str, str]) -> Sequence[Sent]:
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(
        connector=connector, headers={"Content-Type": JSON, **headers}
    ) as session:
        return await asyncio.gather(*(_post(session, url, body) for body in bodies))


async def _post(session: aiohttp.ClientSession, url: str, body: bytes) -> Sent:
    async with session.post(url, data=io.BytesIO(body)) as response:
        text = await response.text()
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        answer = {"not an object": text}
    return Sent(body, response.status, answer)


@dataclass(frozen=True)
class Reply:
    """An answer to a request of any kind; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Mapping[str, Any]:
        """The body as an object; empty where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def ask(method: str, url: str, body: str | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    """Send one request and return its answer, whatever it is."""
    return asyncio.run(_ask(method, url, body, headers or {}))


async def _ask(method: str, url: str, body: str | None, headers: Mapping[str, str]) -> Reply:
    async with (
        aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,
        session.request(method, url, data=body, headers=headers, allow_redirects=False) as response,
    ):
        given = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, given, await response.read())


def _authorization(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}

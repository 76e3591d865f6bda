"""Requests go to the addresses that were checked, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from receiver import Receiver

from recsvc.webhooks.addresses import Allowed
from recsvc.webhooks.client import Message, WebhookClient
from recsvc.webhooks.connect import AddressRefused, Resolver
from recsvc.webhooks.signing import new_secret

pytestmark = pytest.mark.anyio

MESSAGE = Message("msg_1", b'{"type":"webhook.test"}')
SECRET = new_secret()


class Names:
    """A resolver whose answers the test decides, one after another; the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not found:
            raise OSError("no such name")
        return found


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """An endpoint that takes everything, and keeps no connection."""
    async with Receiver(headers={"Connection": "close"}) as running:
        yield running


def client(names: Names, *allowed: str, timeout_s: float = 2.0) -> WebhookClient:
    return WebhookClient(Resolver(Allowed(allowed), names), timeout_s)


async def test_the_checked_address_is_connected_to_and_the_name_is_kept(
    receiver: Receiver,
) -> None:
    names = Names(["127.0.0.1"])
    sender = client(names, "127.0.0.1")
    answer = await sender.post(f"http://hooks.example:{receiver.port}/a?b=c", MESSAGE, [SECRET])
    await sender.close()
    assert answer.delivered
    assert names.asked == ["hooks.example"]
    assert receiver.got[0].path == "/a?b=c"
    assert receiver.got[0].headers["host"] == f"hooks.example:{receiver.port}"
    assert receiver.got[0].verified(SECRET) == {"type": "webhook.test"}


async def test_a_name_of_a_private_address_is_not_connected_to(receiver: Receiver) -> None:
    sender = client(Names(["127.0.0.1"]))
    answer = await sender.post(f"http://hooks.example:{receiver.port}/", MESSAGE, [SECRET])
    await sender.close()
    assert "not public" in (answer.reason or "")
    assert "127.0.0.1" not in (answer.reason or "")
    assert receiver.got == []


async def test_one_private_address_among_public_ones_is_enough_to_refuse(
    receiver: Receiver,
) -> None:
    sender = client(Names(["8.8.8.8", "127.0.0.1"]))
    answer = await sender.post(f"http://hooks.example:{receiver.port}/", MESSAGE, [SECRET])
    await sender.close()
    assert not answer.delivered
    assert receiver.got == []


async def test_a_name_that_changes_its_answer_is_checked_again(receiver: Receiver) -> None:
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    sender = client(names, "127.0.0.1")
    url = f"http://hooks.example:{receiver.port}/"
    assert (await sender.post(url, MESSAGE, [SECRET])).delivered
    answer = await sender.post(url, MESSAGE, [SECRET])
    await sender.close()
    assert "not public" in (answer.reason or "")
    assert len(receiver.got) == 1


async def test_a_name_is_looked_up_once_for_a_connection(receiver: Receiver) -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    sender = client(names, "127.0.0.1")
    answer = await sender.post(f"http://hooks.example:{receiver.port}/", MESSAGE, [SECRET])
    await sender.close()
    assert answer.delivered
    assert len(names.asked) == 1


async def test_a_name_without_an_address_is_told_so() -> None:
    resolver = Resolver(Allowed(), Names([]))
    with pytest.raises(AddressRefused, match="no address"):
        await resolver.addresses("hooks.example")


async def test_a_redirect_is_not_followed_and_no_proxy_is_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Receiver() as other:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{other.port}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{other.port}")
        receiver.status, receiver.headers["Location"] = 307, other.url
        sender = client(Names(["127.0.0.1"]), "127.0.0.1")
        answer = await sender.post(receiver.url, MESSAGE, [SECRET])
        await sender.close()
        assert answer.status == 307
        assert other.got == []


async def test_an_answer_without_an_end_is_taken_for_its_status() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
                await writer.drain()
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = client(Names(["127.0.0.1"]), "127.0.0.1")
    answer = await sender.post(f"http://hooks.example:{port}/", MESSAGE, [SECRET])
    await sender.close()
    server.close()
    await server.wait_closed()
    assert answer.delivered


async def test_an_endpoint_that_is_away_or_silent_is_told_as_such(receiver: Receiver) -> None:
    receiver.delay_s = 5.0
    sender = client(Names(["127.0.0.1"]), "127.0.0.1", timeout_s=0.3)
    answer = await sender.post(receiver.url, MESSAGE, [SECRET])
    assert answer.reason == "no answer within 0.3 s"
    closed = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = closed.sockets[0].getsockname()[1]
    closed.close()
    await closed.wait_closed()
    answer = await sender.post(f"http://hooks.example:{port}/", MESSAGE, [SECRET])
    await sender.close()
    assert answer.reason == "could not be connected to"

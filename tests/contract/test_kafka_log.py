"""What is particular to the log in Kafka: who appends beside us, outages, TLS and passwords."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from feeds import Worker, everything, store_in, until
from kafka_broker import free_port, running
from kafka_logs import EVENTS, KafkaFeeds, KafkaLogs, others
from logs import change, deletion, home, ids, neighbours, read_all, view
from tcp_proxy import TcpProxy

from indexer.domain.position import log_key
from indexer.errors import InvalidInput, LogError, SchemaMismatch, SettingsError
from indexer.streams.codec import BODY_MAX
from indexer.streams.kafka.client import ANSWER_S, KafkaConnection
from indexer.streams.kafka.log import KafkaLog
from indexer.streams.kafka.places import go_on_after

pytestmark = pytest.mark.anyio

SOON_S = 2 * ANSWER_S + 2.0
"""Within which a call fails, whatever the brokers do."""


@pytest.fixture
async def logs(tmp_path: Path) -> AsyncIterator[KafkaLogs]:
    """A broker for a log."""
    place = KafkaLogs(tmp_path)
    yield place
    await place.close()


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    """A proxy that is in front of nothing yet."""
    async with TcpProxy().serving() as serving:
        yield serving


@pytest.fixture
async def behind(tmp_path: Path, proxy: TcpProxy) -> AsyncIterator[KafkaFeeds]:
    """A broker behind the proxy."""
    place = KafkaFeeds(tmp_path, proxy.port)
    proxy.to = place.broker.port
    yield place
    await place.close()


async def raw_records(servers: str, topic: str, count: int) -> list[Any]:
    """Return what a topic holds, as others read it."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


# topics


async def test_topics_are_made_with_the_settings_that_each_needs(logs: KafkaLogs) -> None:
    await logs.open(keep_s=3_600.0)
    admin = AIOKafkaAdminClient(bootstrap_servers=logs.servers)
    await admin.start()
    described = await admin.describe_topics()
    assert {topic["topic"]: len(topic["partitions"]) for topic in described} == {
        "log.events": 3,
        "log.items": 3,
        "log.pairs": 3,
        "log.dead-letters": 1,
    }
    settings: dict[str, dict[str, str]] = {}
    for topic in described:
        asked = ConfigResource(ConfigResourceType.TOPIC, topic["topic"])
        ((*_, found),) = (await admin.describe_configs([asked]))[0].resources
        settings[topic["topic"]] = {name: value for name, value, *_ in found}
    await admin.close()
    assert settings["log.events"]["retention.ms"] == "3600000"
    assert settings["log.pairs"]["retention.ms"] == "86400000"
    assert settings["log.items"]["cleanup.policy"] == "compact"
    assert settings["log.dead-letters"]["cleanup.policy"] == "compact,delete"
    assert {one["message.timestamp.type"] for one in settings.values()} == {"LogAppendTime"}


async def test_a_log_of_another_number_of_partitions_names_the_setting(logs: KafkaLogs) -> None:
    await logs.open()
    with pytest.raises(SchemaMismatch, match="RECSVC_EVENT_LOG_PARTITIONS=3"):
        await logs.open(partitions=4)
    other = await logs.open(partitions=4, name="other")
    assert other.partitions == 4


async def test_what_was_deleted_before_it_was_folded_is_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert go_on_after("events", 2, 3, range(10, 20)) == 9
    assert "6 events of partition 2 were deleted" in caplog.text
    caplog.clear()
    assert go_on_after("events", 2, 0, range(10, 20)) == 9  # a store that begins
    assert go_on_after("events", 2, 9, range(10, 20)) == 9
    assert go_on_after("events", 2, 19, range(10, 20)) == 19
    assert go_on_after("events", 2, 0, range(1, 1)) == 0
    assert caplog.text == ""


# who appends beside us


async def test_what_others_key_by_user_is_in_the_right_partition_at_once(logs: KafkaLogs) -> None:
    log = await logs.open(partitions=16)
    users = [(tenant, f"user-{n}") for tenant in ("default", "other") for n in range(40)]
    async with others(logs.servers) as producer:
        for tenant, user in users:
            body = {"tenant": tenant, "user_id": user, "event_type": "view", "item_id": "i1"}
            key = log_key(tenant, user).encode()
            await producer.send(EVENTS, json.dumps(body).encode(), key=key)
    found = {(r.event.tenant, r.event.user_id): r.partition for r in await read_all(log)}
    assert found == {(tenant, user): home(log, user, tenant) for tenant, user in users}


async def test_an_event_without_an_id_is_named_after_its_place(logs: KafkaLogs) -> None:
    log = await logs.open()
    body = {"user_id": "u1", "event_type": "view", "item_id": "i1"}
    async with others(logs.servers) as producer:
        for _ in range(2):
            await producer.send_and_wait(EVENTS, json.dumps(body).encode(), partition=home(log))
    assert ids(await read_all(log)) == [f"kafka-{home(log)}-1", f"kafka-{home(log)}-2"]


async def test_others_can_read_what_we_append(logs: KafkaLogs) -> None:
    log = await logs.open()
    await log.append([view("e1", "u7", "other", metadata={"page": "start"})])
    (record,) = await raw_records(logs.servers, EVENTS, 1)
    assert record.key == b"other/u7"
    assert json.loads(record.value) == {
        "tenant": "other",
        "user_id": "u7",
        "event_id": "e1",
        "event_type": "view",
        "item_id": "i1",
        "timestamp": 1_700_000_000.25,
        "metadata": {"page": "start"},
    }


# records


async def test_what_an_event_brings_never_stands_for_the_catalogue_in_compaction(
    logs: KafkaLogs,
) -> None:
    log = await logs.open()
    await log.append_items([change("i1", v=1)])
    await log.append_items([change("i1", v=2)], only_unknown=True)
    await log.append_items([deletion("i1")])
    records = await raw_records(logs.servers, "log.items", 4)
    assert {record.partition for record in records} == {home(log, "i1")}
    kept = {record.key: record.value for record in records}  # as compaction does
    assert json.loads(kept[b"i1"])["item"] is None
    assert kept[b"i1\0only_unknown"] is None


async def test_an_event_or_item_that_is_too_large_is_refused_and_the_others_go_on(
    logs: KafkaLogs,
) -> None:
    log = await logs.open()
    with pytest.raises(InvalidInput, match="takes 1048576"):
        await log.append([view("e1"), view("e2", item_features={"title": "x" * BODY_MAX})])
    with pytest.raises(InvalidInput, match="takes 1048576"):
        await log.append_items([change("i1"), change("i2", title="x" * BODY_MAX)])
    nearly = {"title": "x" * (BODY_MAX - 1_000)}
    many = [view(f"e{n}", item_features=nearly) for n in range(4)]
    assert (await log.append(many)).accepted == 4
    assert [r.event for r in await read_all(log)] == many


async def test_a_letter_that_was_dealt_with_is_left_to_compaction(logs: KafkaLogs) -> None:
    log = await logs.open()
    await log.append([view("e1")])
    (record,) = await read_all(log)
    await log.add_dead_letter(record, "poison")
    again = await logs.open()
    await again.add_dead_letter(record, "poison, once more")  # which knows of no letter yet
    (letter,) = await log.dead_letters()
    assert letter.letter_id == f"{record.partition}-{record.offset}"
    await again.drop_dead_letters([letter.letter_id])
    assert await log.dead_letters() == []
    written = await raw_records(logs.servers, "log.dead-letters", 3)
    assert [(r.key.decode(), r.value is None) for r in written] == [
        (letter.letter_id, False),
        (letter.letter_id, False),
        (letter.letter_id, True),
    ]


async def test_the_letters_of_an_erased_user_are_dropped(logs: KafkaLogs) -> None:
    log = await logs.open()
    user, beside = neighbours(log, "u1", 2)
    await log.append([view("e1", user), view("e2", beside)])
    for record in await read_all(log):
        await log.add_dead_letter(record, "poison")
    await log.erase_user("default", user)
    assert [letter.event["event_id"] for letter in await log.dead_letters()] == ["e2"]


async def test_a_repeated_event_of_another_process_is_read_once_by_user(logs: KafkaLogs) -> None:
    one, two = await logs.open(), await logs.open()
    await one.append([view("e1"), view("e2")])
    assert (await two.append([view("e2"), view("e3")])).accepted == 2  # as it knows none of them
    assert ids(await read_all(one)) == ["e1", "e2", "e2", "e3"]  # of which a fold counts three
    assert ids(await one.user_events("default", "u1", after=0, limit=10)) == ["e1", "e2", "e3"]
    assert (await one.erase_user("default", "u1")).events == 3


# outages


async def test_a_call_to_a_broker_that_hangs_fails_and_can_be_made_again(logs: KafkaLogs) -> None:
    log = await logs.open()
    await log.append([view("e0")])
    logs.broker.hang()
    began = time.monotonic()
    tries = [log.append([view(f"e{n}")]) for n in range(1, 6)]
    results = await asyncio.gather(*tries, log.ping(), return_exceptions=True)
    assert [type(result) for result in results] == [LogError] * 6
    assert time.monotonic() - began < SOON_S
    logs.broker.go_on()
    for n in range(1, 6):
        await until(lambda n=n: _appended(log, f"e{n}"))
    records = await log.user_events("default", "u1", after=0, limit=100)
    assert sorted(ids(records)) == [f"e{n}" for n in range(6)]


async def _appended(log: KafkaLog, event_id: str) -> bool:
    try:
        await log.append([view(event_id)])
    except LogError:
        return False
    return True


async def test_a_short_outage_only_delays_calls(behind: KafkaFeeds, proxy: TcpProxy) -> None:
    log = await behind.open()
    await log.append([view("e0")])
    assert ids(await read_all(log)) == ["e0"]
    await proxy.cut()
    append = asyncio.create_task(log.append([view("e1"), view("e2")]))
    read = asyncio.create_task(log.read(home(log), 0, 1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(ANSWER_S / 4):
            await asyncio.shield(append)
    proxy.restore()
    assert (await append).accepted == 2
    assert ids(await read) == ["e0"]
    assert ids(await read_all(log)) == ["e0", "e1", "e2"]


async def test_events_stay_in_order_while_connections_break(
    behind: KafkaFeeds, proxy: TcpProxy
) -> None:
    log = await behind.open(queue_max=100_000)

    async def send(user: str) -> None:
        for n in range(150):
            await until(lambda n=n: _sent(log, user, f"e{n:03}"))

    async def disturb() -> None:
        for _ in range(4):
            await asyncio.sleep(0.1)  # in which some are appended
            await proxy.cut()
            proxy.restore()

    users = [f"u{n}" for n in range(6)]
    await asyncio.gather(disturb(), *(send(user) for user in users))
    for user in users:
        records = await log.user_events("default", user, after=0, limit=1_000)
        assert ids(records) == [f"e{n:03}" for n in range(150)]


async def _sent(log: KafkaLog, user: str, event_id: str) -> bool:
    try:
        await log.append([view(event_id, user)])
    except LogError:
        return False
    return True


async def test_a_short_outage_leaves_a_worker_its_partitions(
    tmp_path: Path, behind: KafkaFeeds, proxy: TcpProxy, caplog: pytest.LogCaptureFixture
) -> None:
    behind.session_s = 6.0
    log = await behind.open()
    async with Worker(behind, log, store_in(tmp_path)) as worker:
        worker.work()
        await until(lambda: worker.feed.owned == everything(log))
        await proxy.cut()
        await asyncio.sleep(2.0)  # the length of the outage
        proxy.restore()
        await until(lambda: _appended(log, "e1"))
        await until(lambda: ids(worker.seen["events"]) == ["e1"])
        assert worker.taken == [everything(log)]
        assert worker.released == []
        assert caplog.text.count("interrupted") <= 1


async def test_a_worker_that_is_cut_off_gives_its_partitions_up_and_comes_back(
    tmp_path: Path, behind: KafkaFeeds, proxy: TcpProxy, caplog: pytest.LogCaptureFixture
) -> None:
    log = await behind.open()
    async with Worker(behind, log, store_in(tmp_path)) as worker:
        worker.work()
        await until(lambda: worker.feed.owned == everything(log))
        await proxy.cut()
        await until(lambda: worker.released)
        await until(lambda: worker.feed.owned == frozenset())
        assert await worker.feed.read("events", 10) == []
        proxy.restore()
        await until(lambda: _appended(log, "e1"))
        await until(lambda: ids(worker.seen["events"]) == ["e1"])
        assert worker.taken == [everything(log)] * 2
        assert caplog.text.count("interrupted") == 1


async def test_a_worker_waits_for_a_log_that_is_away_when_it_starts(
    tmp_path: Path, behind: KafkaFeeds, proxy: TcpProxy
) -> None:
    log = await behind.open()
    await log.append([view("e1")])
    proxy.hang()
    async with Worker(behind, log, store_in(tmp_path)) as worker:
        worker.work()
        await asyncio.sleep(1.0)  # in which it tries
        assert worker.taken == []
        proxy.restore()
        await until(lambda: ids(worker.seen["events"]) == ["e1"])


# connections


async def test_a_broker_that_is_not_there_is_told_of_at_once(logs: KafkaLogs) -> None:
    with pytest.raises(LogError, match="Connect call failed"):
        await logs.open(connection=KafkaConnection(f"127.0.0.1:{free_port()}"))


async def test_of_several_brokers_one_that_is_there_is_enough(logs: KafkaLogs) -> None:
    servers = f"127.0.0.1:{free_port()},{logs.servers}"
    log = await logs.open(connection=KafkaConnection(servers))
    assert (await log.append([view("e1")])).accepted == 1


async def test_a_broker_that_hangs_at_the_start_is_not_waited_for_long(logs: KafkaLogs) -> None:
    logs.broker.hang()
    began = time.monotonic()
    with pytest.raises(LogError, match=r"127\.0\.0\.1"):
        await logs.open()
    assert time.monotonic() - began < SOON_S
    logs.broker.go_on()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    told = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *told, *files], check=True, capture_output=True)
    return certificate, key


@asynccontextmanager
async def behind_tls(
    folder: Path, authority: tuple[Path, Path]
) -> AsyncIterator[tuple[KafkaLogs, Path]]:
    """Run a broker behind a proxy that speaks TLS."""
    certificate, key = authority
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with TcpProxy().serving(context) as proxy:
        place = KafkaLogs(folder, proxy.port)
        proxy.to = place.broker.port
        yield place, certificate
        await place.close()


async def test_a_log_is_spoken_to_over_tls(tmp_path: Path, authority: tuple[Path, Path]) -> None:
    async with behind_tls(tmp_path, authority) as (logs, certificate):
        connection = KafkaConnection(logs.servers, "SSL", ca_file=certificate)
        log = await logs.open(connection=connection)
        await log.append([view("e1")])
        assert ids(await read_all(log)) == ["e1"]
        with pytest.raises(LogError, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
            await logs.open(connection=KafkaConnection(logs.servers, "SSL"))
        await log.close()  # before the proxy


async def test_a_broker_that_wants_a_name_refuses_none_and_a_wrong_one() -> None:
    with running("--authentication") as broker:
        for connection in (
            KafkaConnection(broker.servers),
            KafkaConnection(broker.servers, "SASL_PLAINTEXT", "PLAIN", "ada", "wrong"),
            KafkaConnection(broker.servers, "SASL_PLAINTEXT", "SCRAM-SHA-512", "ada", "wrong"),
        ):
            with pytest.raises(LogError) as caught:
                await _open(connection)
            assert "wrong" not in str(caught.value)


async def _open(connection: KafkaConnection) -> KafkaLog:
    return await KafkaLog.open(
        connection, name="log", partitions=1, keep_s=60.0, replication=1, queue_max=1
    )


async def test_a_connection_has_what_its_protocol_needs(
    authority: tuple[Path, Path], tmp_path: Path
) -> None:
    certificate, _ = authority
    both = KafkaConnection("h:1", "SASL_SSL", "SCRAM-SHA-256", "ada", "secret-9", certificate)
    arguments = both.arguments()
    context = arguments.pop("ssl_context")
    assert arguments == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "ada",
        "sasl_plain_password": "secret-9",
    }
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1
    assert "secret-9" not in repr(both)
    plain = KafkaConnection("h:1", username="ada", password="secret-9")
    assert plain.arguments() == {"security_protocol": "PLAINTEXT"}
    for broken in (tmp_path / "missing.pem", tmp_path):
        with pytest.raises(SettingsError, match="RECSVC_KAFKA_CA_FILE"):
            KafkaConnection("h:1", "SSL", ca_file=broken).arguments()


async def test_aiokafka_tells_outages_no_more_than_we_do(
    logs: KafkaLogs, caplog: pytest.LogCaptureFixture
) -> None:
    log = await logs.open()
    with caplog.at_level(logging.WARNING):
        logs.broker.end()
        with pytest.raises(LogError):
            await log.append([view("e1")])
    assert [r for r in caplog.records if r.name.startswith("aiokafka")] == []

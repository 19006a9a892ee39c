"""Dead letters in a real Kafka: kept, listed, shown and put back."""

import gc
import json
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from click.testing import CliRunner, Result
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from celeryscope import semconv
from celeryscope.cli import main
from celeryscope.errors import NotFound, Unavailable
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.dead_letters import DeadLetter, DeadLetters, StoredLetter, read_dead_letters
from celeryscope_pipelines.provisioning.plan import Plan
from celeryscope_pipelines.provisioning.topics import provision_topics
from servers import Kafka

pytestmark = pytest.mark.kafka

Command = Callable[..., Result]
# Less than the topic's retention of 30 days: older letters Kafka itself deletes, half a minute after its start.
LONG_AGO = int(time.time()) - 10 * 86_400


@pytest.fixture(scope="module")
def settings(kafka: Kafka) -> KafkaSettings:
    connection = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)
    list(provision_topics(connection, Plan()))
    return connection


@pytest.fixture(scope="module")
def dead_letters(settings: KafkaSettings) -> Iterator[DeadLetters]:
    with closing(DeadLetters(settings)) as sender:
        yield sender


@pytest.fixture
def reason() -> str:
    """One of this test alone, since all tests share the topic."""
    return f"test_{uuid4().hex}"


@pytest.fixture
def command(kafka: Kafka) -> Command:
    """``celeryscope dead-letter``."""

    def run(*arguments: str) -> Result:
        environment = {"CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "COLUMNS": "220"}
        return CliRunner().invoke(main, ["dead-letter", *arguments], env=environment)

    return run


def letter(reason: str, value: bytes = b'{"resourceLogs": []}', partition: int = 3) -> DeadLetter:
    return DeadLetter(value, "log", reason, "mapper [größe] is of a different type", semconv.TOPIC_LOGS, partition, 17)


def stored(settings: KafkaSettings, reason: str) -> list[StoredLetter]:
    return [found for found in read_dead_letters(settings) if found.reason == reason]


def messages_of(settings: KafkaSettings, topic: str, partition: int) -> list[bytes]:
    """All messages of a partition."""
    place = TopicPartition(topic, partition)
    with closing(KafkaConsumer(**settings.client_options(), auto_offset_reset="earliest")) as consumer:
        consumer.assign([place])
        end = consumer.end_offsets([place])[place]
        values: list[bytes] = []
        while consumer.position(place) < end:
            values += [message.value for message in consumer.poll(timeout_ms=1000).get(place, [])]
        return values


def test_a_letter_is_read_as_it_was_sent(settings: KafkaSettings, dead_letters: DeadLetters, reason: str) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    dead_letters.send(letter(reason, b"\x0a\xff\x00 no JSON"))
    (found,) = stored(settings, reason)
    assert (found.value, found.kind, found.error) == (
        b"\x0a\xff\x00 no JSON",
        "log",
        "mapper [größe] is of a different type",
    )
    assert (found.topic, found.partition, found.offset) == (semconv.TOPIC_LOGS, 3, 17)
    assert before <= found.time <= datetime.now(UTC)


def test_letters_since_a_time_leave_out_older_ones(
    settings: KafkaSettings, dead_letters: DeadLetters, reason: str
) -> None:
    dead_letters.send(letter(reason, b"old"))
    (old,) = stored(settings, reason)
    dead_letters.send(letter(reason, b"new"))
    since = old.time + timedelta(milliseconds=1)
    assert [found.value for found in read_dead_letters(settings, since) if found.reason == reason][-1] == b"new"
    assert list(read_dead_letters(settings, datetime.now(UTC) + timedelta(hours=1))) == []
    long_ago = datetime(1900, 1, 1, tzinfo=UTC)
    assert [found.value for found in read_dead_letters(settings, long_ago) if found.reason == reason] == [
        b"old",
        b"new",
    ]


def test_many_threads_share_one_sender(settings: KafkaSettings, dead_letters: DeadLetters, reason: str) -> None:
    values = [f"letter {number}".encode() for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda value: dead_letters.send(letter(reason, value)), values))
    assert sorted(found.value for found in stored(settings, reason)) == sorted(values)


def test_a_letter_larger_than_other_topics_take_is_kept(
    settings: KafkaSettings, dead_letters: DeadLetters, reason: str
) -> None:
    large = uuid4().bytes * 500_000
    dead_letters.send(letter(reason, large))
    assert [found.value for found in stored(settings, reason)] == [large]


def test_an_error_of_any_length_is_cut_not_refused(
    settings: KafkaSettings, dead_letters: DeadLetters, reason: str
) -> None:
    dead_letters.send(DeadLetter(b"{}", "span", reason, "e" * 100_000, semconv.TOPIC_TRACES, 0, 1))
    (found,) = stored(settings, reason)
    assert found.error == "e" * len(found.error)
    assert 500 < len(found.error) < 10_000


# kafka-python leaves its sockets open when it reaches no broker.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
def test_without_kafka_a_letter_is_not_taken_and_with_it_the_next_one_is(tmp_path: Path) -> None:
    with Kafka(tmp_path / "kafka") as own:
        settings = KafkaSettings(bootstrap_servers=own.bootstrap_servers)
        with pytest.raises(NotFound, match="celeryscope setup"):
            list(read_dead_letters(settings))
        list(provision_topics(settings, Plan()))
        with closing(DeadLetters(settings, timeout=8)) as sender:
            sender.send(letter("before"))
            own.kill()
            for _ in range(2):
                with pytest.raises(Unavailable):
                    sender.send(letter("while away"))
            own.start()
            sender.send(letter("after"))
        reasons = [found.reason for found in read_dead_letters(settings)]
        assert (reasons[0], reasons[-1]) == ("before", "after")
    gc.collect()


def test_the_list_has_position_reason_and_source(command: Command, dead_letters: DeadLetters, reason: str) -> None:
    dead_letters.send(letter(reason))
    shown = command("list", "--reason", reason)
    assert shown.exit_code == 0
    assert f"{semconv.TOPIC_LOGS} 3:17" in shown.stdout
    assert "mapper [größe]" in shown.stdout
    assert shown.stdout.endswith("1 of 1 dead letters\n")
    (item,) = json.loads(command("list", "--reason", reason, "--json").stdout)["letters"]
    assert item["position"] in shown.stdout


def test_the_list_is_cut_at_its_limit_and_says_so(command: Command, dead_letters: DeadLetters, reason: str) -> None:
    for _ in range(3):
        dead_letters.send(letter(reason))
    listed = json.loads(command("list", "--reason", reason, "--limit", "2", "--json").stdout)
    assert (listed["total"], len(listed["letters"])) == (3, 2)


def test_a_letter_is_shown_with_its_record(
    command: Command, settings: KafkaSettings, dead_letters: DeadLetters, reason: str
) -> None:
    dead_letters.send(letter(reason, b'{"resourceLogs":[{"scopeLogs":[]}]}'))
    position = stored(settings, reason)[0].position
    assert '  "resourceLogs": [' in command("show", position).stdout
    assert json.loads(command("show", position, "--json").stdout)["record"] == {"resourceLogs": [{"scopeLogs": []}]}


def test_a_terminal_obeys_nothing_that_a_letter_says(
    command: Command, settings: KafkaSettings, dead_letters: DeadLetters, reason: str
) -> None:
    hostile = f"{reason}\x1b[2J\x9b31m\u202e"
    dead_letters.send(letter(hostile, orjson.dumps({"text": hostile})))
    position = stored(settings, hostile)[0].position
    for arguments in (["list", "--reason", hostile], ["count"], ["show", position]):
        shown = command(*arguments).stdout
        assert reason in shown
        assert not [sign for sign in "\x1b\x9b\u202e" if sign in shown]


def test_bytes_that_are_no_json_are_shown_without_control_characters(
    command: Command, settings: KafkaSettings, dead_letters: DeadLetters, reason: str
) -> None:
    dead_letters.send(letter(reason, b"\x1b[2J\xff boo"))
    assert r"\x1b[2J\xff boo" in command("show", stored(settings, reason)[0].position).stdout


def test_a_replay_puts_the_same_bytes_into_the_partition_they_came_from(
    command: Command, settings: KafkaSettings, dead_letters: DeadLetters, reason: str
) -> None:
    value = f'{{"resourceLogs": [], "for": "{reason}"}}'.encode()
    dead_letters.send(letter(reason, value, partition=2))
    assert command("replay", "--reason", reason).stdout == "1 record put back on its topic\n"
    assert messages_of(settings, semconv.TOPIC_LOGS, 2).count(value) == 1
    command("replay", stored(settings, reason)[0].position)
    assert messages_of(settings, semconv.TOPIC_LOGS, 2).count(value) == 2


def test_a_letter_from_a_partition_that_is_gone_goes_to_another(
    command: Command, settings: KafkaSettings, dead_letters: DeadLetters, reason: str
) -> None:
    value = f'{{"resourceLogs": [], "for": "{reason}"}}'.encode()
    dead_letters.send(letter(reason, value, partition=4711))
    assert json.loads(command("replay", "--reason", reason, "--json").stdout) == {"replayed": 1, "skipped": []}
    with closing(KafkaAdminClient(**settings.client_options())) as admin:
        partitions = len(admin.describe_topics([semconv.TOPIC_LOGS])[0]["partitions"])
    assert sum(messages_of(settings, semconv.TOPIC_LOGS, number).count(value) for number in range(partitions)) == 1


def test_a_letter_that_names_no_topic_of_ours_stays_and_is_named(
    command: Command, settings: KafkaSettings, dead_letters: DeadLetters, reason: str
) -> None:
    dead_letters.send(DeadLetter(b"{}", "log", reason, "", "another.topic", 0, 0))
    result = command("replay", "--reason", reason)
    assert result.stdout == "0 records put back on their topics\n"
    assert stored(settings, reason)[0].position in result.stderr


@pytest.mark.parametrize(
    "arguments", [["list", "--reason", "none"], ["show", "0:999999999"], ["replay", "--reason", "none"]]
)
def test_nothing_found_is_exit_code_3(command: Command, settings: KafkaSettings, arguments: list[str]) -> None:
    result = command(*arguments)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "dead letter" in result.stderr
    assert "put back" not in result.stderr


def test_letters_are_counted_by_reason(command: Command, dead_letters: DeadLetters, reason: str) -> None:
    for error, number in (("too deep", 3), ("too wide", 1)):
        for _ in range(number):
            dead_letters.send(DeadLetter(b"{}", "log", reason, error, semconv.TOPIC_LOGS, 0, 0))
    counted = json.loads(command("count", "--json").stdout)["reasons"][reason]
    assert counted["count"] == 4
    assert counted["first"] <= counted["last"]
    assert re.search(rf" 4 +{reason} ", command("count").stdout)
    assert json.loads(command("count", "--error", "too deep", "--reason", reason, "--json").stdout)["total"] == 3


def test_a_replay_is_narrowed_by_the_error(
    command: Command, settings: KafkaSettings, dead_letters: DeadLetters, reason: str
) -> None:
    for error in ("too deep", "too wide"):
        value = f'{{"resourceLogs": [], "for": "{reason} {error}"}}'.encode()
        dead_letters.send(DeadLetter(value, "log", reason, error, semconv.TOPIC_LOGS, 1, 0))
    assert json.loads(command("replay", "--error", "too wide", "--reason", reason, "--json").stdout)["replayed"] == 1
    put_back = messages_of(settings, semconv.TOPIC_LOGS, 1)
    assert [f"{reason} {error}".encode() in b"".join(put_back) for error in ("too deep", "too wide")] == [False, True]


def test_more_letters_than_have_room_in_memory_are_listed_and_replayed(
    alone: tuple[KafkaSettings, Command], reason: str
) -> None:
    # Not in the Kafka that all tests share: each indexer of a later test would have to work all this off first.
    settings, command = alone
    with closing(DeadLetters(settings)) as sender:
        for _ in range(300):
            sender.send(DeadLetter(b"{" + b" " * 1_000_000, "log", reason, "", semconv.TOPIC_LOGS, 5, 0))
    for arguments, answer in (
        (["list", "--limit", "1000", "--reason", reason, "--json"], {"total": 300}),
        (["replay", "--reason", reason, "--json"], {"replayed": 300}),
    ):
        tracemalloc.start()
        try:
            found = json.loads(command(*arguments).stdout)
            assert found.items() >= answer.items()
            assert tracemalloc.get_traced_memory()[1] < 200_000_000, arguments
        finally:
            tracemalloc.stop()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[KafkaSettings, Command]]:
    """A Kafka of its own without letters, and the command for it."""
    with Kafka(tmp_path / "kafka") as own:
        settings = KafkaSettings(bootstrap_servers=own.bootstrap_servers)
        list(provision_topics(settings, Plan()))

        def run(*arguments: str, answer: str = "") -> Result:
            environment = {"CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": own.bootstrap_servers, "COLUMNS": "220"}
            return CliRunner().invoke(main, ["dead-letter", *arguments], env=environment, input=answer)

        yield settings, run


@pytest.fixture
def apart(alone: tuple[KafkaSettings, Command]) -> tuple[KafkaSettings, Command]:
    """The same with ten letters, one a second long ago."""
    settings, _ = alone
    with KafkaProducer(**settings.client_options()) as producer:
        for number in range(10):
            headers = [("reason", b"old" if number < 5 else b"new")]
            at = 1000 * (LONG_AGO + number)
            producer.send(semconv.TOPIC_DEAD_LETTER, b"%d" % number, headers=headers, timestamp_ms=at)
        producer.flush()
    return alone


def test_a_purge_asks_first_and_deletes_the_oldest_for_good(apart: tuple[KafkaSettings, Command]) -> None:
    settings, command = apart
    left = lambda: [int(found.value) for found in read_dead_letters(settings)]  # noqa: E731
    assert command("purge", "--to", "1:9", "--yes").exit_code == 3, "a partition that is not there"
    assert len(left()) == 10
    asked = command("purge", "--to", "0:1", answer="n\n")
    assert asked.exit_code == 1
    assert "2 go, " in asked.output
    assert "8 stay: new 5, old 3" in asked.output
    assert len(left()) == 10
    assert command("purge", "--to", "0:1", answer="y\n").exit_code == 0
    assert left() == list(range(2, 10))
    before = datetime.fromtimestamp(LONG_AGO + 6, UTC).isoformat()
    purged = command("purge", "--before", before, "--yes", "--json")
    assert json.loads(purged.stdout) == {"purged": {"old": 3, "new": 1}, "staying": {"new": 4}}
    assert left() == list(range(6, 10))
    assert command("purge", "--before", before, "--yes").exit_code == 3
    assert command("show", "0:3").exit_code == 3
    assert json.loads(command("show", "0:7", "--json").stdout)["record"] == 7
    assert command("purge", "--all", "--yes").exit_code == 0
    assert left() == []


def test_a_letter_behind_one_that_stays_stays_with_it_however_old_it_is(apart: tuple[KafkaSettings, Command]) -> None:
    settings, command = apart
    with KafkaProducer(**settings.client_options()) as producer:
        producer.send(semconv.TOPIC_DEAD_LETTER, b"10", timestamp_ms=1000 * LONG_AGO)
    before = datetime.fromtimestamp(LONG_AGO + 2, UTC).isoformat()
    assert command("purge", "--before", before, "--yes").exit_code == 0
    assert [int(found.value) for found in read_dead_letters(settings)] == list(range(2, 11))


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay"],
        ["replay", "--all", "--reason", "x"],
        ["show", "17"],
        ["replay", "0:1", "all"],
        ["replay", "0:1", "--since", "1h"],
        ["purge"],
        ["purge", "--all", "--to", "0:1"],
        ["purge", "--to", "1"],
        ["purge", "--all", "--json"],
    ],
)
def test_letters_that_are_not_named_properly_are_an_error_of_usage(command: Command, arguments: list[str]) -> None:
    assert command(*arguments).exit_code == 2

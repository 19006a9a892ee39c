"""The rules about queues, schedules and the pipeline, on what the pipeline writes."""

from datetime import timedelta

import pytest

from celeryscope import semconv
from celeryscope.semconv import EVENT_TASK_SENT, EVENT_TASK_SUCCEEDED
from celeryscope_pipelines import measurements
from pipelines.watcher.world import World, adjusted

pytestmark = pytest.mark.elasticsearch


def _usual_day(world: World) -> None:
    """A task every ten seconds for an hour, each taken at once."""
    world.tasks(EVENT_TASK_SUCCEEDED, range(700, 4300, 10), QUEUE_TIME=0.2)


def test_tasks_that_the_broker_does_not_have_are_lost(world: World) -> None:
    world.tasks(EVENT_TASK_SENT, (200, 150, 100), sent=200)
    world.depth(20, 1)
    (finding,) = world.findings("task-lost")
    assert finding.row["lost"] == 2
    assert finding.row[semconv.MESSAGING_DESTINATION] == "celery"


def test_tasks_that_wait_in_their_queue_or_were_sent_just_now_are_not_lost(world: World) -> None:
    world.tasks(EVENT_TASK_SENT, (200, 150, 100))
    world.depth(20, 3)
    world.tasks(EVENT_TASK_SENT, (30, 10))
    world.task(EVENT_TASK_SENT, 300, ETA=world.microseconds(-600))
    assert world.findings("task-lost") == []


def test_without_a_depth_a_task_is_lost_that_later_ones_have_overtaken(world: World) -> None:
    world.task(EVENT_TASK_SENT, 500, sent=500)
    assert world.findings("task-lost") == []
    world.tasks(EVENT_TASK_SUCCEEDED, (100, 50), sent=120)
    assert len(world.findings("task-lost")) == 1


def test_a_queue_from_which_fewer_tasks_are_taken_than_usual_is_stalled(world: World) -> None:
    _usual_day(world)
    world.tasks(EVENT_TASK_SENT, range(10, 130, 10), sent=130)
    world.depth(15, 12)
    (finding,) = world.findings("queue-stalled")
    assert finding.message.startswith("12 tasks wait in celery, the oldest for 2 min (usually 0.2 s); workers take 0")


def test_a_pile_of_tasks_that_is_worked_off_at_the_usual_pace_is_not_stalled(world: World) -> None:
    _usual_day(world)
    world.tasks(EVENT_TASK_SENT, range(10, 310, 2))
    world.tasks(EVENT_TASK_SUCCEEDED, range(5, 125, 5))
    world.depth(15, 150)
    assert world.findings("queue-stalled") == []


def _depths(world: World, grows: int, usual: int = 10, steps: int = 8) -> None:
    """Two hours of looks at a queue, in the last ``steps`` of which it grew by ``grows`` each time."""
    for ago in range(5 + steps * 30, 7200, 30):
        world.depth(ago, usual)
    for step in range(steps):
        world.depth(5 + step * 30, usual + (steps - step) * grows)


def test_a_queue_that_grows_without_a_pause_is_a_backlog(world: World) -> None:
    _depths(world, 20)
    world.tasks(EVENT_TASK_SUCCEEDED, range(1, 121, 2))
    (finding,) = world.findings("queue-backlog")
    assert (finding.row["usual"], finding.row["depth"], finding.row["per_minute"]) == (10, 150, 30)
    assert finding.message.endswith("Workers take 30 a minute, so what comes now waits for 5 min.")


def test_a_queue_that_is_worked_off_in_no_time_is_no_backlog(world: World) -> None:
    _depths(world, 20)
    world.tasks(EVENT_TASK_SUCCEEDED, (ago / 3 for ago in range(1, 600)))
    assert world.findings("queue-backlog") == []


def test_a_queue_that_is_as_deep_as_each_hour_and_one_of_which_nothing_is_taken_are_no_backlogs(world: World) -> None:
    _depths(world, 20)
    assert world.findings("queue-backlog") == []
    world.tasks(EVENT_TASK_SUCCEEDED, range(1, 121, 2))
    for ago in range(3600, 3900, 30):
        world.depth(ago, 200)
    assert world.findings("queue-backlog") == []


def test_a_batch_that_is_put_in_at_once_and_drains_is_at_no_time_a_backlog(world: World) -> None:
    world.tasks(EVENT_TASK_SUCCEEDED, range(-300, 300, 2))
    for ago in range(95, 3000, 30):
        world.depth(ago, 0)
    for looks, depth in enumerate((150, 1000, 970, 940, 910, 880)):
        world.depth(65 - looks * 30, depth)
        assert world.findings("queue-backlog", after=looks * 30 - 55) == []


def test_a_queue_that_no_worker_ever_consumed_from_is_told_of(world: World) -> None:
    world.worker("celery@a", 10, QUEUES=["celery", "mail"])
    world.tasks(EVENT_TASK_SENT, (200, 95, 20), MESSAGING_DESTINATION="maill")
    (finding,) = world.findings("queue-unconsumed")
    assert finding.row[semconv.MESSAGING_DESTINATION] == "maill"
    assert finding.message.startswith("2 tasks wait in maill since ")


def test_a_queue_of_a_worker_that_is_busy_or_gone_and_one_that_is_taken_from_are_consumed(world: World) -> None:
    world.worker("busy@a", 10, QUEUES=["celery", "mail"])
    world.worker("gone@a", 4000, semconv.EVENT_WORKER_OFFLINE, QUEUES=["videos"])
    for queue in ("celery", "mail", "videos", "a.routing.key"):
        world.tasks(EVENT_TASK_SENT, (200, 150), MESSAGING_DESTINATION=queue)
    world.task(EVENT_TASK_SUCCEEDED, 3000, MESSAGING_DESTINATION="a.routing.key")
    assert world.findings("queue-unconsumed") == []


def test_a_task_that_is_not_due_yet_has_no_need_of_a_consumer(world: World) -> None:
    world.task(EVENT_TASK_SENT, 200, MESSAGING_DESTINATION="later", ETA=world.microseconds(-600))
    world.task(EVENT_TASK_SENT, 300, MESSAGING_DESTINATION="later", EXPIRES=world.microseconds(100))
    assert world.findings("queue-unconsumed") == []


def test_a_beat_that_stopped_has_missed_its_runs(world: World) -> None:
    world.schedule("nightly", 400, due_in=300)
    world.schedule("minutely", 310, due_in=60)
    world.schedule("weekly", 100_000, due_in=200_000)
    (finding,) = world.findings("beat-missed")
    assert sorted(finding.row[semconv.SCHEDULE]) == ["minutely", "nightly"]


def test_a_beat_whose_clock_is_wrong_and_one_that_was_just_restarted_have_missed_nothing(world: World) -> None:
    world.schedule("minutely", 50, due_in=60, skew=-900)
    world.schedule("nightly", 500, due_in=460)
    assert world.findings("beat-missed") == []


def test_an_entry_that_was_taken_out_is_not_told_of_for_ever(world: World) -> None:
    world.schedule("removed", 4000, due_in=60)
    world.schedule("minutely", 10, due_in=60)
    assert world.findings("beat-missed") == []


def test_an_entry_that_beat_no_longer_had_when_it_was_started_anew_has_missed_nothing(world: World) -> None:
    world.schedule("removed", 400, due_in=60, started=9000)
    world.schedule("minutely", 30, due_in=60, started=350)
    assert world.findings("beat-missed") == []


def test_an_entry_that_stays_away_since_beat_was_started_is_missed_although_others_are_sent(world: World) -> None:
    world.schedule("stuck", 300, due_in=60, started=350)
    world.schedule("minutely", 30, due_in=60, started=350)
    (finding,) = world.findings("beat-missed")
    assert finding.row[semconv.SCHEDULE] == "stuck"


def test_a_run_that_beat_could_not_send_is_missed(world: World) -> None:
    world.schedule("minutely", 10, due_in=60, event=semconv.EVENT_BEAT_FAILED)
    assert len(world.findings("beat-missed")) == 1


def test_when_nobody_is_heard_of_any_more_telemetry_is_late(world: World) -> None:
    world.worker("one@a", 70)
    world.tasks(EVENT_TASK_SENT, (60, 50))
    (finding,) = world.findings("telemetry-late")
    assert finding.row["silence"] == 50


def test_telemetry_is_not_late_while_something_arrives_or_after_all_workers_said_goodbye(world: World) -> None:
    world.worker("one@a", 35)
    world.task(EVENT_TASK_SENT, 10)
    assert world.findings("telemetry-late") == []
    assert world.findings("telemetry-late", after=60) != []
    world.worker("one@a", 5, semconv.EVENT_WORKER_OFFLINE)
    assert world.findings("telemetry-late", after=300) == []


def test_a_spool_that_fills_is_told_of_and_one_with_little_in_it_is_not(world: World) -> None:
    world.worker("one@a", 20, SPOOL_PENDING_BYTES=100 << 20)
    world.worker("two@a", 20, SPOOL_PENDING_BYTES=1 << 20)
    assert [finding.row[semconv.WORKER] for finding in world.findings("spool-lag")] == ["one@a"]


def _measured(world: World, ago: float, *, behind: int = 0, oldest: float = 0, letters: int = 0) -> None:
    """What was measured some seconds ago of one topic, and of one reason."""
    topic = semconv.TOPIC_LOGS
    measured = [
        (semconv.MEASURE_BEHIND, topic, float(behind)),
        (semconv.MEASURE_OLDEST, topic, oldest),
        (semconv.MEASURE_DEAD_LETTERS, "bad_time", float(letters)),
    ]
    measurements.write(
        world.client, measurements.documents_of(measured, world.tenant, world.now - timedelta(seconds=ago))
    )
    world.client.indices.refresh(index=f"{semconv.DATA_STREAM_LOGS}-{world.tenant}")


def test_messages_that_wait_in_kafka_are_a_lag_and_dead_letters_are_told_of(world: World) -> None:
    _measured(world, 40)
    _measured(world, 10, behind=7, oldest=110, letters=3)
    (lag,), (letters,) = world.findings("pipeline-lag"), world.findings("dead-letters")
    assert lag.message.startswith("7 messages wait in Kafka for the indexers, the oldest for 1 min 50 s")
    assert lag.since == world.now - timedelta(seconds=120)
    assert letters.row["letters"] == 3


def test_a_pipeline_that_keeps_up_has_no_lag_and_no_dead_letters(world: World) -> None:
    _measured(world, 40, behind=700, oldest=700)
    _measured(world, 10, behind=7, oldest=1)
    assert world.findings("pipeline-lag") == world.findings("dead-letters") == []


def test_an_operator_can_leave_a_queue_out(world: World) -> None:
    world.tasks(EVENT_TASK_SENT, (200,), sent=200)
    world.depth(20, 0)
    assert len(world.findings("task-lost")) == 1
    assert world.findings(adjusted("task-lost", ignore={semconv.MESSAGING_DESTINATION: ("cel*",)})) == []

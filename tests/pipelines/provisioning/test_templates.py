"""The index templates as they are written, without a server."""

import json

import pytest

from celeryscope import semconv
from celeryscope_pipelines.attributes import MOMENTS
from celeryscope_pipelines.provisioning import Plan
from celeryscope_pipelines.provisioning.fields import FREE_FORM, PREFIXES, RESOURCE, Types, attributes
from celeryscope_pipelines.provisioning.templates import (
    DIGEST,
    ENTITY,
    FIELDS_DIGEST,
    LOGS,
    NAMES,
    TRACES,
    template,
)

PLAIN = Types()
FULL = Types(words="match_only_text", constant="constant_keyword")

WITHOUT_A_FIELD = {
    "SCOPE_": "values of scope.name",
    "HEADER": "keys of the header of Celery's messages",
    "EVENT_": "values of event_name and of celery.event",
    "STATE_": "values of celery.state",
    "KIND_": "values of celery.failure_kind",
    "VERDICT_": "values of celery.stack.verdict",
    "CAUSE_": "values of celery.cause",
    "CLUSTER_": "values of celery.failure.state",
    "MEASURE_": "values of celery.pipeline.measure",
    "LEFT_OUT_": "the end of names of fields",
    "FINGERPRINT_OPTION": "an option of tasks",
    "TOPIC_": "topics of Kafka",
    "DATA_STREAM_": "names of data streams",
    "INDEX_": "names of indices",
    "DEFAULT_TENANT": "a value of celery.tenant",
    "PATH_": "paths of the collector",
}
"""The beginnings of names in semconv of what is no attribute, and what it is."""


def _attributes() -> list[str]:
    constants = {name: value for name, value in vars(semconv).items() if name.isupper() and isinstance(value, str)}
    return sorted(value for name, value in constants.items() if not name.startswith(tuple(WITHOUT_A_FIELD)))


@pytest.mark.parametrize("attribute", _attributes())
def test_every_attribute_has_a_type_of_its_own(attribute: str) -> None:
    fields = {**attributes(PLAIN), **RESOURCE}
    assert attribute in (PREFIXES if attribute.endswith(".") else fields)


def test_what_senders_may_fill_as_they_like_is_one_field_each() -> None:
    properties = template(LOGS, Plan(), PLAIN)["template"]["mappings"]["properties"]
    levels = (properties["attributes"], properties["resource"]["properties"]["attributes"])
    levels += (properties["scope"]["properties"]["attributes"], template(ENTITY, Plan(), PLAIN)["template"]["mappings"])
    assert [level["properties"][semconv.MAPS] for level in levels] == [FREE_FORM] * 4
    assert properties["body"]["properties"]["structured"] == FREE_FORM


def test_the_fields_that_anybody_may_add_are_bounded() -> None:
    for name in NAMES:
        body = template(name, Plan(), PLAIN)["template"]
        assert body["settings"]["mapping.total_fields.limit"] == 1500
        assert body["settings"]["mapping.total_fields.ignore_dynamic_beyond_limit"] is True
        assert json.dumps(body["mappings"]).count('"type"') < 500


@pytest.mark.parametrize("name", NAMES)
def test_every_template_is_ours_by_its_name_and_wins_over_the_built_in_ones(name: str) -> None:
    assert name.startswith("celeryscope-")
    assert template(name, Plan(), PLAIN)["priority"] > 200


def test_the_same_plan_gives_the_same_digest_and_another_one_gives_another() -> None:
    digests = {plan: template(LOGS, plan, PLAIN)["_meta"][DIGEST] for plan in (Plan(), Plan(retention=60))}
    assert template(LOGS, Plan(), PLAIN)["_meta"][DIGEST] == digests[Plan()]
    assert len(set(digests.values())) == 2


def test_another_retention_is_no_change_of_the_fields() -> None:
    one, other = (template(LOGS, plan, PLAIN)["_meta"] for plan in (Plan(), Plan(retention=60)))
    assert one[FIELDS_DIGEST] == other[FIELDS_DIGEST]


def test_every_moment_is_a_date_of_nanoseconds() -> None:
    fields = attributes(PLAIN)
    assert {fields[name]["type"] for name in (*MOMENTS, semconv.FIRST_SEEN, semconv.LAST_SEEN)} == {"date_nanos"}


def test_the_clock_is_a_whole_number_and_durations_are_fractions() -> None:
    fields = attributes(PLAIN)
    assert fields[semconv.CLOCK]["type"] == "long"
    assert {fields[semconv.QUEUE_TIME]["type"], fields[semconv.RUNTIME]["type"]} == {"double"}


def test_no_keyword_is_too_long_for_the_index() -> None:
    for name in NAMES:
        text = json.dumps(template(name, Plan(), PLAIN))
        assert text.count('"type": "keyword"') == text.count('"type": "keyword", "ignore_above": 1024') + (
            # data_stream.type, dataset and namespace are parts of an index name, which is short.
            3 if name in {LOGS, TRACES} else 0
        )


def test_a_full_elasticsearch_gets_its_better_types() -> None:
    properties = template(TRACES, Plan(), FULL)["template"]["mappings"]["properties"]
    assert properties["data_stream"]["properties"]["type"] == {"type": "constant_keyword"}
    stack = properties["attributes"]["properties"][semconv.EXCEPTION_STACKTRACE]
    assert stack == {"type": "match_only_text"}


def test_only_data_streams_have_a_retention() -> None:
    plan = Plan(retention=86_400)
    assert template(LOGS, plan, PLAIN)["template"]["lifecycle"] == {"data_retention": "86400s"}
    assert "lifecycle" not in template(ENTITY, plan, PLAIN)["template"]


def test_for_ever_is_a_lifecycle_without_an_end() -> None:
    assert template(LOGS, Plan(retention=0), PLAIN)["template"]["lifecycle"] == {}


def test_copies_follow_the_number_of_nodes_unless_told_otherwise() -> None:
    settings = template(ENTITY, Plan(), PLAIN)["template"]["settings"]
    assert settings["auto_expand_replicas"] == "0-1"
    assert "number_of_replicas" not in settings
    asked = template(ENTITY, Plan(replicas=2), PLAIN)["template"]["settings"]
    assert (asked["auto_expand_replicas"], asked["number_of_replicas"]) == ("false", "2")


def test_the_notes_hold_no_null_because_elasticsearch_creates_no_data_stream_then() -> None:
    assert None not in template(LOGS, Plan(), PLAIN)["_meta"].values()

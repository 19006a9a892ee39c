"""The index templates: pure, from what is asked for and what the cluster has to the bodies that it gets.

The data streams have the OTel-native shape: ``attributes`` and ``resource.attributes`` are passthrough objects, so
that the bare name of an attribute finds it, and a key is a field whatever its dots (``a`` and ``a.b`` don't contradict
each other). The entities do without objects for the same reason.
"""

import hashlib
from typing import Any, Final

import orjson

from celeryscope import semconv
from celeryscope_pipelines.provisioning.fields import (
    APM,
    DATE,
    DYNAMIC,
    FREE_FORM,
    KEYWORD,
    LONG,
    RESOURCE,
    SDK_LANGUAGE,
    Mapping,
    Types,
    attributes,
)
from celeryscope_pipelines.provisioning.plan import Plan

PRIORITY: Final = 500
"""Above the built-in templates of ``logs-*-*`` and ``traces-*-*``."""
LOGS: Final = "celeryscope-logs"
TRACES: Final = "celeryscope-traces"
ENTITY: Final = "celeryscope-entities"
WATCHER: Final = "celeryscope-watcher"
NAMES: Final = (LOGS, TRACES, ENTITY, WATCHER)

# In a template's _meta: digests that tell whether it (or its fields) must be written again, and what was asked for, so
# that the next setup, which may say nothing about it, leaves it so.
DIGEST: Final = "digest"
FIELDS_DIGEST: Final = "fields"
RETENTION: Final = "retention"
REPLICAS: Final = "replicas"

ENTITIES: Final = (
    semconv.INDEX_WORKERS,
    semconv.INDEX_QUEUES,
    semconv.INDEX_SCHEDULES,
    semconv.INDEX_FAILURES,
    semconv.INDEX_ALERTS,
    semconv.INDEX_KIBANA_ALERTS,
)
"""Indices of the entities' fields that exist once; those of the attempts come day by day."""
INDICES: Final = (*ENTITIES, semconv.INDEX_WATCHER)
"""All indices that exist once."""

COPIES: Final = ("auto_expand_replicas", "number_of_replicas")
"""The settings that say how many copies of an index there are."""

_FIELDS_LIMIT: Final = 1500


def template(name: str, plan: Plan, types: Types) -> Mapping:
    """The body of the index template of that name, one of NAMES."""
    if name == LOGS:
        body = _template([f"{semconv.DATA_STREAM_LOGS}-*"], _stream_mappings(types, _log_fields(types)), plan)
    elif name == TRACES:
        body = _template([f"{semconv.DATA_STREAM_TRACES}-*"], _stream_mappings(types, _span_fields()), plan)
    elif name == ENTITY:
        body = _template([semconv.INDEX_TASKS_ALL, *ENTITIES], _entity_mappings(types), plan)
    else:
        body = _template([semconv.INDEX_WATCHER], _watcher_mappings(), plan)
    if name in {LOGS, TRACES}:
        body["data_stream"] = {}
        body["template"]["lifecycle"] = {"data_retention": f"{plan.retention}s"} if plan.retention else {}
    meta = {
        "managed_by": "celeryscope setup",
        DIGEST: _digest(body),
        FIELDS_DIGEST: _digest(body["template"]["mappings"]),
        RETENTION: plan.retention,
        REPLICAS: plan.replicas,
    }
    # Elasticsearch takes a null here, and then can't make a data stream of the template.
    body["_meta"] = {key: value for key, value in meta.items() if value is not None}
    return body


def _template(patterns: list[str], mappings: Mapping, plan: Plan) -> Mapping:
    return {
        "index_patterns": patterns,
        "priority": PRIORITY,
        "allow_auto_create": True,
        "template": {"settings": _settings(plan), "mappings": mappings},
    }


def _settings(plan: Plan) -> Mapping:
    # A single node stays green, and a second one gets a copy by itself.
    copies = {"auto_expand_replicas": "0-1"}
    if plan.replicas is not None:
        copies = {"auto_expand_replicas": "false", "number_of_replicas": str(plan.replicas)}
    return {
        "number_of_shards": 1,
        **copies,
        "mapping.ignore_malformed": True,
        "mapping.total_fields.limit": _FIELDS_LIMIT,
        # One more field than that costs its searchability, not the document.
        "mapping.total_fields.ignore_dynamic_beyond_limit": True,
    }


def _stream_mappings(types: Types, own: Mapping) -> Mapping:
    constant = {"type": types.constant}
    shared = {
        "@timestamp": {**DATE, "ignore_malformed": False},
        "data_stream": {"properties": dict.fromkeys(("type", "dataset", "namespace"), constant)},
        "trace_id": KEYWORD,
        "span_id": KEYWORD,
        "trace": _aliases(id="trace_id"),
        "service": _service_aliases(),
        "attributes": _passthrough(30, {**attributes(types), **APM}),
        "dropped_attributes_count": LONG,
        "resource": {"properties": {"schema_url": KEYWORD, "attributes": _passthrough(10, RESOURCE)}},
        "scope": {
            "properties": {
                "name": KEYWORD,
                "version": KEYWORD,
                "attributes": _passthrough(20, {semconv.MAPS: FREE_FORM}),
            }
        },
    }
    return {
        "dynamic": False,
        "date_detection": False,
        "numeric_detection": False,
        "dynamic_templates": DYNAMIC,
        "properties": {**shared, **own},
    }


def _log_fields(types: Types) -> Mapping:
    words = {"type": types.words}
    return {
        "observed_timestamp": DATE,
        "event_name": KEYWORD,
        "severity_number": LONG,
        "severity_text": KEYWORD,
        "body": {"properties": {"text": words, "structured": FREE_FORM}},
        "message": _alias("body.text"),
        "log": _aliases(level="severity_text"),
        "span": _aliases(id="span_id"),
        "error": {
            "properties": {
                "stack_trace": _alias(f"attributes.{semconv.EXCEPTION_STACKTRACE}"),
                "exception": _aliases(
                    type=f"attributes.{semconv.EXCEPTION_TYPE}", message=f"attributes.{semconv.EXCEPTION_MESSAGE}"
                ),
            }
        },
    }


def _span_fields() -> Mapping:
    return {
        "parent_span_id": KEYWORD,
        "name": KEYWORD,
        "kind": KEYWORD,
        "duration": LONG,
        "status": {"properties": {"code": KEYWORD, "message": KEYWORD}},
        "links": {
            "properties": {"trace_id": KEYWORD, "span_id": KEYWORD, "attributes": {"type": "object", "enabled": False}}
        },
        "span": _aliases(id="span_id", name="name"),
        "parent": _aliases(id="parent_span_id"),
    }


def _entity_mappings(types: Types) -> Mapping:
    own = {
        "@timestamp": {**DATE, "ignore_malformed": False},
        "trace_id": KEYWORD,
        "span_id": KEYWORD,
        "trace.id": _alias("trace_id"),
        "span.id": _alias("span_id"),
        "error.stack_trace": _alias(semconv.EXCEPTION_STACKTRACE),
    }
    return {
        "subobjects": False,
        "date_detection": False,
        "numeric_detection": False,
        "dynamic_templates": DYNAMIC,
        "properties": {**attributes(types), **RESOURCE, **own},
    }


def _watcher_mappings() -> Mapping:
    """Only what is asked for: kind, time and tenant; ``content`` is kept as it is."""
    return {
        "dynamic": False,
        "subobjects": False,
        "properties": {
            "@timestamp": DATE,
            "kind": KEYWORD,
            semconv.TENANT: KEYWORD,
        },
    }


def _passthrough(priority: int, properties: Mapping) -> Mapping:
    """An object whose fields answer to their bare names; where several have a name, the highest priority does."""
    return {"type": "passthrough", "dynamic": True, "priority": priority, "properties": properties}


def _alias(path: str) -> Mapping:
    return {"type": "alias", "path": path}


def _aliases(**paths: str) -> Mapping:
    return {"properties": {name: _alias(path) for name, path in paths.items()}}


def _service_aliases() -> Mapping:
    """What Kibana's APM calls the environment, the process and the language of a service.

    The names are those of Elasticsearch's own templates for OpenTelemetry, which ours stand in place of.
    """
    return {
        "properties": {
            "environment": _alias(f"resource.attributes.{semconv.DEPLOYMENT_ENVIRONMENT}"),
            "node": _aliases(name=f"resource.attributes.{semconv.SERVICE_INSTANCE_ID}"),
            "language": _aliases(name=f"resource.attributes.{SDK_LANGUAGE}"),
        }
    }


def _digest(body: Any) -> str:
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]

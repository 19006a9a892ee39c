"""Settings and file say the same in two ways; what the file says of tenants is for these only."""

from pathlib import Path

import pytest

from celeryscope.errors import ConfigError
from celeryscope_collector.prepare import prepared, sections_of
from celeryscope_collector.processors_file.models import Limits, Redaction
from celeryscope_collector.processors_file.reading import checked
from celeryscope_collector.records import LOGS
from celeryscope_collector.settings import CollectorSettings
from collector_samples import attribute, processed, said, typed


def test_a_file_that_names_the_default_processors_alone_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("processors: [identity, redaction, limits]")
    assert sections_of(CollectorSettings.load(processors_file=tmp_path / "file")) == sections_of(
        CollectorSettings.load()
    )


def test_settings_are_the_parameters_where_there_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERYSCOPE_COLLECTOR_REDACTION_TERMS", "iban, tax")
    monkeypatch.setenv("CELERYSCOPE_COLLECTOR_MAX_BODY_BYTES", "1000")
    sections = sections_of(CollectorSettings.load())
    assert list(sections) == ["identity", "redaction", "limits"]
    assert sections["redaction"] == Redaction(terms=("iban", "tax"))
    assert sections["limits"] == Limits(body_bytes=1000)


def test_a_setting_that_the_file_replaces_must_not_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERYSCOPE_COLLECTOR_MAX_BODY_BYTES", "1000")
    monkeypatch.setenv("CELERYSCOPE_COLLECTOR_REDACTION_KEEP", "x")
    with pytest.raises(ConfigError, match="say it there and unset max_body_bytes, redaction_keep"):
        CollectorSettings.load(processors_file=tmp_path / "file")


def redacted(text: str, tenant: str) -> set[str]:
    sections, problems = checked(text)
    assert not problems
    names = ("iban", "patient", "password", "csrf_token")
    ((record,), _) = processed(prepared(sections), [typed(LOGS, {}, dict.fromkeys(names, "value"))], tenant)
    return {name for name, value in said(record.attributes).items() if value == "[redacted]"}


def test_a_tenants_names_are_redacted_in_addition_and_for_it_only() -> None:
    text = """
processors:
- identity
- redaction:
    terms: [iban]
    tenants:
      acme: {terms: [patient], keep: [csrf_token]}
"""
    assert redacted(text, "shop") == {"iban", "password", "csrf_token"}
    assert redacted(text, "acme") == {"iban", "patient", "password"}


def test_the_limits_of_the_file_are_those_of_the_processor() -> None:
    sections, _ = checked("processors: [identity, {limits: {attributes: 33, value_bytes: 300, body_bytes: 400}}]")
    record = typed(LOGS, {}, {f"k{n}": "x" * 500 for n in range(40)}, body={"stringValue": "x" * 500})
    ((limited,), _) = processed(prepared(sections), [record])
    sizes = [len(value) for name, value in said(limited.attributes).items() if name.startswith("k")]
    assert (len(sizes), max(sizes), len(limited.item["body"]["stringValue"])) == (33, 300, 400)


def test_neither_limits_nor_terms_take_a_record_its_tenant_or_its_id() -> None:
    sections, _ = checked("processors: [identity, {redaction: {terms: [tenant, uid, task]}}, limits]")
    many = {f"celery.{n}": "x" for n in range(300)}
    record = typed(LOGS, many, {**many, "celery.task_id": "t1", "celery.tasks": "y", "log.record.uid": "u1"})
    ((bounded,), _) = processed(prepared(sections), [record], "acme")
    resource, attributes = said(bounded.origin.resource["attributes"]), said(bounded.attributes)
    assert (len(resource), resource["celery.tenant"]) == (256, "acme")
    assert (len(attributes), attributes["celery.task_id"], attributes["log.record.uid"]) == (256, "t1", "u1")


def test_a_resource_of_one_name_repeated_still_is_its_tenants() -> None:
    sections, _ = checked("processors: [identity, limits]")
    record = typed(LOGS, {}, {})
    record.origin.resource["attributes"] = [attribute("service.name", "s")] * 300
    ((bounded,), _) = processed(prepared(sections), [record], "acme")
    assert said(bounded.origin.resource["attributes"])["celery.tenant"] == "acme"


def test_terms_still_make_other_names_of_the_vocabulary_secret() -> None:
    sections, _ = checked("processors: [identity, {redaction: {terms: [kwargs]}}]")
    ((redacted_record,), _) = processed(prepared(sections), [typed(LOGS, {}, {"celery.kwargs": "{'a': 1}"})])
    assert said(redacted_record.attributes) == {"celery.kwargs": "[redacted]"}

"""Secrets under telling names and passwords in URLs do not pass; everything else does."""

import copy
import tracemalloc
from typing import Any

import pytest

from celeryscope import semconv
from celeryscope.redaction import REDACTED, Redactor
from celeryscope_collector.processors.redaction import redact_attributes, redact_item, redaction
from collector_samples import log_record, text_value

is_secret = Redactor().is_secret


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "DB_PASSWORD",
        "db.password",
        "userPassword",
        "old_passwd",
        "aws_secret_access_key",
        "clientSecret",
        "access_token",
        "refresh_tokens",
        "api_key",
        "apiKey",
        "API-Key",
        "stripe.apikey",
        "http.request.header.authorization",
        "http.request.header.x-api-key",
        "http.request.header.cookie",
        "http.response.header.set-cookie",
        "ssh.private_key",
        "privateKey",
        "credentials",
        "password.value",
    ],
)
def test_a_telling_name_is_a_secret(key: str) -> None:
    assert is_secret(key)


def test_no_name_of_our_vocabulary_is_a_secret() -> None:
    ours = [value for value in vars(semconv).values() if isinstance(value, str)]
    assert not [name for name in ours if "\n" not in name and is_secret(name)]


def test_settings_add_terms_and_keep_names() -> None:
    stricter = Redactor(["iban", "Tax-Id"], ["csrf_token_name"]).is_secret
    assert [stricter(key) for key in ("customer.iban", "taxId", "csrf_token_name", "csrf_token")] == [
        True,
        True,
        False,
        True,
    ]


def test_values_are_redacted_in_attributes_body_events_links_and_status() -> None:
    url = "x://u:hunter2@h"
    attributes = [{"key": "password", "value": text_value("hunter2")}, {"key": "url", "value": text_value(url)}]
    item: dict[str, Any] = {
        "attributes": copy.deepcopy(attributes),
        "body": {"kvlistValue": {"values": copy.deepcopy(attributes)}},
        "events": [{"name": "e", "attributes": copy.deepcopy(attributes)}],
        "links": [{"attributes": copy.deepcopy(attributes)}],
        "status": {"message": url},
    }

    redact_item(item, is_secret)

    assert "hunter2" not in str(item)
    assert item["body"]["kvlistValue"]["values"][0]["value"] == text_value(REDACTED)


def test_secrets_inside_arrays_and_maps_are_redacted() -> None:
    inner = {"kvlistValue": {"values": [{"key": "token", "value": text_value("hunter2")}]}}
    attributes = [{"key": "config", "value": {"arrayValue": {"values": [inner, text_value("x://u:hunter2@h")]}}}]

    redact_attributes(attributes, is_secret)

    assert "hunter2" not in str(attributes)


def test_a_whole_structure_under_a_telling_name_is_one_redacted_value() -> None:
    attributes = [{"key": "credentials", "value": {"kvlistValue": {"values": [{"key": "user", "value": {}}]}}}]
    redact_attributes(attributes, is_secret)
    assert attributes == [{"key": "credentials", "value": text_value(REDACTED)}]


def test_flags_and_counts_of_tokens_stay_but_a_number_as_password_does_not() -> None:
    attributes = [
        {"key": "has_password", "value": {"boolValue": True}},
        {"key": "llm.total_tokens", "value": {"intValue": "17"}},
        {"key": "password", "value": {"intValue": "1234"}},
    ]
    redact_attributes(attributes, is_secret)
    assert [attribute["value"] for attribute in attributes] == [
        {"boolValue": True},
        {"intValue": "17"},
        text_value(REDACTED),
    ]


def test_long_names_are_judged_and_not_kept_in_memory() -> None:
    prepare = redaction()
    tracemalloc.start()
    try:
        for number in range(50):
            record = log_record(**{f"{number}-password-{'x' * 1_000_000}": "hunter2"})
            prepare("shop").record(record)
            assert "hunter2" not in str(record.item)
        del record
        assert tracemalloc.get_traced_memory()[0] < 10_000_000
    finally:
        tracemalloc.stop()

"""Secrets under telling names and passwords in URLs do not pass; everything else does."""

import copy
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeryscope import semconv
from celeryscope_collector.processors.redaction import (
    REDACTED,
    redact_attributes,
    redact_item,
    redact_text,
    secret_keys,
)
from collector_samples import text_value

is_secret = secret_keys((), ())


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
    stricter = secret_keys(["iban", "Tax-Id"], ["csrf_token_name"])
    assert [stricter(key) for key in ("customer.iban", "taxId", "csrf_token_name", "csrf_token")] == [
        True,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("amqp://shop:hunter2@rabbit:5672//", "amqp://shop:[redacted]@rabbit:5672//"),
        ("redis://:hunter2@host/0", "redis://:[redacted]@host/0"),
        ("p://u:p@ss@host", "p://u:[redacted]@host"),
        ("p://u:pa/ss@host", "p://u:[redacted]@host"),
        ("amqp://a:one@h1;amqp://b:two@h2", "amqp://a:[redacted]@h1;amqp://b:[redacted]@h2"),
        ("error in 'redis://u:pw@h' of me@home", "error in 'redis://u:[redacted]@h' of me@home"),
        ("https://host:8443/path@version", "https://host:8443/path@version"),
        ("https://host/a:b@c", "https://host/a:b@c"),
        ("me@host and http://host", "me@host and http://host"),
    ],
)
def test_a_password_in_a_url_is_redacted(text: str, redacted: str) -> None:
    assert redact_text(text) == redacted


@given(
    before=st.text(),
    after=st.text(),
    user=st.text("abcXYZ019-_.%"),
    password=st.text("abcXYZ!$&*+,;=:%~@-_.", min_size=4).map(lambda text: f"S{text}S"),
)
def test_a_password_is_redacted_in_whatever_text_it_stands(before: str, after: str, user: str, password: str) -> None:
    text = f"{before} amqp://{user}:{password}@host {after}"
    assert f" amqp://{user}:{REDACTED}@host {after}" in redact_text(text)


@pytest.mark.parametrize("hostile", ["://a:" * 200_000 + "@", "://" + "a" * 1_000_000 + "@", "://a:" + "b" * 1_000_000])
def test_a_hostile_text_does_not_take_long(hostile: str) -> None:
    started = time.perf_counter()
    redact_text(hostile + "@")
    assert time.perf_counter() - started < 1


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

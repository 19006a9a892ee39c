"""What stands under a telling name leaves nobody's process, whatever form it has; all else stays as it is."""

import json
import linecache
import string
import time
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from celery.utils.saferepr import saferepr
from hypothesis import given
from hypothesis import strategies as st

from celeryscope.redaction import DENIED, REDACTED, Redactor, redact_urls
from celeryscope.secrets_in_text import NamedSecrets

redactor = Redactor(["iban", "Tax-Id", "contraseña"])

MARK = "q7Z"
"""At both ends of each secret, so that a part of it that gets through is seen."""
NAMES = (
    "password DB_PASSWORD db-passwd apiKey x-api-key API_KEY client_secret accessToken Authorization credentials "
    "private_key aws_access_key_id set-cookie SESSIONID tax_id TaxId customer_iban auth http_auth db_pass userPass jwt "
    "contraseña pass_word cardNumber"
)
TELLING = st.sampled_from(NAMES.split())
HARMLESS = st.sampled_from(["user", "order_id", "author", "bypass", "items", "compass_x", "sessions", "note", "url"])
ANY = st.characters(exclude_categories=["Cs"])


def _secrets(alphabet: Any = ANY) -> st.SearchStrategy[str]:
    return st.text(alphabet, max_size=12).map(lambda text: f"{MARK}{text}{MARK}")


PLAIN = st.integers(0, 999).map(lambda number: f"stays{number}")
SIMPLE = _secrets(string.ascii_letters + string.digits + " -_.!/+~@#%*")
BARE = _secrets(string.ascii_letters + string.digits + "-_.!/+~@#%*=")


def _structures(secrets: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    hidden = st.one_of(
        secrets, secrets.map(str.encode), st.lists(secrets, min_size=1, max_size=2), secrets.map(lambda s: {"user": s})
    )
    members = st.tuples(TELLING, hidden)
    return st.recursive(
        st.one_of(st.dictionaries(HARMLESS, PLAIN, max_size=3), st.lists(members, min_size=1, max_size=3).map(dict)),
        lambda inner: st.one_of(
            st.dictionaries(HARMLESS, inner, max_size=3), st.lists(inner, max_size=3), st.tuples(PLAIN, inner)
        ),
        max_leaves=6,
    )


def _plain_in(structure: Any) -> Iterator[str]:
    if isinstance(structure, dict):
        for key, value in structure.items():
            if not redactor.is_secret(key):
                yield from _plain_in(value)
    elif isinstance(structure, list | tuple):
        for value in structure:
            yield from _plain_in(value)
    elif isinstance(structure, str):
        yield structure


def _no_bytes(value: Any) -> str:
    return value.decode()


@given(_structures(_secrets()))
def test_no_secret_survives_in_nested_values_and_all_else_does(structure: Any) -> None:
    redacted = redactor.fields({"extra": structure})
    assert MARK not in repr(redacted)
    assert all(plain in repr(redacted) for plain in _plain_in(structure))
    assert redactor.fields(redacted) == redacted


@given(_structures(_secrets()))
def test_no_secret_survives_in_a_repr_or_in_json(structure: Any) -> None:
    for text in (
        repr(structure),
        json.dumps(structure, default=_no_bytes),
        json.dumps(structure, default=_no_bytes, indent=1),
    ):
        assert MARK not in redactor.text(text)
        assert MARK not in redactor.text(f"failed for {text}, sorry")


@given(_structures(SIMPLE))
def test_what_is_no_secret_stays_in_a_repr_and_in_json(structure: Any) -> None:
    for text in (repr(structure), json.dumps(structure, default=_no_bytes), saferepr(structure, maxlevels=9)):
        redacted = redactor.text(text)
        assert MARK not in redacted
        assert all(plain in redacted for plain in _plain_in(structure))


@given(st.dictionaries(st.one_of(TELLING, HARMLESS), _secrets(), max_size=5), st.integers(20, 1024))
def test_no_secret_survives_in_the_repr_that_celery_puts_into_messages(kwargs: dict[str, str], limit: int) -> None:
    kwargs = {key: value if redactor.is_secret(key) else "stays" for key, value in kwargs.items()}
    assert MARK not in redactor.text(saferepr(kwargs, limit))


@given(TELLING, BARE, st.sampled_from(["=", ": ", " = ", ":", "=>", "=="]), PLAIN)
def test_no_secret_survives_in_a_message(name: str, secret: str, sign: str, plain: str) -> None:
    for text in (f"user={plain} {name}{sign}{secret}", f"({name}{sign}{secret})", f"<{name}{sign}{secret}>\n{plain}"):
        assert MARK not in redactor.text(text)
        assert (plain in text) == (plain in redactor.text(text))
    assert MARK not in redactor.text(f"{name}{sign}Bearer {secret}")
    assert MARK not in redactor.text(f"curl --{name} {secret} {plain}")
    assert MARK not in redactor.text(repr(["curl", f"--{name}", secret]))


@given(st.dictionaries(TELLING, st.text(min_size=1).map(lambda text: MARK + text), min_size=1), PLAIN)
def test_no_secret_survives_in_a_query(secrets: dict[str, str], plain: str) -> None:
    query = urlencode({"user": plain, **secrets, "order": plain})
    redacted = redactor.text(f"GET https://shop.example/pay?{query} HTTP/1.1")
    assert MARK not in redacted
    assert redacted.count(plain) == 2
    assert redacted.endswith(" HTTP/1.1")


@given(TELLING, _secrets())
def test_no_secret_survives_in_a_traceback(name: str, secret: str) -> None:
    argument = name.replace("-", "_")
    source = f"def connect(user, {argument}):\n    raise ValueError('refused')\nconnect('ann', {argument}={secret!r})\n"
    linecache.cache["generated.py"] = (len(source), None, source.splitlines(keepends=True), "generated.py")
    try:
        try:
            exec(compile(source, "generated.py", "exec"), {})
        except ValueError as error:
            error.add_note(f"with {name}={secret!r}")
            group = ExceptionGroup(f"{name}: {secret!r}", [error, KeyError({name: secret})])
            raise RuntimeError(repr({name: secret})) from group
    except RuntimeError as error:
        text = "".join(traceback.format_exception(error))
    assert MARK in text
    redacted = redactor.traceback(text)
    assert MARK not in redacted
    assert redacted == redactor.text(text) == redactor.text(redacted)
    for kept in (
        "ValueError: refused",
        "RuntimeError: {",
        "KeyError: {",
        'generated.py", line 3, in <module>',
        "'ann'",
    ):
        assert kept in redacted


FRAGMENTS = st.sampled_from(
    [
        *(
            "password",
            "token",
            "Authorization",
            "auth",
            "cookie",
            "Bearer ",
            "str",
            "x",
            "1",
            "None",
            "Error",
            "ü",
            "İ",
        ),
        *(
            "--",
            "=",
            ": ",
            ":",
            ", ",
            ",",
            "&",
            ";",
            " ",
            "'",
            "'''",
            '"',
            "b'",
            "\\",
            "\\'",
            *"()[]{}<>",
            "[redacted]",
        ),
        *("\n", "    ", "| ", '\n  File "a.py", line 1, in f\n    ', "Traceback (most recent call last):", "://u:p@h"),
    ]
)


@given(st.lists(FRAGMENTS, max_size=25).map("".join))
def test_what_is_redacted_once_is_not_changed_again(text: str) -> None:
    once = redactor.text(text)
    assert redactor.text(once) == once
    assert redactor.traceback(text) == once


@pytest.mark.parametrize(
    "text",
    [
        "{'order_id': 7, 'note': 'pass it on', 'author': 'ann'}",
        "Task shop.charge[0c1d3c1e-5b0e-4b0e-8b0e-0c1d3c1e5b0e] succeeded in 0.01s: None",
        "KeyError: 'token'",
        "TypeError: login() missing 1 required keyword-only argument: 'password'",
        "jwt.exceptions.InvalidTokenError: Signature has expired",
        "expected one of ['password', 'token', 'cookie']",
        "max_tokens=4096, total_tokens: 17, token_count=3",
        "password=None, token='', secret=False",
        '  File "a.py", line 1, in f\n    token = make_token(user)\n',
        '  File "a.py", line 1, in f\n    return login(user, password=self.password, token=token)\n',
        "secret://vault/path and tokens, passwords and cookies",
    ],
)
def test_what_only_talks_of_secrets_stays(text: str) -> None:
    assert redactor.text(text) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Authorization: Bearer xyz", "Authorization: [redacted]"),
        ("{'h': 'Cookie: a=b; c=d', 'order': 7}", "{'h': 'Cookie: [redacted]', 'order': 7}"),
        (r"b'GET /\r\nAuthorization: Basic eDp5\r\nHost: h'", r"b'GET /\r\nAuthorization: [redacted]\r\nHost: h'"),
        (r'"{\"password\": \"hunter2\", \"a\": 1}"', r'"{\"password\": \"[redacted]\", \"a\": 1}"'),
        ("Config(password=SecretStr('hunter2'), port=5)", "Config(password=[redacted], port=5)"),
        ("credentials={'a': ('b', 'c)')}, order=7", "credentials=[redacted], order=7"),
        ("[(b'authorization', b'Bearer x'), (b'host', b'h')]", "[(b'authorization', b'[redacted]'), (b'host', b'h')]"),
        ("os.environ['SECRET_KEY'] = 'abc'", "os.environ['SECRET_KEY'] = '[redacted]'"),
        ('password: str = "hunter2"', 'password: [redacted] = "[redacted]"'),
        ("token=abc&user=7", "token=[redacted]&user=7"),
        (r"{'password': 'a\', 'token': 'b', 'order': 7}", "{'password': '[redacted]', 'order': 7}"),
        (
            '  File "a.py", line 1, in f\n    say(f"password=\'{one}")\nValueError: that is \'it\'\n',
            "  File \"a.py\", line 1, in f\n    say(f\"password='[redacted]\nValueError: that is 'it'\n",
        ),
    ],
)
def test_no_more_than_the_value_is_redacted(text: str, redacted: str) -> None:
    assert redactor.text(text) == redacted


def test_a_private_key_is_redacted_without_a_name_even_when_its_end_is_missing() -> None:
    key = f"-----BEGIN RSA PRIVATE KEY-----\n{MARK}\n{MARK}\n"
    whole = redactor.text(f"read {key}-----END RSA PRIVATE KEY-----, and went on")
    assert MARK not in whole + redactor.text(key)
    assert whole.endswith("and went on")


def test_without_redaction_by_names_urls_and_private_keys_are_redacted_all_the_same() -> None:
    off = Redactor(by_name=False)
    key = f"-----BEGIN PRIVATE KEY-----\n{MARK}"
    assert off.fields({"password": "x", "broker": f"redis://:{MARK}@h", "key": key}) == {
        "password": "x",
        "broker": f"redis://:{REDACTED}@h",
        "key": f"-----BEGIN PRIVATE KEY-----{REDACTED}",
    }
    assert off.text(f"password=x redis://:{MARK}@h") == f"password=x redis://:{REDACTED}@h"


@given(TELLING)
def test_a_name_is_judged_alike_as_a_key_and_in_a_text(name: str) -> None:
    assert redactor.is_secret(name)
    assert redactor.text(f"{name}=x") == f"{name}={REDACTED}"


def test_the_default_list_has_no_name_that_another_one_makes_needless() -> None:
    assert not [(name, other) for name in DENIED for other in DENIED if name != other and other in name]


def test_values_that_no_text_can_be_made_of_are_told_as_such() -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

    endless: list[Any] = []
    endless.append(endless)
    redacted = redactor.fields({"a": Hostile(), "b": endless, "c": list(range(2000))})
    assert "RuntimeError in __str__" in redacted["a"]
    assert "[...]" in str(redacted["b"])
    assert redacted["c"][-1] == "[... 1000 more]"


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "token" * 40_000,
        "password=" * 25_000,
        "password='" * 20_000,
        "password=(" * 20_000,
        "password=(\n" * 20_000,
        "token: <x " * 20_000,
        "'password', " * 20_000,
        "('token', 'x" * 20_000,
        "--token " * 25_000,
        "token" + "_" * 200_000,
        "token-a." * 25_000,
        "password: x | " * 15_000,
        "password=a," * 20_000,
        "cookie: " * 25_000,
        "password=" + "\\" * 200_000,
        "password='" + "'x" * 100_000,
        "auth" * 50_000,
        "auth=" + "'\\'" * 60_000,
        "    password='x\n" * 15_000,
        '\n  File "x' * 20_000,
        "p-a-s-s-w-o-r-" * 15_000,
        "-----BEGIN PRIVATE KEY-----" * 8_000,
        "://a:" * 40_000 + "@",
        "://" + "a" * 200_000 + "@",
        "://a:" + "b" * 200_000 + "@",
    ],
    ids=lambda text: text[:12],
)
def test_no_text_takes_more_than_a_moment(text: str) -> None:
    # Each takes less than half a second here; with the square of its length it would be minutes.
    started = time.thread_time()
    redactor.text(text)
    assert time.thread_time() - started < 5


def test_a_deny_list_may_be_empty() -> None:
    assert NamedSecrets((), ()).redacted("password=x") == "password=x"


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
    assert redact_urls(text) == redacted


@given(
    before=st.text(),
    after=st.text(),
    user=st.text("abcXYZ019-_.%"),
    password=st.text("abcXYZ!$&*+,;=:%~@-_.", min_size=4).map(lambda text: f"S{text}S"),
)
def test_a_password_is_redacted_in_whatever_text_it_stands(before: str, after: str, user: str, password: str) -> None:
    text = f"{before} amqp://{user}:{password}@host {after}"
    assert f" amqp://{user}:{REDACTED}@host {after}" in redact_urls(text)


@pytest.mark.parametrize("hostile", ["://a:" * 200_000 + "@", "://" + "a" * 1_000_000 + "@", "://a:" + "b" * 1_000_000])
def test_a_hostile_text_does_not_take_long(hostile: str) -> None:
    started = time.thread_time()
    redact_urls(hostile + "@")
    assert time.thread_time() - started < 2

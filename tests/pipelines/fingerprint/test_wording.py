"""What of a message tells failures apart, and what does not."""

import time

import pytest

from celeryscope_pipelines.fingerprint.wording import template


def says(exception_type: str, message: str, code: str = "", raised: str = "", in_library: bool = False) -> str:
    return template(exception_type, message, code=code, raised=raised, in_library=in_library)


SAME = [
    # Data of all kinds
    ("E", "order 7 declined", "order ORD-2024-00017 declined"),
    ("E", "order 7 declined", "order 9bfa2eea-92ca-4ade-834d-880314217778 declined"),
    ("E", "digest a81bc2ff09 differs", "digest 0xdeadbeef differs"),
    (
        "E",
        "sha 'da39a3ee5e6b4b0d3255bfef95601890afd80709' unknown",
        "sha 'f1d2d2f924e986ac86fdf7b36c94bcdf32beec15' unknown",
    ),
    ("E", "late by 3.5s", "late by 900 ms"),
    ("E", "due 2026-11-21T20:00:00Z", "due Sat, 21 Nov 2026 20:00:00 GMT"),
    ("E", "due 2026-11-21", "due 2026-11-22 10:00:00.123+01:00"),
    ("E", "no mail to bob@example.com", "no mail to eve.o-brien+x@mail.example.org"),
    ("E", "GET https://a.example/x?id=1 failed", "GET http://b.example/ failed"),
    ("E", "host 10.0.0.1:5432 is away", "host fe80::1 is away"),
    ("E", "can't read /var/spool/7/x.csv", "can't read C:\\data\\x.csv"),
    ("E", "can't read exports/2026/x.csv", "can't read /x"),
    ("E", "no product 'Blue Widget'", 'no product "Gift card (10 EUR)"'),
    ("E", "got <Order: Order object (17)>", "got <Order: Order object (18)>"),
    ("E", "bad <shop.models.Order object at 0x7f12>", "bad <shop.models.Order object at 0x7f99>"),
    ("E", "ids [1, 2, 3] are unknown", "ids [4] are unknown"),
    ("E", "payload {'a': {'b': 1}} refused", "payload {} refused"),
    ("E", "1 item left", "3 items left"),
    ("E", "1,234.50 EUR missing", "99 USD missing"),
    # Versions of Python
    ("AttributeError", "'A' object has no attribute 'x'", "'A' object has no attribute 'x'. Did you mean: 'y'?"),
    ("NameError", "name 'sys' is not defined", "name 'sys' is not defined. Did you forget to import 'sys'?"),
    (
        "TypeError",
        "pay() missing 1 required positional argument: 'order'",
        "Shop.pay() missing 2 required positional argument: 'order'",
    ),
    (
        "UnboundLocalError",
        "local variable 'x' referenced before assignment",
        "cannot access local variable 'x' where it is not associated with a value",
    ),
    ("ZeroDivisionError", "float division by zero", "division by zero"),
    ("ValueError", "too many values to unpack (expected 2)", "too many values to unpack (expected 2, got 3)"),
    ("TypeError", "unhashable type: 'list'", "cannot use 'list' as a dict key (unhashable type: 'list')"),
    ("TypeError", "string indices must be integers", "string indices must be integers, not 'str'"),
    # Drivers and libraries
    (
        "OperationalError",
        "(psycopg2.errors.DeadlockDetected) deadlock detected",
        "(psycopg.errors.DeadlockDetected) deadlock detected",
    ),
    (
        "HTTPError",
        "502 Server Error: Bad Gateway for url: https://a/1",
        "503 Server Error: Service Unavailable for url: https://a/2",
    ),
    (
        "CalledProcessError",
        "Command '['a', '1']' returned non-zero exit status 1.",
        "Command '['b']' returned non-zero exit status 1.",
    ),
    ("ConnectionResetError", "[Errno 104] Connection reset by peer", "whatever"),
]
APART = [
    ("ValueError", "amount must be positive", "currency is unknown"),
    ("AttributeError", "'NoneType' object has no attribute 'id'", "'NoneType' object has no attribute 'name'"),
    ("AttributeError", "'NoneType' object has no attribute 'id'", "'Order' object has no attribute 'id'"),
    ("IntegrityError", 'violates unique constraint "a_key"', 'violates unique constraint "b_key"'),
    ("FieldError", "Cannot resolve keyword 'size' into field.", "Cannot resolve keyword 'price' into field."),
    ("ModuleNotFoundError", "No module named 'shop.a'", "No module named 'shop.b'"),
    (
        "TypeError",
        "unsupported operand type(s) for +: 'int' and 'str'",
        "unsupported operand type(s) for +: 'int' and 'NoneType'",
    ),
    ("HTTPError", "404 Client Error: for url: https://a/1", "401 Client Error: for url: https://a/1"),
    ("E", "gateway answered with status 402", "gateway answered with status 503"),
    (
        "CalledProcessError",
        "Command 'a' returned non-zero exit status 1.",
        "Command 'a' returned non-zero exit status 137.",
    ),
    (
        "ClientError",
        "An error occurred (SlowDown) when calling the GetObject operation: x",
        "An error occurred (AccessDenied) when calling the GetObject operation: x",
    ),
    (
        "ValidationError",
        "1 validation error for Order\nnumber\n  Field required",
        "1 validation error for Order\namount\n  Field required",
    ),
    ("E", "Refused:\n- too large", "Refused:\n- too late"),
]


@pytest.mark.parametrize(("exception_type", "one", "other"), SAME)
def test_what_differs_each_time_does_not_count(exception_type: str, one: str, other: str) -> None:
    found = says(exception_type, one, in_library=exception_type == "ConnectionResetError")
    assert found == says(exception_type, other, in_library=exception_type == "ConnectionResetError")


@pytest.mark.parametrize(("exception_type", "one", "other"), APART)
def test_what_the_program_says_counts(exception_type: str, one: str, other: str) -> None:
    assert says(exception_type, one) != says(exception_type, other)


@pytest.mark.parametrize(
    "messages",
    [
        (
            'could not connect to server: Connection refused\n\tIs the server running on host "db" (10.0.0.1)?',
            'connection to server at "db" (10.0.0.1), port 5432 failed: Connection refused',
            "(2003, \"Can't connect to MySQL server on 'db' ([Errno 111] Connection refused)\")",
        ),
        (
            "server closed the connection unexpectedly",
            "(2006, 'MySQL server has gone away')",
            "SSL connection has been closed unexpectedly",
            "connection already closed",
        ),
    ],
)
def test_drivers_words_for_a_connection_are_one(messages: tuple[str, ...]) -> None:
    found = {says("OperationalError", message, in_library=True) for message in messages}
    assert len(found) == 1
    assert found != {says("OperationalError", "deadlock detected", in_library=True)}


@pytest.mark.parametrize(
    "text",
    [
        "{} Client Error: for url: https://a/1",
        "Client error '{} Not so' for url 'https://a/1'",
        "{}, message='Not so', url=URL('https://a/1')",
        "HTTP Error {}: Not so",
        "gateway answered with status code {}",
        "HTTP {}",
    ],
)
def test_an_http_status_counts(text: str) -> None:
    assert len({says("E", text.format(status)) for status in (401, 404, 500, 503)}) == 4
    assert says("E", text.format(502)) == says("E", text.format(504))


def test_a_class_in_a_message_counts() -> None:
    assert says("E", "no handler for <class 'shop.A'>") != says("E", "no handler for <class 'shop.B'>")


def test_a_quoted_text_counts_when_the_source_has_it() -> None:
    assert says("KeyError", "'sku'", code="return row['sku']") == "'sku'"
    assert says("KeyError", "'sku'", code="return row[name]") == says("KeyError", "'colour'", code="return row[name]")
    assert says("E", "no 'email' given", code='require(order, "email")') == "no 'email' given"


def test_without_source_a_key_counts_that_looks_like_a_name() -> None:
    assert says("KeyError", "'customer_id'") == "'customer_id'"
    assert says("KeyError", "'a7f3'") == says("KeyError", "4711") == "<*>"


@pytest.mark.parametrize(
    "raised",
    [
        'raise Unknown(f"no product {name} in stock")',
        'raise Unknown("no product %s in stock" % name)',
        'raise shop.Unknown("no product {} in stock".format(name))',
        "raise Unknown( f'no product {name} in stock' )",
    ],
)
def test_what_the_line_that_raised_it_puts_into_a_message_does_not_count(raised: str) -> None:
    message = "no product Blue Widget in stock"
    assert says("Unknown", message, raised=raised) == "no product <*> in stock"
    assert says("Unknown", message) == message


def test_another_errors_sentence_and_a_types_name_in_a_message_count() -> None:
    raised = 'raise Failed(f"{type(self).__name__} failed: {error}")'
    assert says("Failed", "Zoho failed: no route to host", raised=raised) == "Zoho failed: no route to host"


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (
            'raise E(f"gateway answered with status {answer.status} for {order}")',
            "gateway answered with status {} for 7",
        ),
        ('raise E("HTTP %d for %s" % (status, url))', "HTTP {} for /x"),
        ('raise E(f"{status} Client Error for {url}")', "{} Client Error for /x"),
        ('raise E(f"converter ended, exit code {code}")', "converter ended, exit code {}"),
    ],
)
def test_a_status_counts_that_the_line_that_raised_it_puts_in(raised: str, message: str) -> None:
    assert len({says("E", message.format(status), raised=raised) for status in (137, 404, 500)}) == 3


def test_a_line_that_raised_another_message_is_left_aside() -> None:
    assert says("E", "order 7 declined", raised='raise E(f"refused {order}")') == "order <*> declined"


@pytest.mark.parametrize("part", ["a/", "{a} ", "'", "a1-", "<a ", "1:", "a@", "(", "%s{x}", "aaaa:", "::", "a.1"])
def test_a_long_message_takes_milliseconds(part: str) -> None:
    text = part * (100_000 // len(part))
    raised = f'raise E(f"{part.replace(chr(39), "x") * 60}")'
    begun = time.thread_time()
    says("E", text, code=text[:500], raised=raised)
    assert time.thread_time() - begun < 0.2

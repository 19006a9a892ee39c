"""What goes wrong inside of tasks, as Python tells it: type, message with changing parts, traceback."""

import random
from dataclasses import dataclass

from celeryscope import semconv

_HEAD = """\
Traceback (most recent call last):
  File "/srv/app/.venv/lib/python3.12/site-packages/celery/app/trace.py", line 453, in trace_task
    R = retval = fun(*args, **kwargs)
  File "/srv/app/.venv/lib/python3.12/site-packages/celery/app/trace.py", line 736, in __protected_call__
    return self.run(*args, **kwargs)
"""


@dataclass(frozen=True)
class Kind:
    """One bug or outage; ``{n}`` and ``{h}`` in the message are a number and an id."""

    type: str
    message: str
    module: str
    function: str
    source: str


KINDS = {
    "key_error": Kind("KeyError", "'sku_{n}'", "pricing", "price_of", "return self.prices[sku]"),
    "attribute_error": Kind(
        "AttributeError",
        "'NoneType' object has no attribute 'currency'",
        "invoices",
        "total",
        "return order.customer.currency",
    ),
    "type_error": Kind(
        "TypeError",
        "unsupported operand type(s) for +: 'int' and 'str'",
        "totals",
        "add_up",
        "total = total + line.amount",
    ),
    "validation": Kind(
        "app.errors.ValidationError", "address of customer {n} has no postcode", "checks", "check", "raise found"
    ),
    "card_declined": Kind(
        "app.errors.CardDeclined", "card of order {n} was declined by the bank", "cards", "charge", "raise declined"
    ),
    "timeout": Kind(
        "TimeoutError", "no answer from {upstream} within 30 s (request {h})", "client", "call", "answer = self.read()"
    ),
    "refused": Kind(
        "ConnectionRefusedError",
        "[Errno 111] Connection refused: {upstream}:443",
        "client",
        "call",
        "connection = self.connect()",
    ),
    "unavailable": Kind(
        "app.errors.UpstreamError",
        "503 Service Unavailable from {upstream}, request {h}",
        "client",
        "call",
        "answer.raise_for_status()",
    ),
    "unparseable": Kind(
        "json.decoder.JSONDecodeError",
        "Expecting value: line 1 column {n} (char 0)",
        "messages",
        "parse",
        "return json.loads(text)",
    ),
    "integrity": Kind(
        "app.errors.IntegrityError",
        'duplicate key value violates unique constraint "orders_pkey": {n}',
        "storage",
        "insert",
        "cursor.execute(statement)",
    ),
    "deadlock_detected": Kind(
        "app.errors.OperationalError",
        "deadlock detected: process {n} waits",
        "storage",
        "update",
        "cursor.execute(sql)",
    ),
    "rate_limited": Kind(
        "app.errors.RateLimited", "429 Too Many Requests from {upstream}", "client", "call", "raise limited"
    ),
}


def attributes(kind: str, task: str, chance: random.Random, upstream: str = "") -> dict[str, str]:
    """The ``exception.*`` attributes of one such error in a task."""
    found = KINDS[kind]
    message = found.message.format(
        n=chance.randrange(100, 99_999), h=f"{chance.getrandbits(64):016x}", upstream=upstream or "upstream"
    )
    package, _, function = task.rpartition(".")
    package = package.replace(".", "/") or "app"
    frames = (
        f'  File "/srv/app/{package}/tasks.py", line {40 + len(function)}, in {function}\n'
        f"    return run_{function}(*args)\n"
        f'  File "/srv/app/{package}/{found.module}.py", line {80 + len(found.function)}, in {found.function}\n'
        f"    {found.source}\n"
    )
    return {
        semconv.EXCEPTION_TYPE: found.type,
        semconv.EXCEPTION_MESSAGE: message,
        semconv.EXCEPTION_STACKTRACE: f"{_HEAD}{frames}{found.type}: {message}\n",
    }

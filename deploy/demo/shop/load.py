"""Publishes the demo's load: `python -m shop.load [--tasks 500] [--seed 7]`; prints what must become of it as JSON.

The same seed gives the same orders in the same sequence; only the ids are new each time. A worker must be running,
because a revocation is confirmed by it before the revoked task is published.
"""

import random
from collections.abc import Callable, Iterator

import click
from celery import chain, uuid
from celery.result import AsyncResult

from shop import maintenance, notifications, orders, reports, shipping
from shop.celery_app import app
from shop.expected import Attempts, Expected, Failure, dumps
from shop.orders import Order
from shop.payments import process_payment

_VALIDATE = "shop.orders.validate_order"
_PAY = "shop.payments.process_payment"
_SHIP = "shop.shipping.ship_order"
_CAUSED = "The above exception was the direct cause of the following exception:"

Scenario = Callable[[random.Random], Expected]


def publish(tasks: int, seed: int) -> Iterator[Expected]:
    """Publish about `tasks` tasks (at least one workflow of each scenario) and tell what must become of each."""
    dice = random.Random(seed)
    # The slow ones go first, so that their waiting falls together with the work of all others.
    published = 0
    for scenario in _ENDING_LATE:
        expected = scenario(dice)
        published += _size(expected)
        yield expected
    rest = [*_ENDING_SOON]
    dice.shuffle(rest)
    while published < tasks or rest:
        scenario = rest.pop() if (rest and dice.random() < 0.3) or published >= tasks else dice.choice(_FINE)
        expected = scenario(dice)
        published += _size(expected)
        yield expected


def _size(expected: Expected) -> int:
    return sum(attempts.count for attempts in expected.attempts if attempts.retries == 0)


def _order(dice: random.Random, card: str = "card-fine") -> Order:
    return Order(
        number=dice.randrange(10_000, 99_999),
        customer=dice.choice(["ada", "grace", "linus", "margaret", "tim"]),
        items=[dice.choice(["book", "lamp", "chair", "desk"]) for _ in range(dice.randint(1, 4))],
        card=card,
        total=dice.randrange(500, 50_000),
    )


def _first_id(result: AsyncResult) -> str:
    while result.parent:
        result = result.parent
    return str(result.id)


def _chain(order: Order) -> str:
    steps = chain(orders.validate_order.s(order), process_payment.s(), shipping.ship_order.s())
    return _first_id(steps.apply_async())


def _order_is_shipped(dice: random.Random) -> Expected:
    steps = [Attempts(name, "SUCCESS") for name in (_VALIDATE, _PAY, _SHIP)]
    return Expected("an order is shipped", _chain(_order(dice)), steps)


def _chain_nested_in_a_task(dice: random.Random) -> Expected:
    result = orders.place_order.delay(_order(dice))
    steps = [Attempts(name, "SUCCESS") for name in ("shop.orders.place_order", _VALIDATE, _PAY, _SHIP)]
    return Expected("a chain nested in a task", result.id, steps)


def _wave_of_parcels(dice: random.Random) -> Expected:
    weights = [dice.randrange(100, 5_000) for _ in range(dice.randint(3, 8))]
    result = shipping.ship_wave.delay(weights)
    attempts = [
        Attempts("shop.shipping.ship_wave", "SUCCESS"),
        Attempts("shop.shipping.ship_parcel", "SUCCESS", count=len(weights)),
        Attempts("shop.shipping.sum_up", "SUCCESS"),
    ]
    return Expected("a group with a chord", result.id, attempts)


def _receipt(dice: random.Random) -> Expected:
    result = notifications.send_receipt.delay(_order(dice)["customer"])
    return Expected("a receipt is sent", result.id, [Attempts("shop.notifications.send_receipt", "SUCCESS")])


def _logging(dice: random.Random) -> Expected:
    result = reports.explain_stock.delay(_order(dice)["items"][0])
    return Expected("structlog and stdlib logging", result.id, [Attempts("shop.reports.explain_stock", "SUCCESS")])


def _payment_fails(scenario: str, order: Order, message: str, cause: str) -> Expected:
    failure = Failure(
        _PAY, "shop.gateway.PaymentError", message, [cause, _CAUSED, f"shop.gateway.PaymentError: {message}"]
    )
    attempts = [Attempts(_VALIDATE, "SUCCESS"), Attempts(_PAY, "FAILURE")]
    return Expected(scenario, _chain(order), attempts, failure, never_reached=[_SHIP])


def _card_declined(dice: random.Random) -> Expected:
    order = _order(dice, "card-declined")
    message = f"the card was declined for {order['total']} cents"
    return _payment_fails("a chain that stops", order, message, "PermissionError: 402 insufficient funds")


def _provider_unreachable(dice: random.Random) -> Expected:
    order = _order(dice, "card-unreachable")
    message = "the payment provider cannot be reached"
    cause = "ConnectionError: connection to pay.example:443 refused"
    return _payment_fails("an exception from another", order, message, cause)


def _invalid_order(dice: random.Random) -> Expected:
    order = _order(dice)
    order["items"] = []
    message = f"order {order['number']} has no items"
    failure = Failure(
        _VALIDATE, "shop.orders.InvalidOrderError", message, [f"shop.orders.InvalidOrderError: {message}"]
    )
    attempts = [Attempts(_VALIDATE, "FAILURE")]
    return Expected("a first step that fails", _chain(order), attempts, failure, never_reached=[_PAY, _SHIP])


def _several_at_once(dice: random.Random) -> Expected:
    day = dice.choice(["tuesday", "friday"])
    name = "shop.reports.daily_report"
    message = "2 of 3 sections failed (2 sub-exceptions)"
    members = ["ZeroDivisionError: integer division or modulo by zero", f"KeyError: '{day}'"]
    failure = Failure(name, "ExceptionGroup", message, [f"ExceptionGroup: {message}", *members])
    return Expected("an ExceptionGroup", reports.daily_report.delay(day).id, [Attempts(name, "FAILURE")], failure)


def _third_attempt_succeeds(dice: random.Random) -> Expected:
    result = notifications.notify_customer.delay(_order(dice)["customer"])
    attempts = [
        Attempts("shop.notifications.notify_customer", state, retries)
        for retries, state in enumerate(["RETRY", "RETRY", "SUCCESS"])
    ]
    return Expected("a flaky task", result.id, attempts)


def _never_succeeds(dice: random.Random) -> Expected:
    warehouse = dice.choice(["north", "south"])
    name = "shop.notifications.notify_warehouse"
    attempts = [Attempts(name, state, retries) for retries, state in enumerate(["RETRY", "RETRY", "FAILURE"])]
    message = f"451 mailbox of {warehouse} is busy"
    kind = "shop.notifications.MailServerBusyError"
    failure = Failure(name, kind, message, [f"{kind}: {message}"])
    return Expected("retries used up", notifications.notify_warehouse.delay(warehouse).id, attempts, failure)


def _killed(_dice: random.Random) -> Expected:
    name = "shop.maintenance.compact_archive"
    failure = Failure(name, "billiard.exceptions.WorkerLostError", "signal 9 (SIGKILL)")
    return Expected("killed in mid-run", maintenance.compact_archive.delay().id, [Attempts(name, "LOST")], failure)


def _hard_limit(_dice: random.Random) -> Expected:
    name = "shop.maintenance.rebuild_search"
    failure = Failure(name, "billiard.exceptions.TimeLimitExceeded", "TimeLimitExceeded(1,)")
    result = maintenance.rebuild_search.delay()
    return Expected("over the hard time limit", result.id, [Attempts(name, "FAILURE")], failure)


def _soft_limit(_dice: random.Random) -> Expected:
    name = "shop.maintenance.export_orders"
    failure = Failure(name, "billiard.exceptions.SoftTimeLimitExceeded", "SoftTimeLimitExceeded()", ["time.sleep(15)"])
    result = maintenance.export_orders.delay()
    return Expected("over the soft time limit", result.id, [Attempts(name, "FAILURE")], failure)


def _revoked(_dice: random.Random) -> Expected:
    task_id = uuid()
    # A revocation that a worker has confirmed before the task exists cannot come too late. It is asked for again,
    # because a worker that is just being restarted does not hear it.
    if not any(app.control.revoke(task_id, reply=True, timeout=2, limit=1) for _ in range(10)):
        raise click.ClickException("no worker confirmed the revocation; is one running?")
    maintenance.delete_old_orders.apply_async(task_id=task_id)
    return Expected("revoked before it starts", task_id, [Attempts("shop.maintenance.delete_old_orders", "REVOKED")])


def _unregistered(_dice: random.Random) -> Expected:
    name = "shop.loyalty.add_points"
    return Expected("an unregistered task", app.send_task(name, args=[12]).id, [Attempts(name, "UNKNOWN")])


_ENDING_LATE: list[Scenario] = [
    _killed,
    _hard_limit,
    _soft_limit,
    _never_succeeds,
    _third_attempt_succeeds,
    _third_attempt_succeeds,
    _never_succeeds,
]
_ENDING_SOON: list[Scenario] = [
    *[_card_declined] * 4,
    *[_provider_unreachable] * 3,
    *[_invalid_order] * 2,
    *[_several_at_once] * 2,
    *[_logging] * 3,
    *[_chain_nested_in_a_task] * 2,
    *[_wave_of_parcels] * 2,
    *[_revoked] * 2,
    *[_unregistered] * 2,
]
_FINE: list[Scenario] = [
    *[_order_is_shipped] * 6,
    *[_receipt] * 4,
    *[_chain_nested_in_a_task] * 2,
    _wave_of_parcels,
    _logging,
]


@click.command()
@click.option("--tasks", default=500, show_default=True, type=click.IntRange(1), help="About how many tasks.")
@click.option("--seed", default=7, show_default=True, help="The same seed gives the same orders.")
def main(tasks: int, seed: int) -> None:
    """Publish the demo's load to the shop's broker and print what must become of it (JSON)."""
    click.echo(dumps(publish(tasks, seed)))


if __name__ == "__main__":
    main()

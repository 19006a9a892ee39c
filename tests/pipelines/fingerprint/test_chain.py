"""Which exception of a chain makes the failure, and where: what wraps it, and where it came by, does not count."""

from celeryscope import semconv
from celeryscope_pipelines.fingerprint import Fingerprint, fingerprint_of

SITE = "/usr/local/lib/python3.11/site-packages"
APP = "/app/shop"
HEADER = "Traceback (most recent call last):\n"
FROM = "\nThe above exception was the direct cause of the following exception:\n\n"
DURING = "\nDuring handling of the above exception, another exception occurred:\n\n"


def frame(path: str, name: str, source: str = "call()") -> str:
    return f'  File "{path}", line 7, in {name}\n    {source}\n'


def block(exception: str, *frames: str) -> str:
    return f"{HEADER}{''.join(frames)}{exception}\n"


def of(text: str, kind: str = "exception", exception_type: str = "", message: str = "", task: str = "t") -> Fingerprint:
    return fingerprint_of(kind=kind, task=task, exception_type=exception_type, message=message, stacktrace=text)


TRACER = frame(f"{SITE}/celery/app/trace.py", "trace_task")
PAY = frame(f"{APP}/tasks.py", "pay", "charge(order)")
FETCH = frame(f"{APP}/gateway.py", "fetch", "requests.get(url)")
REQUESTS = frame(f"{SITE}/requests/adapters.py", "send", "raise ConnectionError(e)")
REFUSED = block(
    "requests.exceptions.ConnectionError: refused", TRACER, PAY, frame(f"{APP}/gateway.py", "fetch"), REQUESTS
)
RAISE = frame(f"{APP}/tasks.py", "pay", 'raise PaymentFailed("no") from error')


def test_what_is_raised_from_a_failure_is_that_failure() -> None:
    assert of(REFUSED + FROM + block("shop.errors.PaymentFailed: no", TRACER, RAISE)).key == of(REFUSED).key


def test_what_an_except_clause_raises_on_purpose_is_the_failure_it_handles() -> None:
    handled = block("requests.exceptions.ConnectionError: refused", PAY, FETCH, REQUESTS)
    on_purpose = block("shop.errors.PaymentFailed: no", TRACER, frame(f"{APP}/tasks.py", "pay", "raise PaymentFailed"))
    assert of(handled + DURING + on_purpose).key == of(REFUSED).key


def test_what_goes_wrong_while_another_is_handled_is_a_failure_of_its_own() -> None:
    handled = block("requests.exceptions.ConnectionError: refused", PAY, FETCH, REQUESTS)
    wrong = block("NameError: name 'lgo' is not defined", TRACER, frame(f"{APP}/tasks.py", "pay", "lgo.error(1)"))
    deeper = block("KeyError: 'x'", PAY, frame(f"{APP}/report.py", "tell", 'raise KeyError("x")'))
    assert of(handled + DURING + wrong).key == of(wrong).key
    assert of(handled + DURING + deeper).key == of(deeper).key


def test_a_librarys_inner_exceptions_do_not_count() -> None:
    inner = block("psycopg2.errors.UniqueViolation: duplicate", frame(f"{SITE}/sqlalchemy/engine/base.py", "_execute"))
    outer = block("sqlalchemy.exc.IntegrityError: (psycopg2.errors.UniqueViolation) duplicate", PAY, REQUESTS)
    assert of(inner + FROM + outer).key == of(outer).key
    assert of(inner + FROM + outer).root_type == "psycopg2.errors.UniqueViolation"


def test_a_retry_that_gave_up_is_the_failure_it_tried_again() -> None:
    gave_up = block("tenacity.RetryError: RetryError[<Future at 0x7f state=finished>]", PAY, REQUESTS)
    retried = block(
        "celery.exceptions.MaxRetriesExceededError: Can't retry shop.pay[17]",
        PAY,
        frame(f"{SITE}/celery/app/task.py", "retry", "raise self.MaxRetriesExceededError("),
    )
    handled = block("requests.exceptions.ConnectionError: refused", PAY, FETCH, REQUESTS)
    assert of(handled + FROM + gave_up).key == of(handled + DURING + retried).key == of(REFUSED).key


def test_the_last_exception_counts_where_none_before_it_is_the_applications() -> None:
    inner = block("OSError: inner", frame(f"{SITE}/a.py", "a"))
    outer = block("shop.errors.PaymentFailed: no", TRACER, PAY)
    assert of(inner + FROM + outer).key == of(outer).key


def test_lambdas_and_comprehensions_are_at_the_place_of_the_function_around_them() -> None:
    plain = of(block("ValueError: x", PAY))
    for name in ("<lambda>", "<genexpr>", "<listcomp>"):
        assert of(block("ValueError: x", PAY, frame(f"{APP}/tasks.py", name))).key == plain.key


def test_a_decorator_around_a_function_does_not_count_and_one_that_fails_itself_fails_for_its_function() -> None:
    wrapper = frame(f"{APP}/again.py", "wrapper", "return function(*args)")
    assert of(block("ValueError: x", PAY, wrapper, FETCH)).key == of(block("ValueError: x", PAY, FETCH)).key
    failed = [of(block("shop.GaveUp: x", caller, wrapper)).key for caller in (PAY, FETCH)]
    assert failed[0] != failed[1]


def test_a_type_is_known_by_its_own_name_wherever_it_is_defined_today() -> None:
    texts = (f"{module}JSONDecodeError: x" for module in ("", "json.decoder.", "requests.exceptions.", "simplejson."))
    assert len({of(block(text, PAY)).key for text in texts}) == 1
    assert of(block("socket.timeout: x", PAY)).key == of(block("TimeoutError: x", PAY)).key
    assert of(block("csv.Error: x", PAY)).key != of(block("binascii.Error: x", PAY)).key
    made = ("Shard7Error", "Shard12Error", "Shard48151Error", "Shard9f8a7cError")
    assert len({of(block(f"shop.{name}: x", PAY)).key for name in made}) == 1
    assert of(block("shop.Http404: x", PAY)).key != of(block("shop.Http403: x", PAY)).key


def test_kinds_are_known_by_their_types_too_and_a_soft_limit_whatever_it_led_to() -> None:
    soft = of("", kind=semconv.KIND_SOFT_TIME_LIMIT).key
    limit = block("billiard.exceptions.SoftTimeLimitExceeded: SoftTimeLimitExceeded()", PAY)
    wrapped = limit + FROM + block("shop.errors.PaymentFailed: no", TRACER, RAISE)
    assert of(limit).key == of(wrapped).key == of(limit.replace("pay", "other")).key == soft


def test_a_worker_that_was_killed_is_another_failure_than_one_that_crashed() -> None:
    killed, again, crashed = (
        of("", kind=semconv.KIND_WORKER_LOST, message=f"Worker exited prematurely: signal {signal} Job: {job}.").key
        for signal, job in (("9 (SIGKILL)", 1), ("9 (SIGKILL)", 2), ("11 (SIGSEGV)", 3))
    )
    assert killed == again != crashed


def test_a_network_failure_is_the_same_with_the_librarys_frames_cut_off() -> None:
    cut = HEADER + TRACER + PAY + FETCH
    assert of(cut, exception_type="requests.exceptions.ConnectionError", message="refused").key == of(REFUSED).key
    own = block(
        "ConnectionError: gateway refuses", PAY, frame(f"{APP}/gateway.py", "fetch", "raise ConnectionError(x)")
    )
    other = own.replace("refuses", "is closed")
    assert len({of(own).key, of(other).key, of(REFUSED).key}) == 3


def test_no_traceback_at_all_is_as_if_there_were_none() -> None:
    assert of("NoneType: None\n", exception_type="E", message="x") == of("", exception_type="E", message="x")


def test_a_quoted_name_that_the_source_has_stands_in_the_title() -> None:
    environ = block("KeyError: 'STRIPE_KEY'", PAY, frame(f"{APP}/gateway.py", "key", "os.environ['STRIPE_KEY']"))
    assert of(environ).title == "KeyError in key: 'STRIPE_KEY'"


def test_a_failure_in_another_process_of_a_pool_is_the_failure_there() -> None:
    there = block("ValueError: x", frame("/usr/lib/python3.11/concurrent/futures/process.py", "run"), FETCH)
    remote = f'concurrent.futures.process._RemoteTraceback: \n"""\n{there}"""\n'
    here = block("ValueError: x", TRACER, PAY, frame("/usr/lib/python3.11/concurrent/futures/_base.py", "result"))
    assert of(remote + FROM + here).key == of(there).key


def test_a_long_message_of_the_applications_own_is_found_whatever_its_function_is_called() -> None:
    said = "amount of order 7 must be positive, got 0"
    source = 'raise ValueError(f"amount of order {order} must be positive, got {amount}")'
    one, other, elsewhere = (
        of(block(f"ValueError: {said}", PAY, frame(path, name, source))).key
        for path, name in ((f"{APP}/orders.py", "f"), (f"{APP}/orders.py", "g"), (f"{APP}/refunds.py", "f"))
    )
    assert one == other != elsewhere
    short = [
        of(block("ValueError: no", PAY, frame(f"{APP}/a.py", name, 'raise ValueError("no")'))).key for name in "fg"
    ]
    assert short[0] != short[1]


def test_other_releases_pools_and_libraries_are_the_same_failure() -> None:
    other_way = block(
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='a', port=443): Max retries exceeded",
        frame("/usr/lib/python3.9/site-packages/gevent/pool.py", "run"),
        frame("C:\\releases\\9\\shop\\views.py", "handle"),
        frame("C:\\releases\\9\\shop\\gateway.py", "fetch", "session.get(url, timeout=3)"),
        frame(f"{SITE}/requests/sessions.py", "request"),
    )
    assert of(other_way, task="other").key == of(REFUSED).key
    assert of(other_way, task="other").exact_key != of(REFUSED).exact_key

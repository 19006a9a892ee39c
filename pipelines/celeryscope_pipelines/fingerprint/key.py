"""The fingerprint, version 2: what makes two failures the same.

The key of a failure's cluster is made of

- the exception that made the failure: the first one of the chain that led to the last and that was raised in or below
  the application's code (``chain.culpable``). What wraps it, and how often it was tried again, does not count;
- its type, by its own name: libraries move their types from module to module;
- the place where the application raised it, or called the library that did: module and function, never a line. How the
  program came there does not count;
- what its message says, without what differs each time (``wording.template``);
- of a group, the set of its distinct members, each by the same.

Without a frame of the application the task's name stands for the place. Lost workers, terminations, unregistered tasks
and time limits are keyed by kind and task (a lost worker by its signal, too), and so is a soft limit that led to
another exception: which line a limit strikes is chance.

Beside it are a finer key, ``exact_key``, which tells call paths apart, and a coarser one, which leaves the message out.
"""

import re
from typing import Final, NamedTuple

from celeryscope import semconv
from celeryscope_pipelines.fingerprint.message import one_line
from celeryscope_pipelines.fingerprint.places import place
from celeryscope_pipelines.fingerprint.rules import NO_RULES, FailureRules, Rule, filled
from celeryscope_pipelines.fingerprint.stack import RETRY, Stack, digest, own_name, read
from celeryscope_pipelines.fingerprint.title import short_type, shortened, title

VERSION: Final = 2
_KINDS_OF_TYPES: Final = {
    "WorkerLostError": semconv.KIND_WORKER_LOST,
    "TimeLimitExceeded": semconv.KIND_TIME_LIMIT,
    "SoftTimeLimitExceeded": semconv.KIND_SOFT_TIME_LIMIT,
    "Terminated": semconv.KIND_TERMINATED,
    "NotRegistered": semconv.KIND_UNREGISTERED,
}
_BY_KIND: Final = frozenset({semconv.KIND_OUT_OF_MEMORY, *_KINDS_OF_TYPES.values()})
_SIGNAL: Final = re.compile(r"\bSIG[A-Z]+\b")


class Fingerprint(NamedTuple):
    """A failure's place among the clusters, and what a person is told of it.

    Keys are 32 hexadecimal digits, the title one line of at most 200 characters. The culprit is the application's frame
    in which the exception was raised, ``module in function``, else the task; its file and line (from 1; empty and 0
    when there is none) never enter a key. The root is the first exception of the chain, without a chain the exception
    itself; its message is one line, as it was written.
    """

    key: str
    """That of the cluster."""
    coarse_key: str
    """Of all clusters of the same type and place, whatever their messages say."""
    exact_key: str
    """Of the cluster's failures that came the same way."""
    title: str
    culprit: str
    culprit_file: str = ""
    culprit_line: int = 0
    root_type: str = ""
    root_message: str = ""
    root_culprit: str = ""


class _Keys(NamedTuple):
    key: str
    coarse_key: str
    by_kind: bool


def fingerprint_of(
    *,
    kind: str,
    task: str,
    exception_type: str,
    message: str,
    stacktrace: str,
    override: str = "",
    rules: FailureRules = NO_RULES,
) -> Fingerprint:
    """The fingerprint of a failure of ``kind`` (``celery.failure_kind``); any of the texts may be empty.

    ``override`` is the key that the task or the exception itself gives; a rule's goes before it. Both may hold
    ``rules.FIELDS`` in braces.
    """
    stack = read(stacktrace, task.partition(".")[0], rules.in_app)
    kept = exception_type if exception_type != RETRY else ""
    named, said = kept or stack.last.type or exception_type, message or stack.last.message
    keys = _keys(stack, kind, task, named, said)
    found = None if keys.by_kind else stack.culprit
    where = task if found is None else place(found)
    raised = stack.made.raised if stack.made_last else ""
    computed = Fingerprint(
        key=keys.key,
        coarse_key=keys.coarse_key,
        exact_key=digest("exact", keys.key, *stack.way),
        title=title(named, task.rpartition(".")[2] if found is None else found.name, said, stack.made.code, raised),
        culprit=where,
        culprit_file="" if stack.culprit is None else stack.culprit.path,
        culprit_line=0 if stack.culprit is None else stack.culprit.line,
        root_type=stack.root.type or named,
        root_message=one_line(said if stack.root is stack.last else stack.root.message),
        root_culprit=where if stack.root_culprit is None else place(stack.root_culprit),
    )
    own = _given(computed, None, override, task, named) if override else computed
    rule = rules.rule_for(own.key, task, (named, said), stack.chain) if rules.rules else None
    return _given(computed, rule, override, task, named) if rule else own


def _keys(stack: Stack, kind: str, task: str, named: str, said: str) -> _Keys:
    made, last = stack.made, own_name(named)
    own = stack.made_last and (not made.type or made.type == last)
    exception_type, message = (last, said) if own else (made.type, made.message)
    if kind not in _BY_KIND:
        kind = _KINDS_OF_TYPES.get(exception_type, kind)
    if kind in _BY_KIND:
        signal = _SIGNAL.findall(said)[:1] if kind == semconv.KIND_WORKER_LOST else []
        key = digest("kind", kind, task, *signal)
        return _Keys(key, key, by_kind=True)
    whose = (f"task {task}", f"kind {kind}")
    says = made.says(exception_type, message)
    key = digest("cluster", exception_type, *(made.where(says) or whose), f"says {says}", *made.members)
    return _Keys(key, digest("coarse", exception_type, *(made.places or whose)), by_kind=False)


def _given(computed: Fingerprint, rule: Rule | None, override: str, task: str, exception_type: str) -> Fingerprint:
    """The fingerprint with the key that a rule or the program gives, which is the same for all who give it."""
    fields = {"way": computed.exact_key, "task": task, "type": short_type(exception_type), "culprit": computed.culprit}
    key = digest("given", filled(rule.key if rule else override, default=computed.key, **fields))
    named = filled(rule.title, default=computed.title, **fields) if rule and rule.title else computed.title
    exact_key = digest("exact", key, computed.exact_key)
    return computed._replace(key=key, coarse_key=key, exact_key=exact_key, title=shortened(one_line(named)))

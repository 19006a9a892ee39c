"""The watcher itself: evaluates what is due, keeps alerts, records their changes, tells people."""

import logging
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from elasticsearch import Elasticsearch

from celeryscope import semconv
from celeryscope.errors import Rejected, TooSlow, Unavailable
from celeryscope.service.elasticsearch import our_errors
from celeryscope.service.kibana_views import Kibana
from celeryscope.service.rules.adjusting import ActiveRule, Adjustments, activate
from celeryscope.service.rules.reading import read_rules
from celeryscope_pipelines.watcher import metrics
from celeryscope_pipelines.watcher.alerts import Alert, Alerts, Change, advance, causes_first
from celeryscope_pipelines.watcher.evaluation import evaluate
from celeryscope_pipelines.watcher.history import document
from celeryscope_pipelines.watcher.incidents import Pace, Targeting, announce
from celeryscope_pipelines.watcher.messages import Message, link_of, messages_of
from celeryscope_pipelines.watcher.notifying import Notifier, postponed
from celeryscope_pipelines.watcher.silences import Silence, silencer_of
from celeryscope_pipelines.watcher.state import State
from celeryscope_pipelines.watcher.store import Document, Silences

logger = logging.getLogger(__name__)

_NO_INDEX: Final = "Unknown index"
_REST: Final = 10
"""Times as long as its evaluation took, a rule is not evaluated again: it burdens Elasticsearch a tenth of the time."""
PACE = Pace(again=timedelta(hours=4), joined=timedelta(minutes=5))


class Watcher:
    """Evaluates rules as of the times that it is told; ``name`` tells watchers of the same index apart.

    Without ``rules`` these are the shipped ones. What happens is written down before it is done: the alerts with their
    changes and messages first, in one document, then the history, then each message is sent. So whatever dies on the
    way, the next turn goes on with it: no message is lost, and one that was sent in the last moment is sent twice.

    A rule that is not answered within ``rule_timeout`` seconds (else the client's) is passed over. ``clock`` is a
    monotonic time in seconds; it only measures how long an evaluation takes.
    """

    def __init__(
        self,
        client: Elasticsearch,
        rules: Iterable[ActiveRule] | None = None,
        name: str = "default",
        *,
        adjustments: Adjustments | None = None,
        notifier: Notifier | None = None,
        pace: Pace = PACE,
        kibana: Kibana | None = None,
        rule_timeout: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._asked = client.options(request_timeout=rule_timeout) if rule_timeout else client
        self._clock = clock
        self._rules = causes_first(activate(read_rules()) if rules is None else rules)
        self._by_id = {rule.rule.id: rule.rule for rule in self._rules}
        self._adjustments = adjustments or Adjustments()
        self._notifier = notifier or Notifier({})
        self._targeting = Targeting(self._adjustments.routes, self._notifier.names)
        self._pace = pace
        self._kibana = kibana
        self._silences = Silences(client)
        self._document = Document(client, "state", f"state/{name}")
        self._state: State | None = None
        self._due: dict[str, datetime] = {}
        self._refused: set[str] = set()
        self._slow: set[str] = set()
        self._stretched: set[str] = set()

    def tick(self, now: datetime, keep: Callable[[], None] = lambda: None) -> list[Change]:
        """Evaluate all rules that are due at ``now``; what changed is recorded in ``celery-alerts`` and returned.

        ``keep`` is called again and again: it keeps the lease, and raises when that is lost or Elasticsearch is away.
        Raises Outdated when another watcher is at work, Unavailable or Unauthorized; what was not done then is done
        with the next turn.
        """
        try:
            return self._turn(now, keep)
        except BaseException:
            # Whatever is in the index now is what counts; what was found and is not there is found again.
            self.forget()
            raise

    def forget(self) -> None:
        """Read the state anew with the next turn: somebody else may have been active meanwhile."""
        self._state = None
        self._due.clear()

    def _turn(self, now: datetime, keep: Callable[[], None]) -> list[Change]:
        if self._state is None:
            self._state = State.from_dict(self._document.read() or {})
        state = self._state
        silences = self._silences.all(now)
        alerts, changes = self._evaluate(state.alerts, now, keep)
        different = alerts != state.alerts
        state.alerts = alerts
        for change in changes:
            rule, silencer = self._by_id[change.alert.rule], self._silencer(change.alert, silences, now)
            identity, body = document(change, rule, silencer, link_of(change.alert, rule, self._kibana))
            state.history[identity] = body
        told = self._announce(state, silences, now)
        if different or changes or told:
            self._save(state, now)
        self._record(state, now)
        self._send(state, now, keep)
        metrics.tell(state.alerts.values(), len(state.messages), now)
        return changes

    def _evaluate(self, alerts: Alerts, now: datetime, keep: Callable[[], None]) -> tuple[Alerts, list[Change]]:
        changes: list[Change] = []
        # A rule that was switched off, or renamed, leaves no alert behind.
        alerts = {name: alert for name, alert in alerts.items() if alert.rule in self._by_id}
        for rule in self._rules:
            if now < self._due.get(rule.rule.id, now):
                continue
            keep()
            begun = self._clock()
            try:
                with metrics.evaluation_seconds.labels(rule.rule.id).time():
                    findings = evaluate(self._asked, rule, now)
            except Rejected as error:
                self._refuse(rule.rule.id, error)
                continue
            except Unavailable as error:
                self._due[rule.rule.id] = now + self._pause(rule, begun)
                # If nothing else is answered either, it is not the rule; then one of these raises.
                keep()
                self._silences.all(now)
                self._pass_over(rule.rule.id, error)
                continue
            self._due[rule.rule.id] = now + self._pause(rule, begun)
            self._refused.discard(rule.rule.id)
            self._slow.discard(rule.rule.id)
            alerts, changed = advance(alerts, rule, findings, now)
            changes += changed
        keep()
        return alerts, changes

    def _pause(self, rule: ActiveRule, begun: float) -> timedelta:
        """From this evaluation to the next one."""
        took = self._clock() - begun
        pause = max(rule.interval, timedelta(seconds=_REST * took))
        if pause > rule.interval and rule.rule.id not in self._stretched:
            self._stretched.add(rule.rule.id)
            logger.info(
                "The rule %s takes %.1f s, so its next evaluation is in %.0f s, not in %.0f s, and so on (told once).",
                rule.rule.id,
                took,
                pause.total_seconds(),
                rule.interval.total_seconds(),
            )
        return pause

    def _announce(self, state: State, silences: list[Silence], now: datetime) -> bool:
        firing = [alert for alert in state.alerts.values() if alert.fired_at is not None]
        loud = [alert for alert in firing if not self._silencer(alert, silences, now)]
        incidents, notices = announce(state.incidents, firing, loud, self._targeting, self._pace, now)
        different = incidents != state.incidents
        state.incidents = incidents
        state.messages += messages_of(notices, self._by_id, now, self._kibana)
        return different

    def _silencer(self, alert: Alert, silences: list[Silence], now: datetime) -> str:
        return silencer_of(alert, silences, self._adjustments.maintenance, now)

    def _save(self, state: State, now: datetime) -> None:
        self._document.write(state.as_dict(), now.isoformat())

    def _record(self, state: State, now: datetime) -> None:
        if not state.history:
            return
        operations = [
            line
            for identity, body in state.history.items()
            for line in ({"index": {"_index": semconv.INDEX_ALERTS, "_id": identity}}, body)
        ]
        with our_errors():
            answer = self._client.bulk(operations=operations)
        if answer["errors"]:
            logger.error("Changes of alerts are not in %s yet: %s", semconv.INDEX_ALERTS, _first_error(answer["items"]))
            return
        state.history = {}
        self._save(state, now)

    def _send(self, state: State, now: datetime, keep: Callable[[], None]) -> None:
        waiting: set[str] = set()
        for message in list(state.messages):
            if not self._notifier.knows(message):
                logger.error("Nobody is called %s any more; not told: %s", message.target, message.title)
                state.messages.remove(message)
            elif message.target in waiting or message.not_before > now:
                # Messages of a target stay in their order.
                waiting.add(message.target)
                continue
            else:
                # The one before may have taken long.
                keep()
                if not self._told(message, state, now):
                    waiting.add(message.target)
            self._save(state, now)

    def _told(self, message: Message, state: State, now: datetime) -> bool:
        if self._notifier.send(message):
            metrics.notifications.labels(message.target, "delivered").inc()
            state.messages.remove(message)
            return True
        metrics.notifications.labels(message.target, "failed").inc()
        logger.warning("%s could not be told and will be again: %s", message.target, message.title)
        state.messages[state.messages.index(message)] = postponed(message, now)
        return False

    def _refuse(self, rule: str, error: Rejected) -> None:
        metrics.refusals.labels(rule).inc()
        if rule not in self._refused:
            self._refused.add(rule)
            # Indices of attempts, spans and logs come with the first of them.
            level = logging.INFO if _NO_INDEX in str(error) else logging.WARNING
            logger.log(level, "The rule %s can't be evaluated (told once): %s", rule, error)

    def _pass_over(self, rule: str, error: Unavailable) -> None:
        why = "Elasticsearch does not answer it in time." if isinstance(error, TooSlow) else str(error)
        metrics.slow_evaluations.labels(rule).inc()
        if rule not in self._slow:
            self._slow.add(rule)
            logger.warning(
                "The rule %s is passed over, its alerts stay as they are (told once): %s If it is too much work, give "
                "it shorter times in the file of CELERYSCOPE_WATCH_RULES (`celeryscope rules explain %s` names its "
                "parameters, such as baseline), or give Elasticsearch more resources.",
                rule,
                why,
                rule,
            )


def _first_error(items: list[dict[str, dict[str, object]]]) -> object:
    return next((verdict["error"] for item in items for verdict in item.values() if "error" in verdict), None)

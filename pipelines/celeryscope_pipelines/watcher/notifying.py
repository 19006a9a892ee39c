"""Sends messages through Apprise (mail, Slack, webhooks and the rest), each target known by a name."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import apprise

from celeryscope.errors import ConfigError
from celeryscope_pipelines.watcher.messages import Message

_FIRST_PAUSE: Final = timedelta(seconds=10)
_LONGEST_PAUSE: Final = timedelta(minutes=10)


class Notifier:
    """Targets by their names; Apprise's own log is not shown, it names addresses with their secrets."""

    def __init__(self, targets: dict[str, str]) -> None:
        """Raises ConfigError for an address that Apprise does not know; the address is in no message."""
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        self._targets: dict[str, apprise.Apprise] = {}
        for name, address in targets.items():
            target = apprise.Apprise()
            if not target.add(address):
                raise ConfigError(
                    f"CELERYSCOPE_WATCH_TARGETS: Apprise does not understand the address of `{name}`; "
                    "`apprise --details` lists the services and their addresses."
                )
            self._targets[name] = target

    @property
    def names(self) -> tuple[str, ...]:
        """Of all targets."""
        return tuple(self._targets)

    def knows(self, message: Message) -> bool:
        """Whether there still is a target of that name."""
        return message.target in self._targets

    def send(self, message: Message) -> bool:
        """Whether the target has taken it; it may have done so also when it does not say it."""
        kind = apprise.NotifyType(message.kind)
        return bool(self._targets[message.target].notify(title=message.title, body=message.body, notify_type=kind))


def postponed(message: Message, now: datetime) -> Message:
    """The message after one more try that failed: later each time, and never given up."""
    pause = min(_FIRST_PAUSE * 2 ** min(message.tries, 10), _LONGEST_PAUSE)
    return replace(message, tries=message.tries + 1, not_before=now + pause)

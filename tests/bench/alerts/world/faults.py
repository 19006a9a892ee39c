"""What happens at a moment or begins and ends at one; what lasts and changes runs is in ``service``."""

from collections.abc import Callable
from typing import Any

from alerts.scenario import Happening
from alerts.world import vitals
from alerts.world.service import Service

_BEAT_RESTART = 6.0
_SUPERVISOR = 20.0
_NOTICED_WITHIN = (0.05, 1.0)
_BACK_WITHIN = (1.0, 8.0)


def schedule(service: Service) -> None:
    """Let all that happens in a scenario happen in time; of what was before the world began, only deploys are left."""
    for happening in service.scenario.happens:
        if happening.begin < service.engine.now:
            service.version = str(happening.values.get("deploy", service.version))
        elif act := _ACTS.get(happening.what):
            service.engine.at(happening.begin, act, service, happening)


def known() -> set[str]:
    """What can happen to a service."""
    return set(_ACTS) | _LASTING


_LASTING = {"takes", "leaks", "fails", "upstream", "hangs", "loses", "collector_away", "unregistered", "resolve"}
"""What changes runs, messages or hosts while it lasts; ``resolve`` is what a person does."""


def _deploy(service: Service, happening: Happening) -> None:
    service.version = str(happening.values["deploy"])
    for name in happening.values.get("without", ()):
        if service.beat:
            service.beat.entries.pop(name)
    service.start_web()
    service.restart_workers()
    if service.beat:
        service.beat.stop("")
        service.engine.after(_BEAT_RESTART, service.beat.start)


def _restart(service: Service, happening: Happening) -> None:
    service.restart_workers()


def _kill(service: Service, happening: Happening) -> None:
    service.has_effect(happening.name)
    worker = service.workers[happening.values["kill"]]
    worker.kill()
    if happening.until > happening.begin:
        service.engine.at(happening.until, service.start_worker, worker.kind)


def _host_gone(service: Service, happening: Happening) -> None:
    service.has_effect(happening.name)
    host = service.host(happening.values["host_gone"])
    host.gone_at = service.engine.now
    if happening.until > happening.begin:
        host.back_at = happening.until
    for worker in list(service.workers.values()):
        if worker.host is host and worker.is_alive:
            worker.kill(host_is_gone=True)
            if happening.until > happening.begin:
                service.engine.at(happening.until + _SUPERVISOR, service.start_worker, worker.kind)


def _kill_child(service: Service, happening: Happening) -> None:
    """One process of the pool, as soon as it has a task."""
    worker = service.workers[happening.values["kill_child"]]
    child = next((child for child in worker.children if child.job), None)
    if child is None:
        service.engine.after(0.05, _kill_child, service, happening)
        return
    service.has_effect(happening.name)
    worker.kill_child(child, happening.values.get("out_of_memory", True))


def _stop(service: Service, happening: Happening) -> None:
    worker = service.workers[happening.values["stop"]]
    worker.stop()
    if happening.until > happening.begin:
        service.engine.at(happening.until, service.start_worker, worker.kind)


def _scale(service: Service, happening: Happening) -> None:
    service.workers[happening.values["scale"]].scale(int(happening.values["to"]))


def _burst(service: Service, happening: Happening) -> None:
    kind, count = service.kind(happening.values["burst"]), int(happening.values["messages"])
    within = max(happening.until - happening.begin, 1.0)
    for number in range(count):
        service.engine.after(within * number / count, _publish, service, kind)


def _publish(service: Service, kind: Any) -> None:
    service.publish(service.web[0], kind)


def _broker_down(service: Service, happening: Happening) -> None:
    service.broker.is_up = False
    service.has_effect(happening.name)
    lost_at = service.engine.now
    for worker in service.workers.values():
        if worker.is_alive:
            worker.lose_connection()
            service.engine.after(service.chance.uniform(*_NOTICED_WITHIN), vitals.tell_broker, worker, lost_at)
    service.engine.at(happening.until, _broker_up, service, lost_at)


def _broker_up(service: Service, lost_at: float) -> None:
    service.broker.is_up = True
    for worker in service.workers.values():
        if worker.is_alive:
            service.engine.after(service.chance.uniform(*_BACK_WITHIN), _regain, worker, lost_at)
    for queue in list(service.broker.queues):
        service.engine.after(_BACK_WITHIN[1], service.broker.deliver, queue)


def _regain(worker: Any, lost_at: float) -> None:
    vitals.tell_broker(worker, lost_at, worker.main.now - lost_at)


def _beat_down(service: Service, happening: Happening) -> None:
    assert service.beat is not None
    service.beat.stop(happening.name)
    service.engine.at(happening.until, service.beat.start)


_ACTS: dict[str, Callable[[Service, Happening], None]] = {
    "deploy": _deploy,
    "restart": _restart,
    "kill": _kill,
    "host_gone": _host_gone,
    "kill_child": _kill_child,
    "stop": _stop,
    "scale": _scale,
    "burst": _burst,
    "broker_down": _broker_down,
    "beat_down": _beat_down,
}

"""``celeryscope agent``: the shipper as a process of its own."""

import dataclasses
import logging
import resource
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import click

from celeryscope.errors import NotFound
from celeryscope.settings import Settings
from celeryscope.shipping.shipper import Shipper
from celeryscope.spool.folder import prepare

logger = logging.getLogger("celeryscope")


@click.command()
@click.option(
    "--dir",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A spool; may be given several times [default: CELERYSCOPE_SPOOL_DIR].",
)
@click.option("--once", is_flag=True, help="Ship what is there now and end: 0 all is shipped, 4 or 5 it is not.")
def agent(folders: Sequence[Path], once: bool) -> None:
    """Ship the spools of other processes, so that these need not: a sidecar, or one service on each host.

    Set CELERYSCOPE_SHIP=false for the workers and publishers, and run the agent as the same user on the same folder.
    Where to, and with which token, say CELERYSCOPE_ENDPOINT and CELERYSCOPE_TOKEN; the other settings of shipping count
    as well. SIGTERM and SIGINT end it after at most CELERYSCOPE_FLUSH_TIMEOUT seconds; what it has not shipped then
    stays in the spools.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings.load()
    spools = list(folders) or [settings.spool_dir]
    if once and (missing := [str(spool) for spool in spools if not spool.is_dir()]):
        raise NotFound(f"There is no spool at {', '.join(missing)}; name it with --dir or CELERYSCOPE_SPOOL_DIR.")
    for spool in spools:
        prepare(spool)
    _allow_many_files()
    shipper = Shipper(dataclasses.replace(settings, spool_dir=spools[0]), own=None, spools=spools)
    if once:
        shipper.ship_once()
        return
    logger.info("celeryscope: shipping %s to %s", ", ".join(map(str, spools)), settings.endpoint)
    _until_stopped(shipper, settings.flush_timeout)


def _until_stopped(shipper: Shipper, timeout: float) -> None:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    shipper.start()
    stopping.wait()
    logger.info("celeryscope: ending; what is not shipped within %g s stays in the spool", timeout)
    shipper.stop(timeout)


def _allow_many_files() -> None:
    """Each family costs a descriptor."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

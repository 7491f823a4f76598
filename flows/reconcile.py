"""The loop that keeps Ollama at MLflow's alias, and the flows that do the same on demand.

A look costs a few milliseconds where nothing is to be done, a Prefect flow run seconds. So the loop is a plain process, and only
what happens becomes a flow run, with a report as its artifact, after the fact: Prefect being away must not keep a model from serving.
"""

import contextlib
import getpass
import logging
import os
import socket
import time
from collections.abc import Generator
from pathlib import Path

from flows import runs
from flows.notices import notify
from flows.processes import foreground, locked
from flows.servers import close_lost_runs, prefect_environment
from pipeline.core.config import Config, load
from pipeline.core.errors import UserError
from pipeline.core.paths import STATE
from pipeline.publish import promotion
from pipeline.publish.promotion import Round
from pipeline.publish.registry import CHAMPION
from pipeline.tracking import default_tracking_uri

WAIT_SECONDS = 120  # for a reconciler that runs elsewhere to serve what a command asked for
SETTLE_SECONDS = 60  # between looks for runs whose process is gone
log = logging.getLogger("robo.reconcile")


def whoami() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


@contextlib.contextmanager
def only_one(root: Path) -> Generator[bool]:
    """Yields whether this process is now the one reconciler of this checkout. The lock goes with the process, however that ends."""
    file = locked(root / STATE / "reconcile.lock")
    try:
        yield file is not None
    finally:
        if file:
            file.close()


def look(config: Config) -> Round:
    """One round; a server that does not answer is something to say, not an error."""
    try:
        return promotion.reconcile(config, default_tracking_uri(config.root))
    except UserError as error:
        return Round(None, False, str(error))


# --- what happened ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def prefect_server(config: Config) -> Generator[str | None]:
    """Lets Prefect's client talk to the server that answers now, in the block; yields its address, or None where there is none."""
    environment = prefect_environment(config.root)
    url = environment.pop("PREFECT_API_URL", None)  # not for good: the next time another server may answer, or none
    os.environ.update(environment)
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}):
        yield url


def report(config: Config, done: Round) -> None:
    """Tells people and Prefect's page what a round did: a flow run with an artifact. What goes wrong is a warning."""
    good = done.happened == "served"
    subject = f"{config.serving.name}: version {done.version} {done.happened}"
    with prefect_server(config) as url:
        notify(config.operations, log, subject, done.said, "success" if good else "failure")
        if url is None:
            log.warning("no Prefect server answers, so its page will not show this; the version's run in MLflow does")
            return
        try:
            from prefect import tags

            from flows.served import served

            with tags(runs.here()):
                served(subject, done.said, good, return_state=True)  # ty: ignore[no-matching-overload]    a key between P.args and P.kwargs
        except Exception as error:  # whatever Prefect's client meets
            log.warning(
                "Prefect's page will not show this (%s: %s); the version's run in MLflow does",
                type(error).__name__,
                error,
            )


def settle(config: Config) -> None:
    """Closes lost runs where a Prefect server answers: the worker that started one does not notice if it could not say how it ended, and
    the next of the schedule would wait for its place for ever."""
    with prefect_server(config) as url:
        if url and (names := close_lost_runs(url, pool=False)):
            log.warning("marked as Crashed, their processes are gone: %s", ", ".join(names))


# --- the loop ---------------------------------------------------------------------------------------------------------


class Drift:
    """How long the alias and Ollama have disagreed; says it once when that is too long."""

    def __init__(self, after: float):
        self.after, self.since, self.told = after, None, False

    def too_long(self, agrees: bool, now: float) -> bool:
        if agrees:
            self.since, self.told = None, False
            return False
        self.since = now if self.since is None else self.since
        if self.told or now - self.since < self.after:
            return False
        self.told = True
        return True


def loop(root: Path = Path(".")) -> None:
    """Looks every operations.reconcile_every seconds until Ctrl-C or SIGTERM; one line for each thing that changes.

    Raises UserError when another reconciler runs over this checkout.
    """
    config = load(root)
    operations, drift, last, settled = config.operations, Drift(config.operations.drift_after), "", time.monotonic()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # Prefect's own lines, which say the same, keep to themselves
    with only_one(root) as free, foreground([]):
        if not free:
            raise UserError(f"another `robo reconcile` runs over {Path(root).resolve()}; one is enough")
        log.info(
            "keeps Ollama's %s at MLflow's alias %s of %s, looking every %g s; Ctrl-C stops it",
            promotion.latest(config.serving.name),
            CHAMPION,
            config.serving.name,
            operations.reconcile_every,
        )
        while True:
            try:
                done = look(config)
            except Exception as error:  # a full disk, say: whatever it is, the next look may do better
                done = Round(None, False, f"{type(error).__name__}: {error}")
                if done.said != last:
                    log.exception("this look failed")
            if done.happened or done.said != last:
                (log.info if done.agrees else log.warning)(done.said)
            last = done.said
            if done.happened:
                report(config, done)
                last = ""  # the next round says in short where things stand
            if drift.too_long(done.agrees, time.monotonic()):
                said = f"alias {CHAMPION} and Ollama have disagreed for more than {operations.drift_after:g} s: {done.said}"
                log.warning(said)
                with prefect_server(config):
                    notify(operations, log, f"{config.serving.name}: drift", said, "warning")
            if time.monotonic() - settled > SETTLE_SECONDS:
                settled = time.monotonic()
                try:
                    settle(config)
                except Exception as error:  # whatever Prefect's client meets; there is a next time
                    log.warning("could not look for lost runs: %s: %s", type(error).__name__, error)
            time.sleep(operations.reconcile_every)


def follow(config: Config, version: int, asked: str) -> Round:
    """Makes the alias's new place served: by one round here, or by waiting for the reconciler that runs, since the time `asked`."""
    with only_one(config.root) as free:
        if free:
            done = look(config)
            if done.happened:
                report(config, done)
            return done
    until = time.monotonic() + WAIT_SECONDS
    while (
        done := promotion.standing(config, default_tracking_uri(config.root), version, asked)
    ) is None and time.monotonic() < until:
        time.sleep(0.5)
    return done or Round(
        version, False, f"the reconciler did not serve version {version} in {WAIT_SECONDS} s; its log says why"
    )


def promote(which: str, why: str) -> None:
    """Moves the alias and sees it served. Raises UserError where that fails; the alias then stays where it was moved to."""
    config, asked = load(), promotion.now()
    see_served(config, *promotion.promote(config, default_tracking_uri(config.root), which, whoami(), why), asked)


def rollback(why: str) -> None:
    """The same with the version served before."""
    config, asked = load(), promotion.now()
    see_served(config, *promotion.rollback(config, default_tracking_uri(config.root), whoami(), why), asked)


def see_served(config: Config, version: int, said: str, asked: str) -> None:
    print(said, flush=True)
    done = follow(config, version, asked)
    if not done.agrees:
        raise UserError(done.said)
    print(done.said)

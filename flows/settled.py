"""Whether a run would do anything at all. DVC and the acts are asked here: Prefect and a server for it take longer to start than all of them to
answer. DVC is asked in a process beside this one, where MLflow is imported meanwhile; either takes some two seconds."""

import multiprocessing
import time
from multiprocessing.connection import Connection

from flows import acts
from flows.changes import graph, pending
from flows.summary import UP_TO_DATE, Outcome
from pipeline.core.config import Config
from pipeline.core.errors import NotDone, UserError
from pipeline.core.stage import follow
from pipeline.publish import registry
from pipeline.publish.judge import judge
from pipeline.tracking import check, default_tracking_uri


def tell_stages(to: Connection) -> None:
    """Sends every stage, in their order; None where one would run, or DVC has something to complain about."""
    from dvc.exceptions import DvcException

    follow()
    try:
        to.send(None if pending() else list(graph()))
    except DvcException:
        to.send(None)


def outcomes(config: Config) -> list[Outcome] | None:
    """What a run would say of each stage and act, all of them Skipped; None where there is something to do, or to complain about."""
    done: list[Outcome] = []
    began = time.perf_counter()

    def note(name: str, why: str) -> None:
        nonlocal began
        done.append(Outcome(name, "Skipped", time.perf_counter() - began, why))
        began = time.perf_counter()

    fork = multiprocessing.get_context("fork")
    answer, to = fork.Pipe(duplex=False)
    dvc = fork.Process(target=tell_stages, args=(to,))
    dvc.start()
    to.close()  # so that a child that dies ends the answer
    try:
        uri = default_tracking_uri(config.root)
        check(uri)  # which imports MLflow
        if (stages := answer.recv()) is None:
            return None
        for stage in stages:
            note(stage, UP_TO_DATE)
        note("register", registry.register(config, uri, ask=True).reason)
        note("judge", judge(config, uri, ask=True).said)
        note("import", acts.import_where_served(config, ask=True)[1])
    except (NotDone, UserError, EOFError):  # a run mends what it can, and says the rest
        return None
    finally:
        dvc.kill()
        dvc.join()
    return done

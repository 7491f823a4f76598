"""Whether a run would do anything at all. DVC and the acts are asked in this process: Prefect and a server for it take longer to start than all
of them to answer."""

import time

from flows import acts
from flows.changes import graph, pending
from flows.summary import UP_TO_DATE, Outcome
from pipeline.core.config import Config
from pipeline.core.errors import NotDone, UserError
from pipeline.publish import registry
from pipeline.publish.judge import judge
from pipeline.tracking import default_tracking_uri


def outcomes(config: Config) -> list[Outcome] | None:
    """What a run would say of each stage and act, all of them Skipped; None where there is something to do, or to complain about."""
    from dvc.exceptions import DvcException

    done: list[Outcome] = []
    began = time.perf_counter()

    def note(name: str, why: str) -> None:
        nonlocal began
        done.append(Outcome(name, "Skipped", time.perf_counter() - began, why))
        began = time.perf_counter()

    try:
        if pending():
            return None
        for stage in graph():
            note(stage, UP_TO_DATE)
        uri = default_tracking_uri(config.root)
        note("register", registry.register(config, uri, ask=True).reason)
        note("judge", judge(config, uri, ask=True).said)
        note("import", acts.import_where_served(config, ask=True)[1])
    except (NotDone, UserError, DvcException):  # a run mends what it can, and says the rest
        return None
    return done

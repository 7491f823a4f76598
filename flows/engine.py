"""Prefect's engine as a child that dies with its worker: `command` of the process pool's deployments in prefect.yaml.

The engine that Prefect starts by itself stands in a session of its own and finishes its run when the worker is killed, unseen, while
the next worker may start a second one. This one dies at once, and `dvc` and the stages with it, each by the same means.
"""

import os
import runpy
import signal

from flows import runs
from pipeline.core.environment import prepare
from pipeline.core.stage import die_with_parent

if __name__ == "__main__":
    die_with_parent(signal.SIGKILL)
    prepare()
    runs.hold(os.environ["PREFECT__FLOW_RUN_ID"])
    runpy.run_module("prefect.engine", run_name="__main__")

"""The command of a Docker or Kubernetes pool's deployments: a run as the first process of its container.

In a process pool the worker itself stops an engine whose run is cancelled. Into a container it does not reach, so Prefect's own runner
stands beside the engine there, asks the server and stops it. A `docker stop`, or a node that is drained, sends SIGTERM: the training leaves a
checkpoint, and the run is put back into the queue, where it goes on from that.
"""

import os
import sys

from pipeline.core.environment import prepare

if __name__ == "__main__":
    prepare()
    os.environ.setdefault("PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR", "reschedule")
    os.execv(sys.executable, [sys.executable, "-P", "-m", "prefect", "flow-run", "execute"])

"""The work: one module a stage, plain functions, no servers. What acts on the outside world is called by `flows`.

A folder stands on those before it and knows none after: core, data, model, training, export, evaluation, publish. Evaluation comes after
export, since assess measures the exported files. plan, advice and tracking stand beside the folders: two that only tell, and the one way
to MLflow, which training reads and publish writes.

The project's folder is a person's own, and who writes for MicroPython keeps a queue.py or a requests.py there. `python -m` looks into it
before everything else, so it is taken off the path here, before anything else of ours is imported. (What Python itself needs till then is
loaded already, by the hook that makes this package known to the environment.)
"""

import os
import sys
from importlib.machinery import PathFinder

_root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:] = [path for path in sys.path if os.path.abspath(path) not in (_root, os.getcwd())]


class Beside:
    """Finds `flows` beside this package."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, [_root]) if name == "flows" else None


sys.meta_path.insert(0, Beside)

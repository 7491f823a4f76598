"""`dvc` as a child that dies with its parent, so that a killed flow leaves nobody writing.

The stage that dvc starts does the same towards dvc (pipeline/core/stage.py), and so the whole chain of processes goes at once.
"""

import sys

from pipeline.core.stage import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    from dvc.cli import main

    import flows.dvc_repo  # noqa: F401 (what DVC could not read)

    sys.exit(main(sys.argv[1:]))

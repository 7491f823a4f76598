"""What each command of `robo` can be given: one function for each, which adds its options to a parser. cli.py runs the commands."""

import os
from argparse import ArgumentParser


def run(command: ArgumentParser) -> None:
    """Where it is done."""
    command.add_argument(
        "--on",
        metavar="POOL",
        help="do it on a machine whose `robo worker POOL` runs, and fetch what comes out",
    )


def sweep(command: ArgumentParser) -> None:
    """How many at once."""
    command.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="experiments at once; by default one here, and on a cluster as many as Slurm gives",
    )


def worker(command: ArgumentParser) -> None:
    """The pool."""
    command.add_argument("pool", help="its name, such as gpu; it is made where it does not exist")


def plan(command: ArgumentParser) -> None:
    """What is measured."""
    command.add_argument(
        "--no-measure",
        action="store_true",
        help="leave out what has to be tried out: memory, file sizes, speed and time",
    )


def trace(command: ArgumentParser) -> None:
    """The model."""
    command.add_argument(
        "model",
        nargs="?",
        help="models/quantized/Q4_K_M.gguf, robo-micropython:candidate, robo-micropython/3, 3 or candidate",
    )
    command.add_argument(
        "--removed",
        action="store_true",
        help="say which registered and served versions still hold what configs/removed.yaml lists",
    )


def board(command: ArgumentParser) -> None:
    """The program, what is around it, and what is shown."""
    command.add_argument("program", nargs="?", help="its file; - reads standard input")
    command.add_argument(
        "--on",
        metavar="BOARD",
        default="pico",
        help="pico, pico_w, esp32: a file of configs/boards/; pico by default",
    )
    command.add_argument(
        "--with",
        dest="beside",
        nargs="+",
        default=[],
        metavar="PATH",
        help="files and folders that lie on the board with it, such as modules that it imports",
    )
    command.add_argument(
        "--inputs",
        metavar="FILE",
        help="YAML: what stands around the board and what it does, a list of devices",
    )
    command.add_argument("--seconds", type=float, metavar="N", default=5.0, help="of the board's time; 5 by default")
    command.add_argument("--plot", metavar="OUT.svg", help="draw what happened")
    command.add_argument("--check", metavar="FILE", help="YAML: a list of checks that it must pass")
    command.add_argument("--json", action="store_true", help="print the whole log for other programs to read")
    command.add_argument("--devices", action="store_true", help="list the devices there are")
    command.add_argument("--checks", action="store_true", help="list the checks there are")
    command.add_argument(
        "--coverage", action="store_true", help="list how much of each of the board's modules is simulated"
    )


def ask(command: ArgumentParser) -> None:
    """The request, and what becomes of the answer."""
    command.add_argument("request", help="what the program shall do, in English")
    command.add_argument("--model", help="a GGUF file or a name in Ollama; left out: the served file of this project")
    command.add_argument(
        "--on", metavar="BOARD", help="pico, pico_w, esp32; left out: the one that the request names, else pico"
    )
    command.add_argument(
        "--samples",
        type=int,
        metavar="N",
        default=1,
        help="ask up to N times, and take the first that passes; 1 by default",
    )
    command.add_argument("--max-tokens", type=int, metavar="N", help="of an answer")
    command.add_argument("--run", action="store_true", help="show what the program does on the simulated board")
    command.add_argument("-o", "--output", metavar="FILE", help="write the program there, such as main.py")


def exam(command: ArgumentParser) -> None:
    """Who is asked what, how, and where it is written."""
    command.add_argument(
        "model", nargs="?", help="a GGUF file or a name in Ollama; left out: the served file of this project"
    )
    wording = command.add_mutually_exclusive_group()
    wording.add_argument(
        "--prompt",
        metavar="TEXT",
        help="what is asked, with {request} and perhaps {board} in it; by default params.yaml's",
    )
    wording.add_argument("--template", metavar="FILE", help="the same from a file")
    command.add_argument("--chat", action="store_true", help="ask it as a message, by the model's own chat template")
    command.add_argument(
        "--set",
        nargs="+",
        metavar="SET",
        help="of the exam; by default those of params.yaml, of another folder all",
    )
    command.add_argument("--tasks", metavar="FOLDER", default="exam", help="another folder of sets than exam/")
    command.add_argument(
        "--samples",
        type=int,
        metavar="N",
        default=1,
        help="ask up to N times, and judge the answer that `robo ask` takes; 1 by default",
    )
    command.add_argument("--max-tokens", type=int, metavar="N", help="of an answer")
    command.add_argument("--report", metavar="FILE", help="write the tables and the failures there, as Markdown")
    command.add_argument("--json", metavar="FILE", help="write the figures and answers there")


def corpus(command: ArgumentParser) -> None:
    """The actions, each with its own."""
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="a source, which gets pinned and its licence read")
    add.add_argument(
        "what",
        help="a package, the https address or folder of a git repository, a folder, or a file that ends in "
        ".parquet, .jsonl or .arrow. NAME==VERSION pins that version, or commit",
    )
    add.add_argument("--name", help="of the source; by default the package's, folder's or file's")
    add.add_argument("--license", metavar="SPDX", help="as you read it; by default what the source says of itself")
    add.add_argument("--split", choices=("train", "val", "test", "auto"), help="side of the split; train by default")
    add.add_argument(
        "--include",
        nargs="+",
        metavar="PATTERN",
        help="files to take, over the path inside the source; * crosses folders",
    )
    add.add_argument("--exclude", nargs="+", metavar="PATTERN", help="and not to take")
    add.add_argument("--subfolder", metavar="FOLDER", default=".", help="of a git repository, instead of all of it")
    add.add_argument("--text", metavar="COLUMN", help="of a data file, that holds the code")
    lock = actions.add_parser("lock", help="pin what you wrote into the config yourself")
    update = actions.add_parser("update", help="move pins to what is newest")
    for action in lock, update:
        action.add_argument(
            "what",
            nargs="*",
            metavar="NAME",
            help="of a source; all by default. NAME==VERSION pins that version, or commit",
        )
    for action in add, lock, update:
        action.add_argument("--dry-run", action="store_true", help="say what would change, and write nothing")
    actions.add_parser("audit", help="say what the built text holds, and what was left out")


def serve(command: ArgumentParser) -> None:
    """The address."""
    from flows.servers import LOCALHOST

    command.add_argument(
        "--host",
        default=os.environ.get("ROBO_HOST") or LOCALHOST,
        help="address to listen on (or ROBO_HOST); any but this machine's own needs passwords, see docs/operations.md",
    )


def promote(command: ArgumentParser) -> None:
    """The version, and why."""
    command.add_argument("version", help="its number, or an alias such as candidate")
    rollback(command)


def rollback(command: ArgumentParser) -> None:
    """Why."""
    command.add_argument("--why", default="", help="recorded with the version")


OPTIONS = {
    "run": run,
    "sweep": sweep,
    "worker": worker,
    "plan": plan,
    "trace": trace,
    "board": board,
    "ask": ask,
    "exam": exam,
    "corpus": corpus,
    "promote": promote,
    "rollback": rollback,
    "serve": serve,
    "ui": serve,
}

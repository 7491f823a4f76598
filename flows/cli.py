"""`robo`: the commands a person types. Heavy packages are imported by the command that needs them."""

import argparse
import os
import signal
import sys
from pathlib import Path

from pipeline.core.environment import nobody_reads, prepare
from pipeline.core.errors import UserError


def run(arguments) -> None:
    """bring every file up to date, register the version in MLflow, import it into Ollama"""
    from flows import forecast, settled
    from flows.console import ended, say
    from flows.summary import show
    from pipeline.core.config import load

    if arguments.on:
        send(arguments.on)
        return
    if outcomes := settled.outcomes(load()):
        for each in outcomes:
            ended(each.name, each.state, each.seconds, each.why)
        show(outcomes)
        say("Nothing is to be done.")
        return
    forecast.start()
    from flows.servers import prefect_for_a_run

    with prefect_for_a_run():
        from flows.retrain import retrain

        try:
            outcomes = retrain()
        except RuntimeError as error:
            raise UserError(str(error)) from None
    show(outcomes)
    print_completion()


def send(pool: str) -> None:
    """The run on a machine of this pool; its files come here."""
    from flows.console import say
    from flows.servers import prefect_for_a_run
    from pipeline.core.config import load

    load()
    with prefect_for_a_run():
        from flows import elsewhere

        # which cancels the run there, as Ctrl-C does
        signal.signal(signal.SIGTERM, lambda *_: elsewhere.stopping.set())
        elsewhere.run(pool, say)


def print_completion() -> None:
    """What the served file answers to the smoke prompt with the settings of the serving config, and Q4_K_M, the type that most people know."""
    from flows.console import say
    from pipeline.core.config import load
    from pipeline.core.prompt import as_served
    from pipeline.export.llama import LlamaFile
    from pipeline.publish.lineage import served_gguf

    config = load()
    served, said = served_gguf(config), config.serving.parameters
    prompt = as_served(config.serving.template, config.serving.smoke_prompt)
    for path in dict.fromkeys((served.with_name("Q4_K_M.gguf"), served)):
        if path.stem in config.params.quants:
            with LlamaFile(path) as file:
                answer = file.answer(
                    prompt,
                    config.params.evaluate.max_new_tokens,
                    said.temperature,
                    said.top_p,
                    said.top_k,
                    said.repeat_penalty,
                    config.training.seed,
                )
            say(
                f"\n{path}{' (served)' if path == served else ''} goes on after ▸, drawn at temperature {said.temperature:g} as Ollama does:\n"
            )
            print(f"{prompt}▸{answer}\n")


def plan(arguments) -> None:
    """print what a run would take and make: parameters, memory, time, file sizes, stages, and the reference's advice"""
    from flows.plan import show
    from pipeline.core.config import load

    show(load(), measured=not arguments.no_measure)


def import_(arguments) -> None:
    """put the served GGUF into Ollama as NAME:candidate"""
    from flows.acts import import_candidate
    from pipeline.core.config import load

    done, said = import_candidate(load())
    print(f"{done.name}: {said}\ntry it: ollama run {done.name} 'Blink the LED on pin 15 twice a second'")


def trace(arguments) -> None:
    """print the way back from a model (a GGUF file, a name in Ollama, a registered version) to the packages it was trained on"""
    from pipeline.core.config import load
    from pipeline.publish.removed import held
    from pipeline.publish.trace import trace
    from pipeline.tracking import default_tracking_uri

    config = load()
    if bool(arguments.model) == arguments.removed:
        raise UserError("robo trace: name a model, or ask for --removed")
    uri = default_tracking_uri(config.root)
    print(held(config, uri) if arguments.removed else trace(arguments.model, config, uri))


def serve(arguments) -> None:
    """open Prefect's and MLflow's pages, work off prefect.yaml's schedule and follow MLflow's alias, until Ctrl-C"""
    from flows.servers import serve

    serve(host=arguments.host)


def ui(arguments) -> None:
    """open Prefect's and MLflow's pages alone, until Ctrl-C"""
    from flows.servers import serve

    serve(host=arguments.host, work=False)


def worker(arguments) -> None:
    """work off, in this checkout, what other machines send to a pool of Prefect's, until Ctrl-C"""
    from flows.worker import stay

    stay(arguments.pool)


def doctor(arguments) -> None:
    """say what is there, what listens where and what disagrees, with the command that mends each; status 1 where something needs it"""
    from flows.doctor import examine, show

    sys.exit(0 if show(examine()) else 1)


def reconcile(arguments) -> None:
    """keep Ollama's NAME:latest at MLflow's alias `champion` until Ctrl-C"""
    from flows.reconcile import loop

    loop()


def promote(arguments) -> None:
    """make a registered version the champion and serve it as NAME:latest"""
    from flows.reconcile import promote

    promote(arguments.version, arguments.why)


def rollback(arguments) -> None:
    """go back to the version served before; again goes one further"""
    from flows.reconcile import rollback

    rollback(arguments.why)


def ask(arguments) -> None:
    """write a program for a wish in plain words, and say what of it was checked"""
    from flows.ask import ask

    ask(arguments)


def exam(arguments) -> None:
    """ask a model the exam in people's words, and run what it writes on a simulated board"""
    from flows.exam import exam

    exam(arguments)


def board(arguments) -> None:
    """run a MicroPython program on a simulated board and show what pins, buses and prints did; works in any folder"""
    from flows.board import board

    board(arguments)


def corpus(arguments) -> None:
    """add a source to the corpus (a package, a git repository, a folder, a data file), pin or move the pins of those there, or report on the built
    text"""
    from flows.corpus import corpus

    corpus(arguments)


def sweep(arguments) -> None:
    """train what `dvc exp run --queue` has queued: on this machine, or as one job array where the training is a job of Slurm"""
    from flows.sweep import sweep
    from pipeline.core.config import load

    sweep(load(), arguments.jobs)


COMMANDS = {
    "run": run,
    "plan": plan,
    "import": import_,
    "trace": trace,
    "sweep": sweep,
    "serve": serve,
    "ui": ui,
    "worker": worker,
    "doctor": doctor,
    "board": board,
    "ask": ask,
    "exam": exam,
    "corpus": corpus,
    "reconcile": reconcile,
    "promote": promote,
    "rollback": rollback,
}


def make_parser() -> argparse.ArgumentParser:
    from flows.servers import LOCALHOST

    parser = argparse.ArgumentParser(
        prog="robo", description="From MicroPython code to a small language model, and kept fresh."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        command = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        command.set_defaults(function=function)
        if name == "run":
            command.add_argument(
                "--on",
                metavar="POOL",
                help="do it on a machine whose `robo worker POOL` runs, and fetch what comes out",
            )
        if name == "sweep":
            command.add_argument(
                "--jobs",
                type=int,
                metavar="N",
                help="experiments at once; by default one here, and on a cluster as many as Slurm gives",
            )
        if name == "worker":
            command.add_argument("pool", help="its name, such as gpu; it is made where it does not exist")
        if name == "plan":
            command.add_argument(
                "--no-measure",
                action="store_true",
                help="leave out what has to be tried out: memory, file sizes, speed and time",
            )
        if name == "trace":
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
        if name == "board":
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
            command.add_argument(
                "--seconds", type=float, metavar="N", default=5.0, help="of the board's time; 5 by default"
            )
            command.add_argument("--plot", metavar="OUT.svg", help="draw what happened")
            command.add_argument("--check", metavar="FILE", help="YAML: a list of checks that it must pass")
            command.add_argument("--json", action="store_true", help="print the whole log for other programs to read")
            command.add_argument("--devices", action="store_true", help="list the devices there are")
            command.add_argument("--checks", action="store_true", help="list the checks there are")
            command.add_argument(
                "--coverage", action="store_true", help="list how much of each of the board's modules is simulated"
            )
        if name == "ask":
            command.add_argument("request", help="what the program shall do, in English")
            command.add_argument(
                "--model", help="a GGUF file or a name in Ollama; left out: the served file of this project"
            )
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
        if name == "exam":
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
            command.add_argument(
                "--chat", action="store_true", help="ask it as a message, by the model's own chat template"
            )
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
            command.add_argument(
                "--report", metavar="FILE", help="write the tables and the failures there, as Markdown"
            )
            command.add_argument("--json", metavar="FILE", help="write the figures and answers there")
        if name == "corpus":
            actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
            add = actions.add_parser("add", help="a source, which gets pinned and its licence read")
            add.add_argument(
                "what",
                help="a package, the https address or folder of a git repository, a folder, or a file that ends in "
                ".parquet, .jsonl or .arrow. NAME==VERSION pins that version, or commit",
            )
            add.add_argument("--name", help="of the source; by default the package's, folder's or file's")
            add.add_argument(
                "--license", metavar="SPDX", help="as you read it; by default what the source says of itself"
            )
            add.add_argument(
                "--split", choices=("train", "val", "test", "auto"), help="side of the split; train by default"
            )
            add.add_argument(
                "--include",
                nargs="+",
                metavar="PATTERN",
                help="files to take, over the path inside the source; * crosses folders",
            )
            add.add_argument("--exclude", nargs="+", metavar="PATTERN", help="and not to take")
            add.add_argument(
                "--subfolder", metavar="FOLDER", default=".", help="of a git repository, instead of all of it"
            )
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
        if name in ("serve", "ui"):
            command.add_argument(
                "--host",
                default=os.environ.get("ROBO_HOST") or LOCALHOST,
                help="address to listen on (or ROBO_HOST); any but this machine's own needs passwords, see docs/operations.md",
            )
        if name == "promote":
            command.add_argument("version", help="its number, or an alias such as candidate")
        if name in ("promote", "rollback"):
            command.add_argument("--why", default="", help="recorded with the version")
    return parser


def dispatch() -> None:
    from flows.servers import credentials

    arguments = make_parser().parse_args()
    if arguments.command != "board" and not Path("dvc.yaml").exists():
        sys.exit("error: no dvc.yaml here; run robo in the folder of the project")
    os.environ.update(credentials())
    try:
        arguments.function(arguments)
    except UserError as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        # DVC says what is wrong with dvc.yaml in its own words; importing it to name its error would cost every command a second
        if not any(kind.__module__ == "dvc.exceptions" for kind in type(error).__mro__):
            raise
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def main() -> None:
    prepare()
    try:
        try:
            dispatch()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        sys.exit(nobody_reads())


if __name__ == "__main__":
    main()

"""`robo`: the commands a person types. Heavy packages are imported by the command that needs them."""

import argparse
import os
import signal
import sys
from pathlib import Path

from flows.options import OPTIONS
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
    parser = argparse.ArgumentParser(
        prog="robo", description="From MicroPython code to a small language model, and kept fresh."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        command = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        command.set_defaults(function=function)
        OPTIONS.get(name, lambda command: None)(command)
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

"""Acts that both the flow and a person at the terminal do, in one place and without Prefect."""

from pipeline.core.config import Config
from pipeline.publish import lineage, serving


def import_candidate(config: Config, ask: bool = False) -> tuple[serving.Imported, str]:
    """Makes Ollama serve the built model as NAME:candidate; returns what was done and a sentence about it.

    Raises as serving.import_model does.
    """
    done = serving.import_model(
        lineage.serving(config),
        lineage.served_gguf(config),
        f"{config.serving.name}:candidate",
        lineage.license_text(config.root, config.corpus.sources),
        prompts=config.params.evaluate.prompts,
        ask=ask,
    )
    return done, f"{done.reason}{done.proof and f'; {done.proof}'}"


def import_where_served(config: Config, ask: bool = False) -> tuple[bool, str]:
    """import_candidate() where an Ollama answers; returns whether it did anything, and a sentence about it."""
    if serving.is_reachable() is None:
        return False, f"no Ollama at {serving.address()}; start it (`ollama serve`) and run `robo import`"
    done, said = import_candidate(config, ask)
    return done.changed, said

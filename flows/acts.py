"""Acts that both the flow and a person at the terminal do, in one place and without Prefect."""

from pipeline.core.config import Config
from pipeline.publish import lineage, serving


def import_candidate(config: Config) -> tuple[serving.Imported, str]:
    """Makes Ollama serve the built model as NAME:candidate; returns what was done and a sentence about it.

    Raises UserError as serving.import_model does.
    """
    done = serving.import_model(
        lineage.serving(config),
        lineage.served_gguf(config),
        f"{config.serving.name}:candidate",
        lineage.license_text(config.root, config.corpus.sources),
        prompts=config.params.evaluate.prompts,
    )
    return done, f"{done.reason}{done.proof and f'; {done.proof}'}"

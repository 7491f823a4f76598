"""Telling people: a retraining that failed, a candidate that is ready, a promotion done or refused, an alias that Ollama does not follow.

The log always says it first; this is for those who do not watch it. Where to is a secret, so it is a Prefect notification block that
configs/operations/ names, or a URL in ROBO_NOTIFY_URL in Apprise's form (slack://..., mailto://..., json://HOST/PATH), which Prefect's own
block sends. A notice that cannot be sent is said in the log and stops nothing.
"""

import functools
import logging
import os
from typing import Literal

from pipeline.core.schema import Operations

URL = "ROBO_NOTIFY_URL"
KINDS = Literal["info", "success", "warning", "failure"]


@functools.cache  # Prefect registers each class
def any_url() -> type:
    """Prefect's block for whatever Apprise knows; it ships only those for single services."""
    from prefect.blocks.notifications import AppriseNotificationBlock

    class AnyUrl(AppriseNotificationBlock):
        """A URL in Apprise's form."""

    return AnyUrl


def block(operations: Operations, kind: KINDS):
    """The Prefect block to send through, or None where nobody wants to be told."""
    if url := os.environ.get(URL):
        return any_url()(url=url, notify_type=kind)
    if operations.notify_block:
        from prefect.blocks.core import Block
        from prefect.settings import PREFECT_API_URL

        assert PREFECT_API_URL.value(), "no Prefect server answers"  # its client would start one of its own
        return Block.load(operations.notify_block)
    return None


def notify(operations: Operations, log, subject: str, body: str, kind: KINDS = "info") -> None:
    """Sends a notice; what goes wrong is a warning in `log` and no more, since no notice is worth a promotion."""
    try:
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it repeats a URL that it does not understand
        if (found := block(operations, kind)) is not None:
            with found.raise_on_failure():
                found.notify(body, subject)
    except Exception as error:  # of Apprise, Prefect, pydantic and the network; their texts may hold the URL
        where = f"the URL in {URL}" if os.environ.get(URL) else f"the Prefect block {operations.notify_block}"
        log.warning("the notice %r could not be sent through %s (%s)", subject, where, type(error).__name__)

"""Telling people: a retraining that failed, a candidate that is ready, a promotion done or refused, an alias that Ollama does not follow.

The log always says it first; this is for those who do not watch it. Where to is a secret, so it is a Prefect notification block that
configs/operations/ names, or a URL in ROBO_NOTIFY_URL in Apprise's form (slack://..., mailto://..., json://HOST/PATH), which Prefect's own
block sends. A notice that cannot be sent is said in the log and stops nothing.
"""

import os
from typing import Literal

from pipeline.core.config import Operations

URL = "ROBO_NOTIFY_URL"
KINDS = Literal["info", "success", "warning", "failure"]


def block(operations: Operations, kind: KINDS):
    """The Prefect block to send through, or None where nobody wants to be told."""
    if url := os.environ.get(URL):
        from prefect.blocks.notifications import AppriseNotificationBlock

        class Url(AppriseNotificationBlock):
            """Any URL that Apprise knows."""
        return Url(url=url, notify_type=kind)
    if operations.notify_block:
        from prefect.blocks.core import Block
        return Block.load(operations.notify_block)
    return None


def notify(operations: Operations, subject: str, body: str, kind: KINDS = "info") -> str:
    """Sends a notice; returns what went wrong, empty when nothing did. Never raises: no notice is worth a promotion."""
    try:
        if (found := block(operations, kind)) is not None:
            with found.raise_on_failure():
                found.notify(body, subject)
    except Exception as error:      # of Apprise, Prefect, pydantic and the network; their texts may hold the URL
        where = f"the URL in {URL}" if os.environ.get(URL) else f"the Prefect block {operations.notify_block}"
        return f"the notice {subject!r} could not be sent through {where} ({type(error).__name__})"
    return ""

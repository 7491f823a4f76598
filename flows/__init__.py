"""The acts: DVC's graph as Prefect tasks, and what reaches the outside world. No numerics here."""

import pipeline  # noqa: F401 (while the project's folder still comes first, so that both packages are of one checkout)

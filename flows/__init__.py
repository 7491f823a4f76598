"""The acts: DVC's graph as Prefect tasks, and what reaches the outside world. No numerics here."""

"""The work: one module a stage, plain functions, no servers. What acts on the outside world is called by `flows`.

A folder stands on those before it and knows none after: core, data, model, training, export, evaluation, publish. Evaluation comes after
export, since assess measures the exported files. plan, advice and tracking stand beside the folders: two that only tell, and the one way
to MLflow, which training reads and publish writes.
"""

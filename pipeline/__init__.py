"""The work: one module a stage, plain functions, no servers. What acts on the outside world is called by `flows`."""

"""From the checkpoint to files that others run, each proven to be the same model."""

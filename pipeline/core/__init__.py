"""What every stage stands on: the one reader of configs, the way in, errors, files, progress. dvc.yaml names it as one dependency."""

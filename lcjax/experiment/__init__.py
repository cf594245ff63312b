"""From a config and a workdir to trainings, movers and comparisons."""

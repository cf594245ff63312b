"""Flax Linen modules. They hold no losses and know no data set."""

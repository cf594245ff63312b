"""Flax Linen modules, independent of losses and data sets."""

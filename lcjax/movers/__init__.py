"""Movers, which change latents until a constraint is met, and their starts."""

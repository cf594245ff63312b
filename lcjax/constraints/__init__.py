"""Constraints on latents: differentiable losses with a yes-or-no answer."""

"""Latent constraints: conditional generation without retraining.

Engel, Hoffman, Roberts, "Latent Constraints", arXiv:1711.05772. Imports point
one way: `launch` -> `training` -> `latent` -> `losses`; `data`, `models`,
`losses` and `evaluation` stand alone.
"""

"""Generative models, as all that the method needs of them."""

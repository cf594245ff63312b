"""Latents: encoding, sampling and moving them."""

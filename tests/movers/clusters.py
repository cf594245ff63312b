"""Two clusters in the plane, as a model and its encoded data."""

import jax.numpy as jnp
import numpy as np

import lcjax

CENTERS = np.array([[2.0, 0.0], [-2.0, 0.0]], np.float32)


def decode(params, z):
  return params * z


def encode(params, x):
  return x / params, jnp.full_like(x, 0.1)


def make():
  """The model, and the data with their classes."""
  rng = np.random.default_rng(0)
  y = np.arange(400) % 2
  x = CENTERS[y] + 0.3 * rng.standard_normal((400, 2), np.float32)
  model = lcjax.latent_model(np.float32(1.0), decode, 2, encode)
  return model, lcjax.encode(model, x, y)


def share_near(z, y, radius=1.0):
  """Share of latents [B, 2] within a radius of their class's center."""
  gaps = np.linalg.norm(z - CENTERS[np.argmax(y, axis=1)], axis=1)
  return np.mean(gaps < radius)

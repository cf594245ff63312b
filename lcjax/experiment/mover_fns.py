"""Optimizer-G and the guided denoiser as jitted functions of parameters."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from lcjax import types
from lcjax.experiment import build
from lcjax.latent import denoise, encodings, mixtures, noise, optimize
from lcjax.losses import distance
from lcjax.models import apply

# Minimum rows of a loop in optimizer-G; smaller loops would be no faster.
_SMALLEST_LOOP = 16


def make_optimizer_g(
  section: ml_collections.ConfigDict,
  key: str,
  networks: build.Networks,
  mean_scale: np.ndarray,
  labels: types.Labels,
) -> Callable[..., optimize.Optimized]:
  """Builds optimizer-G, jitted.

  Args:
    section: `config.optimize` or a section with the same keys.
    key: name of the section, for error messages.
    networks: of the experiment.
    mean_scale: [Z] mean of the encoder's scale over the training split.
    labels: names and kind of the attributes.

  Returns:
    `(attribute params, realism params, max_steps, start, y, mask, reference)
    -> optimize.Optimized`.
  """
  tx = build.make_optimizer(
    section.optimizer, section.max_steps, f'{key}.optimizer'
  )
  with_params = build.make_constraint(
    section, networks, jnp.asarray(mean_scale), labels
  )

  @jax.jit
  def move(
    attribute_params: Any,
    realism_params: Any,
    max_steps: jax.Array,
    start: jax.Array,
    y: jax.Array,
    mask: jax.Array,
    reference: jax.Array,
  ) -> optimize.Optimized:
    constraint = with_params(attribute_params, realism_params)
    target = {'attributes': (y, mask), 'near': reference}
    return optimize.optimize_latents(
      constraint, start, target, tx, max_steps, _SMALLEST_LOOP
    )

  return move


def make_denoiser(
  section: ml_collections.ConfigDict,
  networks: build.Networks,
  train: encodings.Encodings,
  labels: types.Labels,
  mixture: mixtures.Noised | None,
) -> Callable[..., jax.Array]:
  """Builds the guided denoiser, jitted.

  At noise times above `section.mixture_above`, only the coarse shape of q(z) is
  left. There, the closed-form class mixture is a better denoiser and classifier
  than the networks; below, the networks are better.

  Args:
    section: `config.denoise` or a section with the same keys.
    networks: of the experiment.
    train: encodings of the training split.
    labels: names and kind of the attributes.
    mixture: the class mixture in standardized units of the latents; None if
      `section.mixture_above` is 1.

  Returns:
    `(velocity params, attribute params, edit, key, start, y, mask, reference,
    rows) -> moved latents [B, Z]`. With `edit`, `start` are encodings, to which
    noise is added first; otherwise, `start` is the noise. `key` is the raw data
    of a random key as a numpy array, which is not bound to a device. `rows` are
    the row numbers that each row's noise depends on.
  """
  velocity_fn = apply.Apply(networks.denoiser)
  attribute_fn = apply.Apply(networks.noised_attribute_critic)
  mean, std = (
    jnp.asarray(train.aggregate_mean),
    jnp.asarray(train.aggregate_std),
  )
  mean_scale = jnp.asarray(train.mean_scale)

  def to_unit(z: jax.Array) -> jax.Array:
    return (z - mean[None]) / std[None]

  @functools.partial(jax.jit, static_argnums=2)
  def move(
    velocity_params: Any,
    attribute_params: Any,
    edit: bool,
    key: jax.Array,
    start: jax.Array,
    y: jax.Array,
    mask: jax.Array,
    reference: jax.Array,
    rows: jax.Array,
  ) -> jax.Array:
    def near(z: jax.Array, reference: jax.Array) -> jax.Array:
      if not section.distance_weight:
        return jnp.zeros(len(z), z.dtype)
      moved = z * std[None] + mean[None]
      penalty = distance.distance_penalty(moved, reference, mean_scale)
      return section.distance_weight * penalty

    def energy_fn(z: jax.Array, t: jax.Array, target: tuple) -> jax.Array:
      y, mask, reference = target
      energy = near(z, reference)
      if section.attribute_weight:  # otherwise skip D_attr
        logits = attribute_fn(attribute_params, z, t)
        loss = labels.cross_entropy(logits, y, mask)
        energy += section.attribute_weight * loss
      return energy

    def mixture_energy_fn(
      z: jax.Array, t: jax.Array, target: tuple
    ) -> jax.Array:
      y, _, reference = target
      assert mixture is not None
      loss = -mixtures.class_log_probabilities(mixture, z, t, y)
      return section.mixture_attribute_weight * loss + near(z, reference)

    keys = jax.random.split(jax.random.wrap_key_data(key), 3)
    start_key, high_key, sample_key = keys
    time = section.edit_time if edit else 1.0
    if edit:
      eps = noise.normal(start_key, rows, start.shape[1], start.dtype)
      times = jnp.full(len(start), time, start.dtype)
      start = denoise.add_noise(to_unit(start), times, eps)
    z, target, num_steps = start, (y, mask, reference), section.num_steps
    above = section.mixture_above
    if time > above:
      assert mixture is not None
      high = max(1, round(num_steps * (time - above) / time))
      z = denoise.guided_denoise(
        functools.partial(mixtures.velocity, mixture),
        mixture_energy_fn,
        z,
        target,
        rows,
        high_key,
        denoise.Schedule(high, time, section.eta, above),
      )
      time, num_steps = above, max(1, num_steps - high)
    z = denoise.guided_denoise(
      functools.partial(velocity_fn, velocity_params),
      energy_fn,
      z,
      target,
      rows,
      sample_key,
      denoise.Schedule(num_steps, time, section.eta),
    )
    return z * std[None] + mean[None]

  return move

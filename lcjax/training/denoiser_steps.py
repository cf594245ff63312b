"""The train step of the guided denoiser, on encoded data only."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lcjax import types
from lcjax.latent import denoise
from lcjax.training import latent_steps, objectives, steps
from lcjax.training import state as state_lib


def noised_rows(
  batch: steps.Batch,
  key: jax.Array,
  mean: jax.Array | float = 0.0,
  std: jax.Array | float = 1.0,
  time_sampling: denoise.TimeSampling = 'logit_normal',
) -> steps.Batch:
  """Draws z ~ q(z|x), noise times and noise.

  Args:
    batch: as in `latent_steps`.
    key: of the noise.
    mean: [1, Z] or scalar mean of q(z).
    std: [1, Z] or scalar standard deviation of q(z).
    time_sampling: see `denoise.draw_times`.

  Returns:
    'noised' latents [B, Z] in standard units, their 'time' [B], the 'velocity'
    [B, Z] to predict, and 'attributes'.
  """
  latent_key, time_key = jax.random.split(key)
  real, eps = latent_steps.draw_latents(batch, latent_key)
  unit = (real - mean) / std
  time = denoise.draw_times(time_key, batch['row'], time_sampling)
  return {
    'noised': denoise.add_noise(unit, time, eps),
    'time': time,
    'velocity': denoise.velocity(unit, time, eps),
    'attributes': batch['attributes'],
  }


def velocity_loss(
  velocity_fn: Callable[..., jax.Array], params: Any, rows: steps.Batch
) -> tuple[jax.Array, steps.Metrics]:
  """Mean squared error of the predicted velocity, for `noised_rows`."""
  predicted = velocity_fn(params, rows['noised'], rows['time'])
  loss = jnp.mean(jnp.square(predicted - rows['velocity']))
  return loss, {'velocity_mse': loss}


def attribute_loss(
  attribute_fn: Callable[..., jax.Array],
  params: Any,
  rows: steps.Batch,
  labels: types.Labels,
) -> tuple[jax.Array, steps.Metrics]:
  """Cross-entropy of a classifier of noised latents, for `noised_rows`."""
  loss, accuracy = objectives.classification(
    attribute_fn(params, rows['noised'], rows['time']),
    rows['attributes'],
    labels,
  )
  return loss, {'attribute_loss': loss, 'attribute_accuracy': accuracy}


def make_denoiser_step(
  velocity_fn: Callable[[Any, jax.Array, jax.Array], jax.Array],
  attribute_fn: Callable[[Any, jax.Array, jax.Array], jax.Array],
  mean: jax.Array,
  std: jax.Array,
  velocity_tx: optax.GradientTransformation,
  attribute_tx: optax.GradientTransformation,
  labels: types.Labels,
  average_decay: float,
  axis_name: str | None = None,
  skip_nonfinite: bool = False,
  time_sampling: denoise.TimeSampling = 'logit_normal',
) -> steps.Step:
  """Builds the step that trains the denoiser and D_attr(z_t, t).

  Args:
    velocity_fn: (params, z_t [B, Z], t [B]) -> predicted velocity [B, Z].
    attribute_fn: (params, z_t [B, Z], t [B]) -> logits [B, Y].
    mean: [Z] mean of q(z); the denoiser works on (z - mean) / std.
    std: [Z] standard deviation of q(z).
    velocity_tx: the denoiser's optimiser.
    attribute_tx: D_attr's optimiser.
    labels: of the attributes.
    average_decay: of both networks' averaged parameters.
    axis_name: axis to average over, if any.
    skip_nonfinite: as in `steps.make_update`, for each network.
    time_sampling: of the noise times, see `denoise.draw_times`.

  Returns:
    The step of a state with the networks 'velocity' and 'attribute'.
  """

  def velocity_objective(
    params: Any, rows: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    del key
    return velocity_loss(velocity_fn, params, rows)

  def attribute_objective(
    params: Any, rows: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    del key
    return attribute_loss(attribute_fn, params, rows, labels)

  updates = {
    'velocity': steps.make_update(
      velocity_objective, velocity_tx, average_decay, axis_name, skip_nonfinite
    ),
    'attribute': steps.make_update(
      attribute_objective,
      attribute_tx,
      average_decay,
      axis_name,
      skip_nonfinite,
    ),
  }

  def make_rows(
    state: state_lib.TrainState, batch: steps.Batch, key: jax.Array
  ) -> steps.Batch:
    del state
    return noised_rows(batch, key, mean[None], std[None], time_sampling)

  return steps.make_train_step(updates, make_rows)

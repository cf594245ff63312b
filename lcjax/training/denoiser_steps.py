"""The train step of the guided denoiser, on encoded data only."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lcjax import types
from lcjax.latent import denoise, noise
from lcjax.training import latent_steps, objectives, steps
from lcjax.training import state as state_lib


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

  Returns:
    The step of a state with the networks 'velocity' and 'attribute'.
  """

  def velocity_objective(
    params: Any, rows: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    del key
    predicted = velocity_fn(params, rows['noised'], rows['time'])
    loss = jnp.mean(jnp.square(predicted - rows['velocity']))
    return loss, {'velocity_mse': loss}

  def attribute_objective(
    params: Any, rows: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    del key
    logits = attribute_fn(params, rows['noised'], rows['time'])
    loss, accuracy = objectives.classification(
      logits, rows['attributes'], labels
    )
    return loss, {'attribute_loss': loss, 'attribute_accuracy': accuracy}

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

  def step(
    state: state_lib.TrainState, batch: steps.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, steps.Metrics]:
    key = jax.random.fold_in(key, state.step)
    latent_key, time_key = jax.random.split(key)
    real, eps = latent_steps.draw_latents(batch, latent_key)
    unit = (real - mean[None]) / std[None]
    time = noise.uniform(time_key, batch['row'])
    rows = {
      'noised': denoise.add_noise(unit, time, eps),
      'time': time,
      'velocity': denoise.velocity(unit, time, eps),
      'attributes': batch['attributes'],
    }
    return steps.take_step(updates, state, rows, key)

  return step

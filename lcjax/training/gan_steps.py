"""Train steps of a generator of images against a discriminator, on images.

Batches have 'image' [B, H, W, C], uint8, and 'row'; of a conditional GAN also
'attributes' [B, Y] of the same rows and 'other_attributes' [B, Y] of other
rows. Noise is drawn anew in every step, as a function of (key, step, row).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lcjax.latent import noise
from lcjax.losses import divergences
from lcjax.training import latent_steps, objectives, steps
from lcjax.training import state as state_lib


def labels_of(batch: steps.Batch) -> tuple[jax.Array, jax.Array]:
  """Labels of the rows and of other rows, [B, Y]; Y = 0 if there are none."""
  none = jnp.zeros((len(batch['row']), 0), jnp.float32)
  return batch.get('attributes', none), batch.get('other_attributes', none)


def diversity(fake: jax.Array, real: jax.Array) -> jax.Array:
  """Variance of generated rows around their mean, 1 if that of real rows.

  Args:
    fake: [B, ...] generated.
    real: [B, ...].
  """
  of_real = jnp.sum(jnp.var(real, axis=0))
  return jnp.sum(jnp.var(fake, axis=0)) / jnp.maximum(of_real, 1e-12)


def make_gan_step(
  generator_fn: Callable[[Any, jax.Array, jax.Array], jax.Array],
  discriminator_fn: Callable[[Any, jax.Array, jax.Array], jax.Array],
  latent_size: int,
  generator_tx: optax.GradientTransformation,
  discriminator_tx: optax.GradientTransformation,
  weights: latent_steps.CriticWeights,
  divergence: divergences.Divergence,
  average_decay: float,
  discriminator_steps_per_generator_step: int = 1,
  axis_name: str | None = None,
  skip_nonfinite: bool = False,
) -> steps.Step:
  """Builds the step of g(z, y) against D(x, y).

  Goodfellow et al., arXiv:1406.2661, algorithm 1, with the losses of any
  divergence: the discriminator minimises `latent_steps.critic_loss`, the
  generator `Divergence.mover_loss`; with divergence 'gan' that is the
  non-saturating loss, with 'pairing' and the weights r1 and r2 it is R3GAN,
  arXiv:2501.05441, equation 2. Every step updates the discriminator.

  Args:
    generator_fn: (params, z [B, Z], y [B, Y]) -> images [B, H, W, C] in [0, 1];
      Y is 0 without labels.
    discriminator_fn: (params, images, y) -> outputs v [B].
    latent_size: Z.
    generator_tx: the generator's optimiser.
    discriminator_tx: the discriminator's optimiser.
    weights: of the kinds of rows in the discriminator's loss. `prior` must be
      0: a latent is no image. Penalties are of gradients by pixels in [0, 1].
    divergence: that the discriminator estimates.
    average_decay: of the generator's averaged parameters.
    discriminator_steps_per_generator_step: the update ratio.
    axis_name: axis to average over, if any.
    skip_nonfinite: as in `steps.make_update`, for each network.

  Returns:
    The step of a state with the networks 'generator' and 'discriminator'. Its
    metrics include the norms of their gradients, 'mover_grad_norm' and
    'critic_grad_norm', and the `diversity` of a batch.
  """

  def discriminator_objective(
    params: Any, rows: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    del key
    return latent_steps.critic_loss(
      lambda x, y: discriminator_fn(params, x, y), rows, weights, divergence
    )

  update_discriminator = steps.make_update(
    discriminator_objective,
    discriminator_tx,
    0.0,
    axis_name,
    skip_nonfinite,
    'critic_grad_norm',
  )

  def step(
    state: state_lib.TrainState, batch: steps.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, steps.Metrics]:
    key = jax.random.fold_in(key, state.step)
    own_key, fake_key, mix_key = jax.random.split(key, 3)
    numbers = batch['row']
    real = objectives.to_unit(batch['image'])
    y, other = labels_of(batch)
    seen = noise.normal(fake_key, numbers, latent_size)
    fake = generator_fn(state['generator'].params, seen, y)
    rows = {
      'real': real,
      'moved': fake,
      'mix': noise.uniform(mix_key, numbers),
      'attributes': y,
      'other_attributes': other,
    }
    discriminator, metrics = update_discriminator(
      state['discriminator'], rows, key
    )

    def generator_objective(
      params: Any, rows: steps.Batch, key: jax.Array
    ) -> tuple[jax.Array, steps.Metrics]:
      del rows, key
      # Other noise than the discriminator has just been trained on.
      z = noise.normal(own_key, numbers, latent_size)
      made = generator_fn(params, z, y)
      outputs = discriminator_fn(discriminator.params, made, y)
      reference: jax.Array | float = 0.0
      if divergence.calibrated:  # the others do not read it
        reference = discriminator_fn(discriminator.params, real, y)
      loss = jnp.mean(divergence.mover_loss(outputs, reference))
      return loss, {'generator_loss': loss, 'diversity': diversity(made, real)}

    update_generator = steps.make_update(
      generator_objective,
      generator_tx,
      average_decay,
      axis_name,
      skip_nonfinite,
      'mover_grad_norm',
      every=discriminator_steps_per_generator_step,
    )
    generator, found = update_generator(
      state['generator'], rows, key, state.step
    )
    networks = {'generator': generator, 'discriminator': discriminator}
    return state_lib.TrainState(state.step + 1, networks), metrics | found

  return step

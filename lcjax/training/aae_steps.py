"""The step of an adversarial autoencoder, and of its twin without a critic.

Makhzani et al., arXiv:1511.05644: an autoencoder whose encodings q(z) are kept
at a prior p(z), by a critic of latents that cannot tell them apart, in place of
the KL divergence of a VAE. With an MMD instead of a critic it is WAE-MMD,
Tolstikhin et al., arXiv:1711.01558, algorithm 2.

Batches have 'image' [B, H, W, C], uint8, and 'row'. Encoders are stochastic as
a VAE's are, so that q(z|x) has a standard deviation; without a KL divergence
only the reconstruction shapes it, which would be least without any.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lcjax.latent import noise, priors
from lcjax.losses import divergences, elbo, mmd
from lcjax.training import gan_steps, latent_steps, objectives, steps
from lcjax.training import state as state_lib


@dataclasses.dataclass(frozen=True)
class Autoencoder:
  """What a step needs of the autoencoder and its prior.

  Attributes:
    encode_fn: (params, images in [0, 1]) -> (mean, scale), each [B, Z].
    decode_fn: (params, z) -> images in [0, 1].
    prior: p(z).
    sigma_x: standard deviation of a pixel.
    match_weight: of what keeps q(z) at p(z), beside a reconstruction in nats.
  """

  encode_fn: Callable[[Any, jax.Array], tuple[jax.Array, jax.Array]]
  decode_fn: Callable[[Any, jax.Array], jax.Array]
  prior: priors.Prior
  sigma_x: float | jax.Array
  match_weight: float | jax.Array

  @property
  def size(self) -> jax.Array:
    """The expected squared distance of two draws of the prior."""
    return 2.0 * jnp.sum(jnp.square(self.prior.std))

  def sample(
    self, params: Any, images: jax.Array, rows: jax.Array, key: jax.Array
  ) -> jax.Array:
    """Draws z [B, Z] of q(z|x), of images in [0, 1]."""
    mean, scale = self.encode_fn(params, images)
    return mean + scale * noise.normal(key, rows, mean.shape[-1])

  def loss(
    self,
    params: Any,
    batch: steps.Batch,
    key: jax.Array,
    match_fn: Callable[[jax.Array], jax.Array],
  ) -> tuple[jax.Array, steps.Metrics]:
    """-log p(x|z) in nats plus the weighted match of z, means over the batch.

    Args:
      params: of the autoencoder.
      batch: as above.
      key: of the draw of z.
      match_fn: z [B, Z] -> a scalar, or losses [B].
    """
    images = objectives.to_unit(batch['image'])
    z = self.sample(params, images, batch['row'], key)
    decoded = self.decode_fn(params, z)
    likelihood = elbo.gaussian_log_likelihood(images, decoded, self.sigma_x)
    match = jnp.mean(match_fn(z))
    loss = self.match_weight * match - jnp.mean(likelihood)
    return loss, {
      'loss': loss,
      'match': match,
      'reconstruction_nats': jnp.mean(likelihood),
      'pixel_mse': jnp.mean(jnp.square(images - decoded)),
    }


def make_mmd_loss(autoencoder: Autoencoder) -> steps.LossFn:
  """The loss of WAE-MMD: the match is B times the MMD of z and p(z).

  Times the batch size, so that a weight means about the same as that of a sum
  over rows, and noise of the estimate, which falls with B, stays the same.
  """

  def loss_fn(
    params: Any, batch: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    own_key, prior_key = jax.random.split(key)
    p = autoencoder.prior(None, prior_key, batch['row'])

    def match(z: jax.Array) -> jax.Array:
      return len(p) * mmd.mmd(z, p, autoencoder.size)

    loss, metrics = autoencoder.loss(params, batch, own_key, match)
    return loss, metrics

  return loss_fn


def make_aae_step(
  autoencoder: Autoencoder,
  critic_fn: Callable[[Any, jax.Array], jax.Array],
  tx: optax.GradientTransformation,
  critic_tx: optax.GradientTransformation,
  weights: latent_steps.CriticWeights,
  divergence: divergences.Divergence,
  average_decay: float,
  axis_name: str | None = None,
  skip_nonfinite: bool = False,
) -> steps.Step:
  """Builds the step of an autoencoder against a critic of latents.

  To the critic, draws of p(z) are real and those of q(z) fakes; the encoder
  moves its own to where they count as real, by `Divergence.mover_loss`. Each
  step updates the critic, then the autoencoder on other draws.

  Args:
    autoencoder: and its prior.
    critic_fn: (params, z [B, Z]) -> outputs v [B].
    tx: the autoencoder's optimiser.
    critic_tx: the critic's optimiser.
    weights: in the critic's loss; `prior` and `mismatched` must be 0.
    divergence: that the critic estimates.
    average_decay: of the autoencoder's averaged parameters.
    axis_name: axis to average over, if any.
    skip_nonfinite: as in `steps.make_update`, for each network.

  Returns:
    The step of a state with the networks 'autoencoder' and 'critic'. Its
    metrics include both scores of the critic, the norms of gradients, and the
    `gan_steps.diversity` of z beside the prior.
  """

  def critic_objective(
    params: Any, rows: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    del key
    return latent_steps.critic_loss(
      lambda z, _: critic_fn(params, z),
      rows,
      weights,
      divergence,
      autoencoder.prior.std,
    )

  update_critic = steps.make_update(
    critic_objective,
    critic_tx,
    0.0,
    axis_name,
    skip_nonfinite,
    'critic_grad_norm',
  )

  def step(
    state: state_lib.TrainState, batch: steps.Batch, key: jax.Array
  ) -> tuple[state_lib.TrainState, steps.Metrics]:
    key = jax.random.fold_in(key, state.step)
    draw_key, prior_key, mix_key, own_key = jax.random.split(key, 4)
    numbers = batch['row']
    y, other = gan_steps.labels_of({'row': numbers})
    params = state['autoencoder'].params
    images = objectives.to_unit(batch['image'])
    p = autoencoder.prior(None, prior_key, numbers)
    moved = autoencoder.sample(params, images, numbers, draw_key)
    rows = {
      'real': p,
      'moved': moved,
      'mix': noise.uniform(mix_key, numbers),
      'attributes': y,
      'other_attributes': other,
    }
    critic, metrics = update_critic(state['critic'], rows, key)

    def objective(
      params: Any, rows: steps.Batch, key: jax.Array
    ) -> tuple[jax.Array, steps.Metrics]:
      del key

      def match(z: jax.Array) -> jax.Array:
        reference: jax.Array | float = 0.0
        if divergence.calibrated:  # the others do not read it
          reference = critic_fn(critic.params, p)
        return divergence.mover_loss(critic_fn(critic.params, z), reference)

      loss, found = autoencoder.loss(params, rows, own_key, match)
      return loss, found | {'diversity': gan_steps.diversity(moved, p)}

    update = steps.make_update(
      objective, tx, average_decay, axis_name, skip_nonfinite, 'mover_grad_norm'
    )
    network, found = update(state['autoencoder'], batch, key)
    networks = {'autoencoder': network, 'critic': critic}
    return state_lib.TrainState(state.step + 1, networks), metrics | found

  return step

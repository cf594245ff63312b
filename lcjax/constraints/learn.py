"""Critics of latents, learned in memory from encoded data."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from lcjax import errors, types
from lcjax.constraints import attributes, critics
from lcjax.generators import latent_model
from lcjax.latent import encodings, noise, optimize
from lcjax.losses import divergences
from lcjax.models import apply
from lcjax.models import critic as critic_lib
from lcjax.models import denoiser as denoiser_lib
from lcjax.training import (
  denoiser_steps,
  latent_steps,
  objectives,
  optimizer_spec,
  steps,
)

_CRITIC_ADAM = optimizer_spec.adam(1e-3)
_LATENT_ADAM = optimizer_spec.adam(0.1)
_CALIBRATION_BATCH = 1024


@dataclasses.dataclass(frozen=True)
class _AttributeLoss:
  logits_fn: apply.Apply
  labels: types.Labels

  def __call__(
    self, params: Any, batch: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    z, _ = latent_steps.draw_latents(batch, key)
    loss, accuracy = objectives.classification(
      self.logits_fn(params, z), batch['attributes'], self.labels
    )
    return loss, {'loss': loss, 'accuracy': accuracy}


@dataclasses.dataclass(frozen=True)
class _NoisedAttributeLoss:
  """Of latents in standard units."""

  logits_fn: apply.Apply
  labels: types.Labels

  def __call__(
    self, params: Any, batch: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    rows = denoiser_steps.noised_rows(batch, key)
    return denoiser_steps.attribute_loss(
      self.logits_fn, params, rows, self.labels
    )


@dataclasses.dataclass(frozen=True)
class _RealismLoss:
  """Data against prior latents, moved by optimizer-G and as drawn."""

  critic_fn: apply.Apply
  inner_steps: int
  weights: latent_steps.CriticWeights
  divergence: divergences.Divergence

  def __call__(
    self, params: Any, batch: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    real, prior = latent_steps.draw_latents(batch, key)
    # Threshold 1: no row counts as met early, so all take every step.
    current = critics.Critic(
      jax.lax.stop_gradient(params),
      threshold=1.0,
      critic_fn=self.critic_fn,
      divergence=self.divergence,
      quantiles=self.divergence.calibrate(
        jax.lax.stop_gradient(self.critic_fn(params, real))
      ),
    )
    moved = optimize.optimize_latents(
      current, prior, {}, _LATENT_ADAM.make(), self.inner_steps
    ).z
    mix_key = jax.random.fold_in(key, 2)
    rows = {
      'real': real,
      'prior': prior,
      'moved': jax.lax.stop_gradient(moved),
      'mix': noise.uniform(mix_key, batch['row']),
      'attributes': batch['attributes'],
      'other_attributes': batch['attributes'],
    }
    return latent_steps.critic_loss(
      lambda z, _: self.critic_fn(params, z),
      rows,
      self.weights,
      self.divergence,
      batch['spread'],
    )


def _init(
  module: nn.Module, data: latent_model.LatentData, key: jax.Array
) -> Any:
  """The parameters of a network of latents before training."""
  return module.init(key, jnp.zeros((1, data.encodings.mean.shape[1])))


def learn_attributes(
  data: latent_model.LatentData,
  key: jax.Array,
  *,
  name: str = 'attributes',
  tolerance: float = 0.1,
  noised: bool = False,
  hidden_sizes: Sequence[int] = (256, 256),
  optimizer: optimizer_spec.OptimizerSpec = _CRITIC_ADAM,
  num_steps: int = 1000,
  batch_size: int = 128,
  progress: bool = True,
) -> attributes.Attributes:
  """Learns which labels hold at z ~ q(z|x).

  Args:
    data: encoded data with labels.
    key: of the initial parameters, batches and noise.
    name: of the constraint and its target.
    tolerance: met if every attribute has |y - p| below this.
    noised: whether to learn a classifier of noised latents as well, which
      guides a denoiser better than one of latents without noise.
    hidden_sizes: of the network.
    optimizer: of its parameters.
    num_steps: of training.
    batch_size: rows per step.
    progress: whether to show a bar.

  Raises:
    UserError: the data have no labels, or the loss is not finite.
  """
  if data.labels is None:
    raise errors.UserError(
      'data: there are no labels: give lcjax.encode(..., labels=...)'
    )
  module = critic_lib.AttributeCritic(
    len(data.labels), tuple(hidden_sizes), 'relu'
  )
  logits_fn = apply.Apply(module)
  init_key, fit_key, noised_key = jax.random.split(key, 3)
  params = latent_model.fit_network(
    'learn_attributes',
    _AttributeLoss(logits_fn, data.labels),
    _init(module, data, init_key),
    data,
    fit_key,
    optimizer,
    num_steps,
    batch_size,
    progress,
  )
  found = attributes.Attributes(params, tolerance, logits_fn, data.labels, name)
  if not noised:
    return found
  size = data.encodings.mean.shape[1]
  noised_module = denoiser_lib.ResidualMlp(
    hidden_sizes[0], len(hidden_sizes), len(data.labels), 'silu'
  )
  noised_fn = apply.Apply(noised_module)
  params = latent_model.fit_network(
    'learn_attributes: noised',
    _NoisedAttributeLoss(noised_fn, data.labels),
    noised_module.init(init_key, jnp.zeros((1, size)), jnp.zeros(1)),
    latent_model.standardised(data),
    noised_key,
    optimizer,
    num_steps,
    batch_size,
    progress,
  )
  return dataclasses.replace(found, noised_params=params, noised_fn=noised_fn)


def learn_realism(
  data: latent_model.LatentData,
  key: jax.Array,
  *,
  name: str = 'realism',
  threshold: float = 0.9,
  divergence: str | divergences.Divergence = 'gan',
  gradient_penalty: float = 0.0,
  r1: float = 0.0,
  r2: float = 0.0,
  held_out: latent_model.LatentData | None = None,
  hidden_sizes: Sequence[int] = (256, 256),
  optimizer: optimizer_spec.OptimizerSpec = _CRITIC_ADAM,
  inner_steps: int = 10,
  start: Callable[..., np.ndarray] | None = None,
  num_steps: int = 1000,
  batch_size: int = 128,
  progress: bool = True,
) -> critics.Critic:
  """Learns where real data are: D(z) of arXiv:1711.05772, section 3.

  A critic that has seen q(z) and p(z) alone is exploited by optimizer-G. So
  every step also moves prior latents against the current critic, and shows it
  the result as fakes.

  Args:
    data: encoded data; labels are not read.
    key: of the initial parameters, batches and noise.
    name: of the constraint.
    threshold: met if D(z) is at least this: at .9, real data are 9 times as
      likely as moved ones. For a divergence without a density ratio, D is the
      share of real encodings that score less: at .5, z scores above their
      median.
    divergence: that the critic estimates: a name in `divergences.TABLE`, or a
      `divergences.Divergence` of your own.
    gradient_penalty: weight of (|grad| - 1)^2 between real and moved latents,
      arXiv:1704.00028; 'wasserstein' needs it.
    r1: weight of |grad|^2 / 2 at real latents in units of their standard
      deviations, arXiv:1801.04406.
    r2: the same at moved latents.
    held_out: encoded data, for the threshold and the loss of a divergence
      without a density ratio; None for the data themselves. Not read for
      others.
    hidden_sizes: of the network.
    optimizer: of its parameters.
    inner_steps: of optimizer-G, in every step.
    start: (target, rows, key) -> z, what optimizer-G moves there: drawn once
      for each row of the data and its labels; None for the prior, drawn anew
      in every step.
    num_steps: of training.
    batch_size: rows per step.
    progress: whether to show a bar.

  Raises:
    UserError: there is no such divergence, it needs a gradient penalty, or the
      loss is not finite.
  """
  divergence = divergences.find(divergence, 'divergence')
  # If the data are themselves draws of the prior, only moved rows are fakes.
  share, prior = (1.0, 0.0) if data.from_prior else (0.5, 0.5)
  weights = latent_steps.CriticWeights(
    share, prior, 0.0, gradient_penalty, r1, r2
  )
  divergences.check_penalty(
    divergence,
    'divergence',
    {'gradient_penalty': gradient_penalty, 'r1': r1, 'r2': r2},
  )
  module = critic_lib.Critic(
    label_size=0, hidden_sizes=tuple(hidden_sizes), activation='relu'
  )
  critic_fn = apply.Apply(module)
  init_key, fit_key = jax.random.split(key)
  target = {'attributes': data.encodings.attributes}
  params = latent_model.fit_network(
    'learn_realism',
    _RealismLoss(critic_fn, inner_steps, weights, divergence),
    _init(module, data, init_key),
    data,
    fit_key,
    optimizer,
    num_steps,
    batch_size,
    progress,
    begun=latent_model.begin(start, data, target, fit_key),
    constants={'spread': data.encodings.aggregate_std},
  )
  real = data if held_out is None else held_out
  return critics.Critic(
    params,
    threshold,
    critic_fn,
    name,
    of_density=True,
    divergence=divergence,
    quantiles=calibrate(divergence, critic_fn, params, real.encodings),
  )


def calibrate(
  divergence: divergences.Divergence,
  critic_fn: Callable[[Any, jax.Array], jax.Array],
  params: Any,
  real: encodings.Encodings,
) -> jax.Array | None:
  """What a constraint keeps of a critic's outputs of real encodings.

  Args:
    divergence: that the critic estimates.
    critic_fn: (params, z [B, Z]) -> outputs v [B].
    params: of the critic.
    real: held out, if possible.

  Returns:
    Their quantiles, see `Divergence.calibrate`; None if none are needed.
  """
  if not divergence.calibrated:
    return None
  outputs = encodings.in_batches(
    functools.partial(critic_fn, params),
    real.sample(0),
    batch_size=_CALIBRATION_BATCH,
  )
  return divergence.calibrate(outputs)

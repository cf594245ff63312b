"""Critics of latents, learned in memory from encoded data."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from lcjax import errors, types
from lcjax.constraints import attributes, critics
from lcjax.generators import latent_model
from lcjax.latent import optimize
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
  """Data against prior latents, moved by optimizer-G and as drawn.

  If the data are themselves draws of the prior, only moved latents are fakes.
  """

  critic_fn: apply.Apply
  inner_steps: int
  from_prior: bool
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
    )
    moved = optimize.optimize_latents(
      current, prior, {}, _LATENT_ADAM.make(), self.inner_steps
    ).z
    moved = jax.lax.stop_gradient(moved)
    of_real = self.critic_fn(params, real)
    fakes = [moved] if self.from_prior else [moved, prior]
    of_fakes = [self.critic_fn(params, z) for z in fakes]
    loss = jnp.mean(self.divergence.real_loss(of_real))
    for outputs in of_fakes:
      loss += jnp.mean(self.divergence.fake_loss(outputs)) / len(fakes)
    return loss, {
      'loss': loss,
      'real': jnp.mean(self.divergence.probability(of_real)),
      'moved': jnp.mean(self.divergence.probability(of_fakes[0])),
    }


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
    threshold: met if D(z) is at least this, for any divergence: at .9, real
      data are 9 times as likely as moved ones.
    divergence: that the critic estimates: a name in `divergences.TABLE`, or a
      `divergences.Divergence` of your own.
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
    UserError: there is no such divergence, or the loss is not finite.
  """
  if isinstance(divergence, str):
    divergence = divergences.find(divergence, 'divergence')
  module = critic_lib.Critic(
    label_size=0, hidden_sizes=tuple(hidden_sizes), activation='relu'
  )
  critic_fn = apply.Apply(module)
  init_key, fit_key = jax.random.split(key)
  target = {'attributes': data.encodings.attributes}
  params = latent_model.fit_network(
    'learn_realism',
    _RealismLoss(critic_fn, inner_steps, data.from_prior, divergence),
    _init(module, data, init_key),
    data,
    fit_key,
    optimizer,
    num_steps,
    batch_size,
    progress,
    begun=latent_model.begin(start, data, target, fit_key),
  )
  return critics.Critic(
    params,
    threshold,
    critic_fn,
    name,
    of_density=True,
    divergence=divergence,
  )

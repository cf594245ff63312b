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
from lcjax.data import batches
from lcjax.generators import latent_model
from lcjax.latent import optimize
from lcjax.losses import adversarial
from lcjax.models import apply
from lcjax.models import critic as critic_lib
from lcjax.training import fit, latent_steps, objectives, optimizer_spec, steps

_ADAM = optimizer_spec.adam(1e-3)
_MOVE = optimizer_spec.adam(0.1)


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
class _RealismLoss:
  """Encodings against the prior, and against what optimizer-G makes of it."""

  critic_fn: apply.Apply
  inner_steps: int
  from_prior: bool

  def __call__(
    self, params: Any, batch: steps.Batch, key: jax.Array
  ) -> tuple[jax.Array, steps.Metrics]:
    real, prior = latent_steps.draw_latents(batch, key)
    current = critics.Critic(jax.lax.stop_gradient(params), 1.0, self.critic_fn)
    moved = optimize.optimize_latents(
      current, prior, {}, _MOVE.make(), self.inner_steps
    ).z
    moved = jax.lax.stop_gradient(moved)
    real_logits = self.critic_fn(params, real)
    fakes = [moved] if self.from_prior else [moved, prior]
    fake_logits = [self.critic_fn(params, z) for z in fakes]
    loss = jnp.mean(adversarial.real_loss(real_logits))
    for logits in fake_logits:
      loss += jnp.mean(adversarial.fake_loss(logits)) / len(fakes)
    return loss, {
      'loss': loss,
      'real': jnp.mean(jax.nn.sigmoid(real_logits)),
      'moved': jnp.mean(jax.nn.sigmoid(fake_logits[0])),
    }


def _make_batches(
  data: latent_model.LatentData, key: jax.Array, batch_size: int
) -> Callable[[int, int], dict[str, np.ndarray]]:
  seed = tuple(int(part) for part in np.ravel(jax.random.key_data(key)))
  found = data.encodings

  def make(step: int, count: int) -> dict[str, np.ndarray]:
    rows = batches.stacked_indices(
      seed, step, count, batch_size, len(found.mean)
    )
    numbers = np.broadcast_to(np.arange(batch_size), rows.shape)
    return {
      'mean': found.mean[rows],
      'scale': found.scale[rows],
      'attributes': found.attributes[rows],
      'row': numbers,
    }

  return make


def _fit(
  name: str,
  loss_fn: steps.LossFn,
  module: nn.Module,
  data: latent_model.LatentData,
  key: jax.Array,
  optimizer: optimizer_spec.OptimizerSpec,
  num_steps: int,
  batch_size: int,
  progress: bool,
) -> Any:
  init_key, order_key, step_key = jax.random.split(key, 3)
  z = jnp.zeros((1, data.encodings.mean.shape[1]))
  return fit.fit(
    name,
    loss_fn,
    module.init(init_key, z),
    optimizer,
    _make_batches(data, order_key, batch_size),
    step_key,
    num_steps,
    progress,
  )


def learn_attributes(
  data: latent_model.LatentData,
  key: jax.Array,
  *,
  name: str = 'attributes',
  tolerance: float = 0.1,
  hidden_sizes: Sequence[int] = (256, 256),
  optimizer: optimizer_spec.OptimizerSpec = _ADAM,
  num_steps: int = 1000,
  batch_size: int = 256,
  progress: bool = True,
) -> attributes.Attributes:
  """Learns which labels hold at z ~ q(z|x).

  Args:
    data: encoded data with labels.
    key: of the initial parameters, batches and noise.
    name: of the constraint and its target.
    tolerance: met if every attribute has |y - p| below this.
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
  params = _fit(
    'learn_attributes',
    _AttributeLoss(logits_fn, data.labels),
    module,
    data,
    key,
    optimizer,
    num_steps,
    batch_size,
    progress,
  )
  return attributes.Attributes(params, tolerance, logits_fn, data.labels, name)


def learn_realism(
  data: latent_model.LatentData,
  key: jax.Array,
  *,
  name: str = 'realism',
  threshold: float = 0.9,
  hidden_sizes: Sequence[int] = (256, 256),
  optimizer: optimizer_spec.OptimizerSpec = _ADAM,
  inner_steps: int = 10,
  num_steps: int = 1000,
  batch_size: int = 256,
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
    threshold: met if D(z) is at least this.
    hidden_sizes: of the network.
    optimizer: of its parameters.
    inner_steps: of optimizer-G, in every step.
    num_steps: of training.
    batch_size: rows per step.
    progress: whether to show a bar.

  Raises:
    UserError: the loss is not finite.
  """
  module = critic_lib.Critic(0, tuple(hidden_sizes), 'relu')
  critic_fn = apply.Apply(module)
  params = _fit(
    'learn_realism',
    _RealismLoss(critic_fn, inner_steps, data.from_prior),
    module,
    data,
    key,
    optimizer,
    num_steps,
    batch_size,
    progress,
  )
  return critics.Critic(params, threshold, critic_fn, name)

"""The amortized actor as a mover, and how it is learned in memory."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from lcjax import errors
from lcjax.constraints import base as constraints
from lcjax.generators import latent_model
from lcjax.latent import encodings
from lcjax.losses import divergences
from lcjax.models import actor as actor_lib
from lcjax.models import apply
from lcjax.models import critic as critic_lib
from lcjax.movers import base, starts
from lcjax.training import (
  fit,
  latent_steps,
  optimizer_spec,
  parallel,
  remedies,
  steps,
)
from lcjax.training import state as state_lib

_ADAM = optimizer_spec.adam(1e-3)


@flax.struct.dataclass
class Actor:
  """G(z, y) of arXiv:1711.05772, section 4: one forward pass moves a latent.

  Attributes:
    params: of the network.
    want: what it was trained for; says which targets it is told.
    actor_fn: (params, z [B, Z], condition [B, C]) -> [B, Z]; static.
    masked: whether it is told masks as well; static.
    completes: of an actor that is not: whether it is told what the constraint
      sees at the start in place of what the mask leaves out; otherwise it moves
      towards all of y, whatever the mask; static.
    batch_size: latents per call; static.
  """

  params: Any
  want: constraints.Constraint
  actor_fn: Callable[..., jax.Array] = flax.struct.field(pytree_node=False)
  masked: bool = flax.struct.field(pytree_node=False, default=False)
  completes: bool = flax.struct.field(pytree_node=False, default=False)
  batch_size: int = flax.struct.field(
    pytree_node=False, default=base.BATCH_SIZE
  )

  def __call__(
    self,
    start: np.ndarray,
    target: constraints.Target,
    rows: np.ndarray | None = None,
    key: jax.Array | None = None,
  ) -> base.Moved:
    """See `base.Mover`; draws no noise and does not ask the constraint."""
    del rows, key
    start = np.asarray(start, np.float32)
    own = base.own_target(self.want, start, target)
    z = encodings.in_batches(
      parallel.over_devices(functools.partial(_act, self)),
      start,
      own,
      batch_size=self.batch_size,
    )
    once = {'actor': np.ones(len(z), np.int32)}
    moved = base.Moved(z, start, evaluations=once)
    base.check_moved(moved)
    return moved


@jax.jit
def _act(mover: Actor, start: jax.Array, target: Any) -> jax.Array:
  if mover.completes and not mover.masked:
    target = jax.vmap(mover.want.complete)(start, target)
  told = constraints.condition(mover.want, target, mover.masked, len(start))
  return mover.actor_fn(mover.params, start, told)


@dataclasses.dataclass(frozen=True)
class Adversary:
  """The critic D(z, condition) that an actor is trained against.

  An actor exploits a frozen realism critic. D is trained beside it: real rows
  against moved ones, prior ones and real rows with the condition of another.

  Attributes:
    weight: of -log D in the actor's loss, beside the constraint's loss.
    moved: weight of moved rows in D's loss; real rows count 1.
    prior: weight of prior rows.
    mismatched: weight of real rows with the condition of another row.
    gradient_penalty: weight of (|grad| - 1)^2 between real and moved latents,
      arXiv:1704.00028; 'wasserstein' needs it.
    divergence: that D estimates: a name in `divergences.TABLE`, or a
      `divergences.Divergence` of your own.
    r1: weight of |grad|^2 / 2 at real latents in units of their standard
      deviations, arXiv:1801.04406.
    r2: the same at moved latents.
    dropout: share of D's hidden units left out in training; this and the next
      three are for a training that fails, see docs/instabilities.md.
    label_noise: share of rows whose real-or-fake label is flipped.
    label_smoothing: weight with which real rows count as fakes; not for
      'wasserstein' and 'pairing'.
    instance_noise: standard deviation of noise on what D sees, in units of that
      of encodings; decays linearly to 0.
  """

  weight: float = 1.0
  moved: float = 1.0
  prior: float = 0.1
  mismatched: float = 1.0
  gradient_penalty: float = 0.0
  divergence: str | divergences.Divergence = divergences.GAN
  r1: float = 0.0
  r2: float = 0.0
  dropout: float = 0.0
  label_noise: float = 0.0
  label_smoothing: float = 0.0
  instance_noise: float = 0.0


@dataclasses.dataclass(frozen=True)
class _Recipe:
  """The step of an actor, see `fit.Recipe`.

  Its constants are the constraint, and the standard deviations of encodings.
  """

  actor_fn: apply.Apply
  critic_fn: apply.Apply
  optimizer: optimizer_spec.OptimizerSpec
  adversary: Adversary | None
  masked: bool
  num_steps: int

  def cost(self, want: Any, z: jax.Array, rows: Any) -> jax.Array:
    """The constraint's loss of every moved row."""
    target = dict.fromkeys(want.references(), rows['start']) | rows['targets']
    return jax.vmap(want)(z, target).loss

  def make_step(
    self, constants: tuple[constraints.Constraint, jax.Array]
  ) -> steps.Step:
    """See `fit.Recipe`."""
    want, spread = constants

    def told(batch: Any) -> steps.Batch:
      return batch | {
        new: constraints.condition(
          want, batch[old], self.masked, len(batch['mean'])
        )
        for new, old in (
          ('attributes', 'targets'),
          ('other_attributes', 'other_targets'),
        )
      }

    if self.adversary is None:

      def alone_loss(
        params: Any, batch: steps.Batch, key: jax.Array
      ) -> tuple[jax.Array, steps.Metrics]:
        _, prior = latent_steps.draw_latents(batch, key)
        z = self.actor_fn(params, prior, batch['attributes'])
        loss = jnp.mean(self.cost(want, z, batch | {'start': prior}))
        return loss, {'constraint': loss}

      alone = steps.make_train_step(
        {'actor': steps.make_update(alone_loss, self.optimizer.make())}
      )
      return lambda state, batch, key: alone(state, told(batch), key)

    own = self.adversary
    both = latent_steps.make_actor_critic_step(
      self.actor_fn,
      self.critic_fn,
      lambda z, rows: self.cost(want, z, rows),
      self.optimizer.make(),
      self.optimizer.make(),
      latent_steps.CriticWeights(
        own.moved,
        own.prior,
        own.mismatched,
        own.gradient_penalty,
        own.r1,
        own.r2,
      ),
      divergences.find(own.divergence, 'adversary: divergence'),
      distance_weight=1.0 / own.weight,
      actor_on_encodings=False,
      critic_steps_per_actor_step=1,
      average_decay=0.0,
      spread=spread,
      remedy=remedies.Remedies(
        own.dropout,
        own.label_noise,
        own.label_smoothing,
        own.instance_noise,
        self.num_steps,
      ),
    )

    def step(state: Any, batch: steps.Batch, key: jax.Array) -> Any:
      state, metrics = both(state, told(batch), key)
      metrics['constraint'] = metrics.pop('distance')
      return state, metrics

    return step


def learn_actor(
  want: constraints.Constraint,
  data: latent_model.LatentData,
  key: jax.Array,
  *,
  targets: Mapping[str, Any] | None = None,
  start: starts.Start | None = None,
  adversary: Adversary | None = Adversary(),
  hidden_sizes: Sequence[int] = (256, 256, 256),
  label_size: int = 64,
  optimizer: optimizer_spec.OptimizerSpec = _ADAM,
  num_steps: int = 3000,
  batch_size: int = 128,
  progress: bool = True,
) -> Actor:
  """Learns an actor that meets a constraint in one forward pass.

  Args:
    want: the constraint; parts of weight 0 cost time only. Without a target,
      as a rule has none, the actor is told nothing but the start.
    data: real latents for the adversary, and their labels; `data.rows(...)` for
      those that obey a rule.
    key: of the initial parameters, batches and noise.
    targets: arrays with a row for each of the data, by name, as a target has
      them; an actor meets targets such as these. With masks, (y, mask), the
      actor is told them, too. The labels of the data if None.
    start: draws what is moved in training, once for each row of the data; None
      for the prior, drawn anew in every step.
    adversary: the critic that is trained beside the actor; None for the
      constraint alone, such as a rule on top of latents that are real anyway.
    hidden_sizes: of actor and adversary.
    label_size: width of the linear map of the condition.
    optimizer: of both.
    num_steps: of training.
    batch_size: rows per step.
    progress: whether to show a bar.

  Raises:
    UserError: a target is missing or has another number of rows, the
      adversary's divergence does not exist, needs a gradient penalty or has no
      labels to smooth, or the loss is not finite.
  """
  if adversary is not None:
    what = 'adversary: divergence'
    divergence = divergences.find(adversary.divergence, what)
    remedies.check(
      divergence,
      what,
      {
        'dropout': adversary.dropout,
        'label_noise': adversary.label_noise,
        'label_smoothing': adversary.label_smoothing,
        'instance_noise': adversary.instance_noise,
      },
    )
    divergences.check_penalty(
      divergence,
      what,
      {
        'gradient_penalty': adversary.gradient_penalty,
        'r1': adversary.r1,
        'r2': adversary.r2,
      },
    )
  needed = [n for n in want.targets() if n not in want.references()]
  found = data.encodings
  if targets is None:
    if needed and data.labels is None:
      raise errors.UserError(
        f'targets: {errors.listed(needed)} cannot be the labels of the data, '
        'which have none: give targets'
      )
    targets = dict.fromkeys(needed, found.attributes)
  own = base.own_target(want, found.mean, targets)
  told = {name: own[name] for name in needed}
  masked = any(isinstance(value, tuple) for value in told.values())
  size = found.mean.shape[1]
  if not told and adversary is not None:
    # There is no condition that a real row could have instead of its own.
    adversary = dataclasses.replace(adversary, mismatched=0.0)
  actor = actor_lib.Actor(size, label_size, tuple(hidden_sizes), 'silu')
  critic = critic_lib.Critic(label_size, tuple(hidden_sizes), 'silu')
  actor_key, critic_key, order_key, step_key = jax.random.split(key, 4)
  begun = latent_model.begin(start, data, own, order_key)
  first = jax.tree.map(lambda leaf: jnp.asarray(leaf[:1]), told)
  z, condition = (
    jnp.zeros((1, size)),
    constraints.condition(want, first, masked, 1),
  )
  tx = optimizer.make()
  networks = {
    'actor': state_lib.create_network(
      actor.init(actor_key, z, condition), tx, average=False
    )
  }
  if adversary is not None:
    networks['critic'] = state_lib.create_network(
      critic.init(critic_key, z, condition), tx, average=False
    )
  actor_fn = apply.Apply(actor)
  state = fit.fit(
    'learn_actor',
    _Recipe(
      actor_fn,
      apply.Apply(critic),
      optimizer,
      adversary,
      masked,
      # Recipes that differ are compiled again: only if it is read.
      num_steps if adversary and adversary.instance_noise else 1,
    ),
    (want, found.aggregate_std),
    state_lib.create(networks),
    latent_model.make_batches(data, order_key, batch_size, told, begun),
    step_key,
    num_steps,
    progress,
  )
  return Actor(
    state['actor'].params, want, actor_fn, masked, completes=not masked
  )

"""f-divergences between real latents and fakes, as losses of their critic.

A critic's output v(z) estimates a divergence in its variational form: it
maximises E_real[g(v)] - E_fake[f*(g(v))]; Nowozin et al., arXiv:1606.00709. At
the optimum, v is a known function of the density ratio real / fake, so every
row of the table has a probability D = ratio / (1 + ratio) that z is real.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from lcjax import errors

Elementwise = Callable[[jax.Array], jax.Array]

# exp(v) is continued by its tangent above this: it would overflow float32 at
# 89, and one outlier would outweigh a batch long before. The optimal critic is
# exact where the density ratio, or its inverse, is below exp(5) = 148. Beyond,
# it only grows.
_TANGENT_FROM = 5.0


@dataclasses.dataclass(frozen=True)
class Divergence:
  """A row of the table: functions of a critic's output v of any shape.

  Equal by value, so that equal ones share a compiled program: its functions are
  defined with `def` in a module, not lambdas.

  Attributes:
    name: for errors and reports.
    real_loss: -g(v), which the critic minimises on real rows.
    fake_loss: f*(g(v)), which the critic minimises on fakes.
    log_ratio: log(real / fake) that an optimal critic's output means;
      increasing.
    threshold: the inverse: a density ratio -> the output v that means it. A
      ratio of 9 is D = .9; at 0 and infinity it may be infinite.
  """

  name: str
  real_loss: Elementwise
  fake_loss: Elementwise
  log_ratio: Elementwise
  threshold: Elementwise

  def probability(self, v: jax.Array) -> jax.Array:
    """D = ratio / (1 + ratio): 1/2 where real and fake are equally likely."""
    return jax.nn.sigmoid(self.log_ratio(v))

  def mover_loss(self, v: jax.Array) -> jax.Array:
    """-log D, which the actor and optimizer-G minimise, in nats, at least 0.

    It is the same function of the density ratio for every divergence, so that
    weights beside other losses keep their meaning. Where D is small it is
    -log ratio, whose mean over moved rows is the reverse KL divergence. The
    usual -g(v) would have no floor for KL, and grow like 1 / ratio for reverse
    KL; for GAN it is the same.
    """
    return jax.nn.softplus(-self.log_ratio(v))

  def opposite_loss(self, v: jax.Array) -> jax.Array:
    """-log(1 - D), in nats: the loss of the negated constraint."""
    return jax.nn.softplus(self.log_ratio(v))


def _softplus_of_negative(v: jax.Array) -> jax.Array:
  return jax.nn.softplus(-v)


def _exp(v: jax.Array) -> jax.Array:
  low = jnp.minimum(v, _TANGENT_FROM)
  return jnp.exp(low) * (1.0 + v - low)


def _exp_of_negative(v: jax.Array) -> jax.Array:
  return _exp(-v)


def _exp_minus_one(v: jax.Array) -> jax.Array:
  return _exp(v - 1.0)


def _same(v: jax.Array) -> jax.Array:
  return v


def _minus_one(v: jax.Array) -> jax.Array:
  return v - 1.0


def _one_plus_log(ratio: jax.Array) -> jax.Array:
  return 1.0 + jnp.log(ratio)


# The critic of arXiv:1711.05772, section 3: L_{c=1} = -log D on real rows and
# L_{c=0} = -log(1 - D) on fakes, with D = sigmoid(v). (The form -(1 - log D)
# that is sometimes quoted is a misprint.) It estimates 2 JS - log 4; the
# Jensen-Shannon divergence JS would give the same gradients.
GAN = Divergence(
  'gan',
  real_loss=_softplus_of_negative,
  fake_loss=jax.nn.softplus,
  log_ratio=_same,
  threshold=jnp.log,
)
# KL(real || fake); Nowozin et al., tables 1 and 2.
KL = Divergence(
  'kl',
  real_loss=jnp.negative,
  fake_loss=_exp_minus_one,
  log_ratio=_minus_one,
  threshold=_one_plus_log,
)
# KL(fake || real); likewise, but with -v for v, so that more is more real.
REVERSE_KL = Divergence(
  'reverse_kl',
  real_loss=_exp_of_negative,
  fake_loss=_minus_one,
  log_ratio=_same,
  threshold=jnp.log,
)

TABLE = {row.name: row for row in (GAN, KL, REVERSE_KL)}


def find(name: str, what: str) -> Divergence:
  """A row of the table.

  Args:
    name: of the row.
    what: the argument or config key that has the name, for errors.

  Raises:
    UserError: there is no such row.
  """
  if name not in TABLE:
    raise errors.UserError(
      f'{what}={name!r} is not a divergence: '
      f'{errors.nearest(name, list(TABLE))}'
    )
  return TABLE[name]

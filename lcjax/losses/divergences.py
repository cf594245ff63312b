"""What a critic of real latents and fakes estimates, as losses of its outputs.

An f-divergence in its variational form: the critic's output v(z) maximises
E_real[g(v)] - E_fake[f*(g(v))], with an output activation g and the conjugate
f*; Nowozin et al., arXiv:1606.00709, tables 1, 2 and 6. Others compare pairs:
the critic minimises a loss of the difference v_fake - v_real. Both are a loss
of real rows, and one of a fake beside a real row.

| name | real_loss, -g(v) | fake_loss, f*(g(v)) | threshold(ratio) |
| --- | --- | --- | --- |
| gan | softplus(-v) | softplus(v) | log ratio |
| kl | -v | exp(v - 1) | 1 + log ratio |
| reverse_kl | exp(-v) | v - 1 | log ratio |
| jensen_shannon | softplus(-v) - log 2 | softplus(v) - log 2 | log ratio |
| pearson_chi2 | -v | v^2 / 4 + v, at least -1 | 2 (ratio - 1) |
| squared_hellinger | exp(-v) - 1 | exp(v) - 1 | log(ratio) / 2 |
| least_squares | (v - 1)^2 / 2 | (v + 1)^2 / 2 | tanh(log(ratio) / 2) |
| total_variation | -tanh(v) / 2 | tanh(v) / 2 | none |
| hinge | max(0, 1 - v) | max(0, 1 + v) | none |
| wasserstein | 0 | v_fake - v_real | none |
| pairing | 0 | softplus(v_fake - v_real) | none |

With a threshold, v is at the optimum a known function of the density ratio
real / fake, so D = ratio / (1 + ratio) is the probability that z is real.

Without one, a critic is *calibrated*. The optimal output of total_variation
and hinge says which of real and fake is likelier, not by how much; that of
wasserstein is a potential, which says where to move; that of pairing is the log
ratio plus an unknown constant. So D(z) is, for conditions, the share of
held-out real encodings that score less than z: D >= .5 holds where z scores
above their median, D >= 0 always, and more is stricter, as with a ratio. This D
is a step function, no loss. Movers minimise -log of the probability
sigmoid(v - reference) that z wins a comparison with a real row of the output
`reference` (Bradley and Terry, 1952): the row of the batch that it is paired
with in the training of an actor, or the median of held-out encodings.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from lcjax import errors
from lcjax.losses.divergence import Divergence

# exp(v) is continued by its tangent above this: it would overflow float32 at
# 89, and one outlier would outweigh a batch long before. The optimal critic is
# exact where the density ratio, or its inverse, is below exp(5) = 148. Beyond,
# it only grows.
_TANGENT_FROM = 5.0
_MOST_RATIO = float(np.exp(_TANGENT_FROM))


def _softplus_of_negative(v: jax.Array) -> jax.Array:
  return jax.nn.softplus(-v)


def _softplus_below_log_2(v: jax.Array) -> jax.Array:
  return jax.nn.softplus(v) - jnp.log(2.0)


def _softplus_of_negative_below_log_2(v: jax.Array) -> jax.Array:
  return jax.nn.softplus(-v) - jnp.log(2.0)


def _exp(v: jax.Array) -> jax.Array:
  low = jnp.minimum(v, _TANGENT_FROM)
  return jnp.exp(low) * (1.0 + v - low)


def _exp_of_negative(v: jax.Array) -> jax.Array:
  return _exp(-v)


def _exp_minus_one(v: jax.Array) -> jax.Array:
  return _exp(v - 1.0)


def _exp_below_one(v: jax.Array) -> jax.Array:
  return _exp(v) - 1.0


def _exp_of_negative_below_one(v: jax.Array) -> jax.Array:
  return _exp(-v) - 1.0


def _same(v: jax.Array) -> jax.Array:
  return v


def _minus_one(v: jax.Array) -> jax.Array:
  return v - 1.0


def _one_plus_log(ratio: jax.Array) -> jax.Array:
  return 1.0 + jnp.log(ratio)


def _twice(v: jax.Array) -> jax.Array:
  return 2.0 * v


def _half_log(ratio: jax.Array) -> jax.Array:
  return 0.5 * jnp.log(ratio)


def _half_square(x: jax.Array, least: float) -> jax.Array:
  """x^2 / 2, continued by its tangents: its slope is at most exp(5)."""
  inner = jnp.clip(x, least, _MOST_RATIO)
  return inner * (x - 0.5 * inner)


def _pearson_of_fakes(v: jax.Array) -> jax.Array:
  return 2.0 * _half_square(1.0 + 0.5 * v, 0.0) - 1.0


# Outputs below -2 mean a negative ratio. So below a ratio of exp(-5), its
# logarithm is continued by its tangent.
def _pearson_log_ratio(v: jax.Array) -> jax.Array:
  ratio = 1.0 + 0.5 * v
  inner = jnp.maximum(ratio, 1.0 / _MOST_RATIO)
  return jnp.log(inner) + (ratio - inner) * _MOST_RATIO


def _pearson_threshold(ratio: jax.Array) -> jax.Array:
  inner = jnp.maximum(ratio, 1.0 / _MOST_RATIO)
  beyond = jnp.minimum(jnp.log(ratio) + _TANGENT_FROM, 0.0)
  return 2.0 * (inner + beyond / _MOST_RATIO - 1.0)


def _squared_from_one(v: jax.Array) -> jax.Array:
  return _half_square(v - 1.0, -_MOST_RATIO)


def _squared_from_minus_one(v: jax.Array) -> jax.Array:
  return _half_square(v + 1.0, -_MOST_RATIO)


# Outputs beyond 1 mean no ratio: its logarithm is continued likewise.
_LEAST_SQUARES_MOST = float(np.tanh(0.5 * _TANGENT_FROM))
_LEAST_SQUARES_SLOPE = 2.0 / (1.0 - _LEAST_SQUARES_MOST**2)


def _least_squares_log_ratio(v: jax.Array) -> jax.Array:
  inner = jnp.clip(v, -_LEAST_SQUARES_MOST, _LEAST_SQUARES_MOST)
  return 2.0 * jnp.arctanh(inner) + (v - inner) * _LEAST_SQUARES_SLOPE


def _least_squares_threshold(ratio: jax.Array) -> jax.Array:
  log_ratio = jnp.log(ratio)
  inner = jnp.clip(log_ratio, -_TANGENT_FROM, _TANGENT_FROM)
  return jnp.tanh(0.5 * inner) + (log_ratio - inner) / _LEAST_SQUARES_SLOPE


def _half_tanh(v: jax.Array) -> jax.Array:
  return 0.5 * jnp.tanh(v)


def _minus_half_tanh(v: jax.Array) -> jax.Array:
  return -0.5 * jnp.tanh(v)


def _below_one(v: jax.Array) -> jax.Array:
  return jax.nn.relu(1.0 - v)


def _above_minus_one(v: jax.Array) -> jax.Array:
  return jax.nn.relu(1.0 + v)


# The critic of arXiv:1711.05772, section 3: L_{c=1} = -log D on real rows and
# L_{c=0} = -log(1 - D) on fakes, with D = sigmoid(v). (The form -(1 - log D)
# that is sometimes quoted is a misprint.) It estimates 2 JS - log 4.
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
# KL(real || M) + KL(fake || M) with the middle M of both densities: twice what
# is usually called Jensen-Shannon. As GAN, but the bound is a divergence.
JENSEN_SHANNON = Divergence(
  'jensen_shannon',
  real_loss=_softplus_of_negative_below_log_2,
  fake_loss=_softplus_below_log_2,
  log_ratio=_same,
  threshold=jnp.log,
)
# E_fake[(ratio - 1)^2]. Ratios are not negative, so f* is no less than -1.
PEARSON_CHI2 = Divergence(
  'pearson_chi2',
  real_loss=jnp.negative,
  fake_loss=_pearson_of_fakes,
  log_ratio=_pearson_log_ratio,
  threshold=_pearson_threshold,
)
# The integral of (sqrt(real) - sqrt(fake))^2, with g(v) = 1 - exp(-v).
SQUARED_HELLINGER = Divergence(
  'squared_hellinger',
  real_loss=_exp_of_negative_below_one,
  fake_loss=_exp_below_one,
  log_ratio=_twice,
  threshold=_half_log,
)
# Mao et al., arXiv:1611.04076, equation 2 with the labels 1 and -1. The bound
# is Pearson's chi2 between the real and the middle density, minus 1.
LEAST_SQUARES = Divergence(
  'least_squares',
  real_loss=_squared_from_one,
  fake_loss=_squared_from_minus_one,
  log_ratio=_least_squares_log_ratio,
  threshold=_least_squares_threshold,
)
# Half the integral of |real - fake|.
TOTAL_VARIATION = Divergence(
  'total_variation', real_loss=_minus_half_tanh, fake_loss=_half_tanh
)
# Lim & Ye, arXiv:1705.02894. The bound is 2 TV - 2.
HINGE = Divergence('hinge', real_loss=_below_one, fake_loss=_above_minus_one)
# Arjovsky et al., arXiv:1701.07875, equation 2, with the gradient penalty of
# Gulrajani et al., arXiv:1704.00028. The difference is from a real row each, as
# weights of the fakes that are not 1 in sum would let the outputs drift.
WASSERSTEIN = Divergence(
  'wasserstein',
  real_loss=jnp.zeros_like,
  fake_loss=_same,
  relative=True,
  needs_penalty=True,
)
# Relativistic pairing: Jolicoeur-Martineau, arXiv:1807.00734, and with the
# penalties R1 and R2, R3GAN: Huang et al., arXiv:2501.05441, equation 2.
PAIRING = Divergence(
  'pairing',
  real_loss=jnp.zeros_like,
  fake_loss=jax.nn.softplus,
  relative=True,
)

TABLE = {
  row.name: row
  for row in (
    GAN,
    KL,
    REVERSE_KL,
    JENSEN_SHANNON,
    PEARSON_CHI2,
    SQUARED_HELLINGER,
    LEAST_SQUARES,
    TOTAL_VARIATION,
    HINGE,
    WASSERSTEIN,
    PAIRING,
  )
}
# Names of those without a density ratio, and of the others.
CALIBRATED = tuple(name for name, row in TABLE.items() if row.calibrated)
WITH_RATIO = tuple(name for name in TABLE if name not in CALIBRATED)


def find(name: str | Divergence, what: str) -> Divergence:
  """A row of the table, or a divergence of one's own as it is.

  Args:
    name: of the row, or a divergence.
    what: the argument or config key that has the name, for errors.

  Raises:
    UserError: there is no such row.
  """
  if isinstance(name, Divergence):
    return name
  if name not in TABLE:
    raise errors.UserError(
      f'{what}={name!r} is not a divergence: '
      f'{errors.nearest(name, list(TABLE))}'
    )
  return TABLE[name]


def check_penalty(
  divergence: Divergence, what: str, weights: Mapping[str, float]
) -> None:
  """Raises UserError if a critic needs a gradient penalty and has none.

  Args:
    divergence: that it estimates.
    what: the argument or config key that names it.
    weights: of the penalties, by argument or key.
  """
  if divergence.needs_penalty and not any(weights.values()):
    raise errors.UserError(
      f'{what}={divergence.name!r} needs a gradient penalty, or nothing bounds '
      f'the critic: set {next(iter(weights))} above 0, such as 10'
    )

"""What a critic estimates, as a value: losses of its output, and its meaning.

`divergences` has the table of them, and what D is without a density ratio.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from lcjax import errors

Elementwise = Callable[[jax.Array], jax.Array]

# Shares of held-out encodings between which outputs are interpolated.
_SHARES = np.linspace(0.0, 1.0, 101, dtype=np.float32)


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
      increasing. None if it means none: then the critic is calibrated.
    threshold: the inverse: a density ratio -> the output v that means it. A
      ratio of 9 is D = .9; at 0 and infinity it may be infinite. None if there
      is no `log_ratio`.
    relative: whether outputs have no zero. Then `fake_loss` is of the
      difference v_fake - v_real from a real row.
    needs_penalty: whether nothing but a gradient penalty bounds the outputs.

  Raises:
    UserError: only one of `log_ratio` and `threshold` is given.
  """

  name: str
  real_loss: Elementwise
  fake_loss: Elementwise
  log_ratio: Elementwise | None = None
  threshold: Elementwise | None = None
  relative: bool = False
  needs_penalty: bool = False

  def __post_init__(self) -> None:
    """Checks that it is one or the other."""
    if (self.log_ratio is None) != (self.threshold is None):
      raise errors.UserError(
        f'divergence {self.name!r} has only one of log_ratio and threshold: '
        'give both, or neither for one that is calibrated'
      )

  @property
  def calibrated(self) -> bool:
    """Whether outputs mean no density ratio, so that ranks must do."""
    return self.log_ratio is None

  def pair_loss(self, fake: jax.Array, real: jax.Array) -> jax.Array:
    """The critic's loss of fakes, beside real rows: outputs of equal shape."""
    return self.fake_loss(fake - real if self.relative else fake)

  def log_odds(
    self, v: jax.Array, reference: jax.Array | float = 0.0
  ) -> jax.Array:
    """log(real / fake) of v, which needs no reference; else v - reference.

    Args:
      v: outputs.
      reference: the output of a real row, for one that is calibrated.
    """
    return v - reference if self.log_ratio is None else self.log_ratio(v)

  def probability(
    self, v: jax.Array, reference: jax.Array | float = 0.0
  ) -> jax.Array:
    """D = ratio / (1 + ratio): 1/2 where real and fake are equally likely.

    Of one that is calibrated: that v wins a comparison with the reference.
    """
    return jax.nn.sigmoid(self.log_odds(v, reference))

  def mover_loss(
    self, v: jax.Array, reference: jax.Array | float = 0.0
  ) -> jax.Array:
    """-log `probability`, which movers minimise, in nats, at least 0.

    It is the same function of the density ratio for every divergence that has
    one, so that weights beside other losses keep their meaning. Where D is
    small it is -log ratio, whose mean over moved rows is the reverse KL
    divergence. The usual -g(v) would have no floor for KL, and grow like
    1 / ratio for reverse KL; for GAN it is the same. Without a ratio, where v
    is far below the reference it is reference - v, the usual loss of
    wasserstein and hinge critics, which has no floor either; for pairing it is
    the usual one, arXiv:2501.05441, equation 2.
    """
    return jax.nn.softplus(-self.log_odds(v, reference))

  def opposite_loss(
    self, v: jax.Array, reference: jax.Array | float = 0.0
  ) -> jax.Array:
    """-log(1 - `probability`), in nats: the loss of the negated constraint."""
    return jax.nn.softplus(self.log_odds(v, reference))

  def calibrate(
    self, v: jax.Array, axis_name: str | None = None
  ) -> jax.Array | None:
    """What is kept of outputs of real rows; None if a ratio is known.

    Args:
      v: [N] outputs of encodings, held out if possible.
      axis_name: of devices that have other rows, if any.

    Returns:
      Their quantiles at 0, .01, ..., 1: [101].
    """
    if self.log_ratio is not None:
      return None
    if axis_name is not None:
      v = jax.lax.all_gather(v, axis_name)
    return jnp.quantile(jnp.ravel(v), _SHARES)

  def _check_calibrated(self, quantiles: jax.Array | None) -> jax.Array:
    if quantiles is None:
      raise errors.UserError(
        f'divergence {self.name!r} has no density ratio, so a condition such '
        'as threshold=.9 needs quantiles: give those of '
        'divergence.calibrate(outputs of real encodings)'
      )
    return quantiles

  def reference(self, quantiles: jax.Array | None) -> jax.Array | float:
    """The median of `calibrate`; 0, which is not read, if a ratio is known."""
    if self.log_ratio is not None:
      return 0.0
    return self._check_calibrated(quantiles)[len(_SHARES) // 2]

  def output_at(
    self, odds: jax.Array, quantiles: jax.Array | None = None
  ) -> jax.Array:
    """The output at which D / (1 - D) = odds; -inf at 0 and inf at infinity.

    Args:
      odds: of D: the density ratio, or those of a share of real encodings.
      quantiles: from `calibrate`.

    Raises:
      UserError: quantiles are needed.
    """
    if self.threshold is not None:
      return self.threshold(odds)
    share = 1.0 / (1.0 + 1.0 / jnp.asarray(odds))
    found = jnp.interp(share, _SHARES, self._check_calibrated(quantiles))
    never = jnp.where(share >= 1.0, jnp.inf, found)
    return jnp.where(share <= 0.0, -jnp.inf, never)

  def known_odds(
    self, v: jax.Array, quantiles: jax.Array | None = None
  ) -> jax.Array:
    """The log-odds of D: the inverse of `output_at`, for reports.

    Beyond all held-out encodings, D is .995 or .005.

    Args:
      v: outputs [N].
      quantiles: from `calibrate`.

    Raises:
      UserError: quantiles are needed.
    """
    if self.log_ratio is not None:
      return self.log_ratio(v)
    share = jnp.interp(v, self._check_calibrated(quantiles), _SHARES)
    least = 0.5 * float(_SHARES[1])
    share = jnp.clip(share, least, 1.0 - least)
    return jnp.log(share) - jnp.log1p(-share)

  def scores(self, real: jax.Array, fake: jax.Array) -> dict[str, float]:
    """The two scores of a critic in tables, from log-odds, or in their order.

    The generator score is the mean of D of fakes, the discriminator score the
    mean of D of real rows and 1 - D of fakes: 1/2 where the critic cannot tell.
    Without a ratio, the probability that a fake scores above a real row, and
    that a real row scores above a fake, of all pairs; ties count half.

    Args:
      real: [N] `log_odds` of real rows.
      fake: [M] of fakes.
    """
    if self.log_ratio is not None:
      won = float(jnp.mean(jax.nn.sigmoid(fake)))
      told = (float(jnp.mean(jax.nn.sigmoid(real))) + 1.0 - won) / 2.0
    else:
      ordered = np.sort(np.asarray(real))
      below = np.searchsorted(ordered, fake, 'left')
      below = below + np.searchsorted(ordered, fake, 'right')
      won = float(np.mean(below, dtype=np.float64)) / (2.0 * len(ordered))
      told = 1.0 - won
    return {'generator_score': won, 'discriminator_score': told}

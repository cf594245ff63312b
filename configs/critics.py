"""Ablations that experiments share: what both critics estimate.

One for each divergence of `lcjax/losses/divergences.py` but `gan`, which is the
default; only those change more than that which could not train without it, or
are known to need it.
"""

from typing import Any

STAGES = 'actor_critic', 'latent_critics'

_NAMES = (
  'kl', 'reverse_kl', 'jensen_shannon', 'pearson_chi2', 'squared_hellinger',
  'least_squares', 'total_variation', 'hinge',
)  # fmt: skip


def _both(**changes: Any) -> dict[str, Any]:
  return {
    f'{stage}.{key}': value
    for stage in STAGES
    for key, value in changes.items()
  }


def ablations(gamma: float) -> dict[str, dict[str, Any]]:
  """The ablations by name.

  Args:
    gamma: weight of R1 and of R2 in `pairing`, in units of the spread of z.
  """
  return {name: _both(divergence=name) for name in _NAMES} | {
    # The weight of arXiv:1704.00028.
    'wasserstein': _both(
      divergence='wasserstein', gradient_penalty_weight=10.0
    ),
    # As in R3GAN, arXiv:2501.05441: no momentum, rates that decay.
    'pairing': _both(
      divergence='pairing',
      gradient_penalty_weight=0.0,
      r1_weight=gamma,
      r2_weight=gamma,
    )
    | {'actor_critic.mismatched_weight': 0.4}
    | {
      f'{stage}.{network}_optimizer.{key}': value
      for stage, network in (
        ('actor_critic', 'actor'),
        ('actor_critic', 'critic'),
        ('latent_critics', 'realism'),
      )
      for key, value in (('b1', 0.0), ('schedule', 'cosine'))
    },
  }


# Of any experiment.
NAMES = tuple(ablations(0.0))

"""Which samples meet the terms of a composed constraint, and who says so.

A composition is judged by its own terms: attributes by the judge, a constraint
that checks samples by its own rule (`Constraint.check`), any other by its
verdict on the latents, which flatters what was moved by the same constraint.
Realism and distances are no terms: other columns are about them.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lcjax import errors
from lcjax.constraints import attributes as attributes_lib
from lcjax.constraints import base, compose, critics, on_sample
from lcjax.movers import base as movers

_LABELS = 'attributes'  # the only target that a comparison has
JOINTLY = 'jointly'


class Looked(NamedTuple):
  """Samples as a table has them, and what is known of them.

  Attributes:
    samples: [N, ...] as the model decodes them.
    predicted: [N, Y] of the judge; None without labels.
    requested: [N, Y]; None if nothing was requested.
    latents: [N, Z]; None if there are none.
  """

  samples: np.ndarray
  predicted: np.ndarray | None
  requested: np.ndarray | None
  latents: np.ndarray | None


def _identity(samples: np.ndarray) -> np.ndarray:
  return samples


@dataclasses.dataclass(frozen=True)
class Terms:
  """The terms of a constraint.

  Attributes:
    want: the constraint.
    as_decoded: samples of the table -> samples as the model decodes them.
  """

  want: base.Constraint
  as_decoded: Callable[[np.ndarray], np.ndarray] = _identity

  def met(
    self,
    samples: np.ndarray,
    predicted: np.ndarray | None,
    requested: np.ndarray | None,
    latents: np.ndarray | None,
  ) -> dict[str, np.ndarray]:
    """Whether samples meet each term, and all of it as composed: [N] booleans.

    Args:
      samples: [N, ...] of the table.
      predicted: [N, Y] of the judge.
      requested: [N, Y].
      latents: [N, Z].

    Returns:
      By name of the term, and `JOINTLY`; without those that nobody can judge.
    """
    looked = Looked(self.as_decoded(samples), predicted, requested, latents)
    found: dict[str, np.ndarray] = {}
    whole = _walk(self.want, looked, found)
    return found if whole is None or not found else {**found, JOINTLY: whole}

  def judged_by(self) -> dict[str, str]:
    """Who judges each term, in words, by name."""
    found: dict[str, str] = {}
    for term in _leaves(self.want):
      if isinstance(term, attributes_lib.Attributes) and term.name == _LABELS:
        who = 'the judge'
      elif checks(term):
        who = 'its own check of the decoded sample'
      elif set(term.targets()) - {_LABELS}:
        who = 'nobody, as it reads a target that the comparison does not have'
      else:
        who = (
          'its own verdict on the latent, as it checks no samples (rows '
          'without latents have none)'
        )
      found[name_of(term)] = who
    return found


def name_of(term: base.Constraint) -> str:
  """The name of a term, with 'not_' before that of an opposite."""
  name = '_'.join(term.names())
  return f'not_{name}' if getattr(term, 'opposite', False) else name


def checks(term: base.Constraint) -> bool:
  """Whether a constraint says of samples whether they meet it."""
  if isinstance(term, critics.Critic):
    return term.check_fn is not None
  return type(term).check is not base.Constraint.check


def _leaves(want: base.Constraint) -> list[base.Constraint]:
  """The terms of a constraint: no compositions, realism or distances."""
  if isinstance(want, compose.AllOf | compose.AnyOf):
    return [leaf for part in want.parts for leaf in _leaves(part)]
  if isinstance(want, on_sample.ReEncoded):
    return _leaves(want.inner)
  return [] if _is_assumed(want) else [want]


def _is_assumed(want: base.Constraint) -> bool:
  if isinstance(want, critics.Critic) and want.of_density:
    return not want.opposite
  return bool(want.names()) and set(want.names()) <= set(want.references())


def _walk(
  want: base.Constraint, looked: Looked, found: dict[str, np.ndarray]
) -> np.ndarray | None:
  """[N]: whether a composition holds; None if nobody can say.

  Terms are added to `found`; what is assumed holds.
  """
  if isinstance(want, on_sample.ReEncoded):
    return _walk(want.inner, looked, found)
  if isinstance(want, compose.AllOf | compose.AnyOf):
    parts = [_walk(part, looked, found) for part in want.parts]
    if any(part is None for part in parts):
      return None
    join = np.all if isinstance(want, compose.AllOf) else np.any
    return np.asarray(join(np.asarray(parts), axis=0))
  if _is_assumed(want):
    return np.ones(len(looked.samples), bool)
  met = _judge(want, looked)
  if met is not None:
    found[name_of(want)] = met
  return met


def _judge(term: base.Constraint, looked: Looked) -> np.ndarray | None:
  if isinstance(term, attributes_lib.Attributes) and term.name == _LABELS:
    if looked.predicted is None or looked.requested is None:
      return None
    right = np.all(looked.predicted == looked.requested, axis=1)
    return ~right if term.opposite else right
  target = {}
  if looked.requested is not None:
    target[_LABELS] = looked.requested
  if not set(term.targets()) <= set(target):
    return None
  checked = term.check(looked.samples, target)
  if checked is not None:
    met = np.asarray(checked, bool)
    if met.shape != (len(looked.samples),):
      raise errors.UserError(
        f'{name_of(term)}: its check of {len(looked.samples)} samples gives an '
        f'array of shape {met.shape}, it must be ({len(looked.samples)},)'
      )
    return met
  if looked.latents is None:
    return None
  return movers.verdicts(term, looked.latents, target).met

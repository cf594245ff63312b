"""Asks a rule of samples; whatever it does wrong is one line."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lcjax import errors

# Samples [B, ...] on the host -> scores [B] in [0, 1].
Rule = Callable[[np.ndarray], Any]
_MOST_AT_ONCE = 1000


def score(
  rule: Rule,
  name: str,
  decode: Callable[[np.ndarray], np.ndarray],
  z: np.ndarray,
  origin: str,
) -> np.ndarray:
  """The scores [N] of decoded latents, float32.

  Args:
    rule: called with at most a thousand samples at once.
    name: of the rule, in errors.
    decode: z [B, Z] -> samples [B, ...].
    z: [N, Z].
    origin: of the latents, in errors.

  Raises:
    UserError: the rule raises an exception, or gives another number of scores,
      or one that is NaN or outside of [0, 1].
  """
  return np.concatenate(
    [
      ask(rule, name, decode(z[first : first + _MOST_AT_ONCE]), origin, first)
      for first in range(0, len(z), _MOST_AT_ONCE)
    ]
  )


def ask(
  rule: Rule, name: str, samples: np.ndarray, origin: str, first: int = 0
) -> np.ndarray:
  """The scores [B] of samples, float32.

  Args:
    rule: to ask.
    name: of the rule, in errors.
    samples: [B, ...].
    origin: of the samples, in errors.
    first: number of the first of them, in errors.

  Raises:
    UserError: see `score`.
  """
  try:
    scores = np.asarray(rule(samples), np.float32)
  except errors.UserError:
    raise
  except Exception as error:  # a user's function may raise anything
    number = _guilty(rule, samples)
    what = (
      f'the {len(samples)} samples from {first} on'
      if number is None
      else f'sample {first + number}'
    )
    text = ' '.join(str(error).split())
    raise errors.UserError(
      f'rule {name!r}: {what} ({origin}) raises {type(error).__name__}: {text}'
    ) from error
  if scores.shape != (len(samples),):
    raise errors.UserError(
      f'rule {name!r}: {len(samples)} samples ({origin}) give an array of '
      f'shape {scores.shape}, it must be ({len(samples)},)'
    )
  inside = (scores >= 0) & (scores <= 1)  # False for NaN
  if not inside.all():
    number = int(np.argmin(inside))
    raise errors.UserError(
      f'rule {name!r}: the score of sample {first + number} ({origin}) is '
      f'{scores[number]}: it must be in [0, 1]'
    )
  return scores


def _guilty(rule: Rule, samples: np.ndarray) -> int | None:
  """The first sample that raises an exception alone; None if none does."""
  for number in range(len(samples)):
    try:
      rule(samples[number : number + 1])
    except Exception:
      return number
  return None

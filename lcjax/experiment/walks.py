"""The settings of short walks, searched on validation images.

A short walk is the guided denoiser from a draw of a mixture with a little
noise. Each candidate is moved, decoded and judged once.
"""

import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm
from etils import epath

from lcjax import errors
from lcjax.evaluation import glossary
from lcjax.experiment import files, validation
from lcjax.movers import base, starts

KEY = 'follows_from'


class Setting(NamedTuple):
  """Of a short walk; see `config.walk`.

  Attributes:
    steps: evaluations of the denoiser.
    start_time: noise time to which the draw of the mixture is noised.
    attribute_weight: of the guidance.
  """

  steps: int
  start_time: float
  attribute_weight: float


class Candidate(NamedTuple):
  """A setting, and what the second judge says of it on validation images.

  Attributes:
    setting: of the walk.
    scores: of all samples.
    kept: of those that rejection sampling accepts at the first try; empty if
      there are too few, or nothing is requested.
  """

  setting: Setting
  scores: dict[str, float]
  kept: dict[str, float]


_SLACK = 0.01  # of the score of a varied walk, below that of real images
# Of recall, below the best: a single long step smooths, which lowers the
# Frechet distance more than it should.
_RECALL_SLACK = 0.02


def best(
  candidates: Sequence[Candidate], real_score: float, name: str
) -> Candidate:
  """The candidate of a row.

  The least Frechet distance of those whose score is at least that of real
  images, or else of the one with the highest score, and whose recall is near
  the best of these. With exceptions: 'one_step' is one of the single steps,
  whatever their recall; 'short_walk_kept' is chosen by the scores of accepted
  samples, with the same recall of all samples; 'varied_walk' is the one of
  highest recall, with a score of at most a point less; and where nothing is
  requested, no score counts.
  """
  if name == glossary.REALISM_WALK:
    return validation.least_frechet(_recalled(candidates, candidates), _scores)
  if name == 'one_step':
    single = [one for one in candidates if one.setting.steps == 1]
    fits = validation.as_accurate(single or candidates, real_score, _scores)
    return validation.least_frechet(fits, _scores)
  if name == 'varied_walk':
    fits = validation.as_accurate(candidates, real_score - _SLACK, _scores)
    return max(fits, key=_recall)
  accurate = validation.as_accurate(candidates, real_score, _scores)
  kept = [one for one in _recalled(candidates, accurate) if one.kept]
  if name == glossary.KEPT_WALK and kept:
    fits = validation.as_accurate(kept, real_score, _kept)
    return validation.least_frechet(fits, _kept)
  return validation.least_frechet(_recalled(accurate, accurate), _scores)


def _recalled(
  found: Sequence[Candidate], among: Sequence[Candidate]
) -> list[Candidate]:
  """Those whose recall, of all samples, is near the best of some."""
  enough = max(map(_recall, among)) - _RECALL_SLACK
  return [one for one in found if _recall(one) >= enough]


def _recall(one: Candidate) -> float:
  return one.scores.get('knn_recall', 0.0)


def _kept(one: Candidate) -> dict[str, float]:
  return one.kept


def _scores(one: Candidate) -> dict[str, float]:
  return one.scores


def settings(section: Any, guided: bool) -> list[Setting]:
  """The candidates of `config.walk`, without guidance or with it."""
  weights = section.attribute_weights if guided else (0.0,)
  return [
    Setting(int(steps), float(start), float(weight))
    for steps, start, weight in itertools.product(
      section.steps, section.start_times, weights
    )
  ]


_OF_LABELS = *glossary.WALKS, glossary.KEPT_WALK


class Walks(NamedTuple):
  """Settings by row, and the seconds of the search for them."""

  settings: dict[str, Setting]
  seconds: float


def pinned(guided: Sequence[Setting], free: Sequence[Setting]) -> Walks:
  """The first of each for all rows, if nothing is to be searched."""
  found = dict.fromkeys(_OF_LABELS, guided[0])
  return Walks(found | {glossary.REALISM_WALK: free[0]}, 0.0)


def read(path: epath.Path, key: dict[str, Any]) -> Walks | None:
  """Reads the search for `key`; None if it is missing, damaged or stale."""
  try:
    stored = files.read_json(path)
    if stored[KEY] == json.loads(json.dumps(key)):
      rows = stored['rows'].items()
      found = {name: Setting(**one['setting']) for name, one in rows}
      # An older version searched fewer rows.
      if set(found) == {*_OF_LABELS, glossary.REALISM_WALK}:
        return Walks(found, float(stored['seconds']))
  except files.DAMAGE:
    pass  # missing or damaged
  return None


# Moved latents -> [N] bool, whether rejection sampling accepts them.
Accept = Callable[[base.Moved, dict[str, Any]], np.ndarray]


# (setting, whether labels are requested) -> mover
MakeWalk = Callable[[Setting, bool], base.Mover]


class _Walker(NamedTuple):
  """What a candidate is judged by; see `search` for the attributes."""

  real: validation.Validation
  make_walk: MakeWalk
  decode: Callable[[np.ndarray], np.ndarray]
  key: jax.Array

  def judge(
    self, setting: Setting, begun: np.ndarray, accept: Accept | None
  ) -> Candidate:
    """Moves latents [N, Z] and judges them; UserError if they diverge."""
    target, rows = self.real.ask()
    walk = self.make_walk(setting, accept is not None)
    moved = walk(begun, target, rows, self.key)
    judged = self.real.judge(self.decode(moved.z))
    kept: dict[str, float] = {}
    if accept is not None:
      accepted = accept(moved, target)
      if np.sum(accepted) >= validation.LEAST_ROWS:
        kept = judged.scores(accepted)
    found = judged.scores() | judged.recall()
    if not all(math.isfinite(value) for value in found.values()):
      raise errors.UserError(f'short walk {setting}: a score is not finite')
    return Candidate(setting, found, kept)


def search(
  section: Any,
  real: validation.Validation,
  draws: tuple[starts.Start, starts.Start],
  make_walk: MakeWalk,
  decode: Callable[[np.ndarray], np.ndarray],
  accept: Accept,
  seed: int,
) -> tuple[Walks, dict[str, Any]]:
  """Judges all settings and chooses those of the rows.

  A setting whose latents diverge is passed over.

  Args:
    section: `config.walk`.
    real: validation images.
    draws: the mixtures with labels and without.
    make_walk: (setting, whether labels are requested) -> its mover, which
      starts where it is told to.
    decode: z -> samples.
    accept: the test of rejection sampling.
    seed: of draws and noise.

  Returns:
    The choices, and everything about them as JSON stores it.

  Raises:
    UserError: all settings diverge.
  """
  first_key, key = jax.random.split(jax.random.key(seed))
  walker = _Walker(real, make_walk, decode, key)
  started = time.perf_counter()
  tests: tuple[Accept | None, ...] = accept, None  # nothing is requested
  parts = settings(section, True), settings(section, False)
  quiet = jax.process_index() != 0
  found: list[list[Candidate]] = []
  failed: list[str] = []
  with tqdm.tqdm(
    total=sum(map(len, parts)), desc='short walks', disable=quiet
  ) as bar:
    for candidates, draw, test in zip(parts, draws, tests, strict=True):
      begun = draw(*real.ask(), first_key)
      found.append([])
      for setting in candidates:
        try:
          found[-1].append(walker.judge(setting, begun, test))
        except errors.UserError as error:
          failed.append(str(error))
        bar.update()
      if not found[-1]:
        raise errors.UserError(
          f'config.walk: no setting can be used; the last error: {failed[-1]}'
        )
  with_labels, without = found
  chosen = {name: best(with_labels, real.score, name) for name in _OF_LABELS}
  chosen[glossary.REALISM_WALK] = best(without, 0.0, glossary.REALISM_WALK)
  seconds = time.perf_counter() - started
  report = {
    'rows': {name: _plain(one) for name, one in chosen.items()},
    'score_of_real_images': real.score,
    'seconds': seconds,
    'guided': [_plain(one) for one in with_labels],
    'unguided': [_plain(one) for one in without],
    'failed': failed,
  }
  settings_of = {name: one.setting for name, one in chosen.items()}
  return Walks(settings_of, seconds), report


def _plain(one: Candidate) -> dict[str, Any]:
  found: dict[str, Any] = {'setting': one.setting._asdict()} | one.scores
  return found | ({'kept': one.kept} if one.kept else {})

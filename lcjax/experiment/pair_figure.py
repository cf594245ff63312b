"""The figure of pairs: two attributes at a time, all others free."""

import itertools
from typing import Any

import jax
import numpy as np

from lcjax.evaluation import glossary, heat_maps, reports
from lcjax.experiment import movers, named_movers, stage
from lcjax.experiment.loaded_run import Drawn, LoadedRun, spaced

_WORST = 3  # pairs that the caption names


def joint_rates(held: np.ndarray) -> np.ndarray:
  """[Y, Y] shares of rows [N, Y] of 0 and 1 in which both attributes hold."""
  held = np.asarray(held, np.float64)
  return held.T @ held / len(held)


def requests_with(
  first: int, others: list[int], size: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
  """Requests of one attribute with each of others, and nothing else.

  Args:
    first: column of the one.
    others: J columns; `first` itself asks for it alone.
    size: Y.
    count: rows S for each of them.

  Returns:
    y and mask, [J * S, Y] each.
  """
  y = np.zeros((len(others), size), np.float32)
  y[np.arange(len(others)), others] = 1.0
  y[:, first] = 1.0
  y = np.repeat(y, count, axis=0)
  return y, y.copy()


def mover_name(loaded: LoadedRun) -> str:
  """What draws: the short walk, or optimizer-G if the run has no walks."""
  if loaded.job.config.walk.steps:
    return glossary.WALKS[0]
  return 'optimizer_from_mixture'


def measure(loaded: LoadedRun) -> dict[tuple[int, int], np.ndarray]:
  """Decisions [S, Y] of the judge on samples of each pair of columns i <= j.

  Attributes that no training image has were not learnt, and are left out.
  """
  config, bound = loaded.job.config, loaded.bound
  count = config.figures.pair_samples
  learnt = np.flatnonzero(loaded.train.attributes.any(axis=0)).tolist()
  mover = named_movers.make_movers(config, bound, loaded.chosen)[
    mover_name(loaded)
  ]
  found: dict[tuple[int, int], np.ndarray] = {}
  for place, first in enumerate(learnt):
    others = learnt[place:]
    y, mask = requests_with(first, others, len(bound.labels), count)
    # It draws a start of its own, by the request.
    noise = bound.model.start(len(y), config.seed)
    moved = movers.move(mover, noise, y, mask)
    decided = loaded.predict(bound.decode(moved.z))
    parts = decided.reshape(len(others), count, -1)
    found |= {(first, j): part for j, part in zip(others, parts, strict=True)}
  return found


def attribute_pairs(loaded: LoadedRun) -> Drawn:
  """Every pair of attributes as a square table of joint success."""
  config, test, bound = loaded.job.config, loaded.test, loaded.bound
  section, names = config.figures, test.attribute_names
  draws = loaded.chosen.unlabelled.plain.draw(
    {}, np.arange(section.num_samples), jax.random.key(bound.seed)
  )
  tables = {
    'floor': joint_rates(loaded.predict(bound.decode(draws))),
    'real_labels': joint_rates(test.attributes),
    'real_judged': joint_rates(loaded.predict(test.images)),
  }
  joint = np.full((len(names), len(names)), np.nan)
  pairs: list[dict[str, Any]] = []
  for (i, j), decided in measure(loaded).items():
    held = decided[:, [i, j]] > 0.5
    joint[i, j] = joint[j, i] = held.all(axis=1).mean()
    pairs.append(
      {
        'attributes': [names[i], names[j]],
        'joint': joint[i, j],
        'rates': held.mean(axis=0),
        **{key: table[i, j] for key, table in tables.items()},
      }
    )
  alone, double = (
    [one for one in pairs if len(set(one['attributes'])) == size]
    for size in (1, 2)
  )
  means = {
    title: {
      key: float(np.mean([one[key] for one in group])) if group else np.nan
      for key in ('joint', *tables)
    }
    for title, group in (('pairs', double), ('alone', alone))
  }
  worst = sorted(double, key=lambda one: one['joint'])[:_WORST]
  named = ', '.join(
    f'{" and ".join(spaced(one["attributes"]))} {one["joint"]:.3f} '
    f'(floor {one["floor"]:.3f}, real {one["real_labels"]:.3f})'
    for one in worst
  )
  titles = ['requested', 'floor', 'real, labels', 'real, judged']
  table = reports.number_table(
    titles, {name: list(row.values()) for name, row in means.items()}
  )
  shown = mover_name(loaded).replace('_', ' ')
  missing = sorted(
    set(names) - set(itertools.chain(*(one['attributes'] for one in pairs)))
  )
  caption = (
    f'Two attributes at a time, all others free, by the {shown}: left, the '
    f'share of {section.pair_samples} samples of each request in which '
    f'{stage.judge_of(config).name} sees both; on the diagonal, one is '
    'requested alone. Right, the floor: the same shares of '
    f'{section.num_samples} draws of the mixture of all encodings, of which '
    'nothing is requested. Lowest: '
    f'{named or "there is no pair"}. '
    + (
      f'Left out, as no training image has it: {", ".join(missing)}. '
      if missing
      else ''
    )
    + f'Means over pairs, and over attributes alone:\n\n{table}'
  )
  pictures = heat_maps.shares(
    {f'requested, {shown}': joint, 'nothing requested': tables['floor']},
    spaced(names),
    'share in which both hold',
  )
  numbers = {
    'attribute_names': list(names),
    'mover': mover_name(loaded),
    'samples_per_pair': section.pair_samples,
    'joint': joint,
    **tables,
    'means': means,
    'pairs': pairs,
  }
  return Drawn(pictures, numbers, caption)

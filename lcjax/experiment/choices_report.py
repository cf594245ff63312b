"""What the report shows of the settings that were chosen by a search."""

from typing import Any

from etils import epath

from lcjax.evaluation import frontiers, glossary
from lcjax.experiment import choices, files, stage

_COLUMNS = 'frechet', 'diversity', 'knn_recall'
_DRAWN = 0.06  # below the score of real images; others would squeeze the figure


def make(
  workdir: epath.Path, num_seeds: int, score: str
) -> dict[str, Any] | None:
  """The table of choices of all seeds, and the first seed's candidates.

  None if no setting was searched.

  Args:
    workdir: of the run.
    num_seeds: of the run.
    score: the metric that candidates call 'score'.
  """
  stored = {}
  for seed in range(num_seeds):
    path = stage.root_of(workdir, seed) / choices.FOLDER / 'chosen.json'
    if path.exists():
      stored[seed] = files.read_json(path)
  if not stored:
    return None
  metrics = score, *_COLUMNS
  rows = []
  for seed, found in stored.items():
    for name, one in found['rows'].items():
      # With tries, what they keep was compared.
      by_kept = name.endswith(glossary.KEPT) and 'kept' in one
      scores = _named(one['kept'] if by_kept else one, score)
      own = one['setting']
      # Nothing is requested of a walk without labels.
      skipped = score if name == glossary.REALISM_WALK else ''
      rows.append(
        [
          name,
          str(seed),
          str(own['steps']),
          f'{own["start_time"]:g}',
          f'{own["attribute_weight"]:g}',
          *(
            glossary.text(metric, scores[metric])
            if metric in scores and metric != skipped
            else '\N{EN DASH}'
            for metric in metrics
          ),
        ]
      )
  first = next(iter(stored.values()))
  real = first['score_of_real_images']
  least = min(real, max(one['score'] for one in first['guided'])) - _DRAWN
  guided = [one for one in first['guided'] if one['score'] > least]
  settings = [one['setting'] for one in guided]
  return {
    'caption': 'Of the searched settings, each row has the one of least '
    'Frechet distance among those at least as accurate as real images '
    f'({real:.3f}), as the second judge sees '
    'validation images, and whose recall is within .02 of the best of these; '
    'one_step whatever its recall; varied_walk the one of highest recall; with '
    'tries, of accepted samples. The figure has the settings of the first '
    f'seed, but those more than {_DRAWN:g} below that accuracy. The search '
    f'took {_mean_seconds(stored):.0f} seconds a seed.',
    'columns': [
      'Row', 'Seed', 'Steps', 'Noise time', 'Guidance',
      *(glossary.metric(name).label for name in metrics),
    ],
    'rows': rows,
    'png': frontiers.candidates(
      [_named(one, score) for one in guided],
      [f'{own["steps"]} steps' for own in settings],
      {
        name: settings.index(one['setting'])
        for name, one in first['rows'].items()
        if one['setting'] in settings and name != glossary.REALISM_WALK
      },
      (score, [name for name in _COLUMNS if name in guided[0]]),
      real,
    ),
  }  # fmt: skip


def _mean_seconds(stored: dict[int, dict[str, Any]]) -> float:
  return sum(one['seconds'] for one in stored.values()) / len(stored)


def _named(one: dict[str, Any], score: str) -> dict[str, Any]:
  """Scores by the names of metrics."""
  return one | {score: one['score']}

"""What it costs to add an attribute: a training from scratch, or a constraint.

All from measured seconds of the run: those that were spent on the attributes
that there are.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import ml_collections

from lcjax.experiment import alternatives, stage

# Rows of a constrained model that the note has; the report's file has all.
_TOLD = (
  'class_mixture', 'attribute_mixture', 'actor', 'optimizer',
  'guided_denoiser', 'short_walk',
)  # fmt: skip


class Cost(NamedTuple):
  """Seconds of training for a new attribute.

  Attributes:
    from_scratch: by row of `config.alternatives` that is trained with labels:
      of its whole training, which is done again.
    constrained: by row that constrains the model as it is: of what sees labels,
      and of what is trained together with it.
    model: of the model itself, once for all attributes; None if it was trained
      elsewhere.
  """

  from_scratch: dict[str, float]
  constrained: dict[str, float]
  model: float | None


def find(
  config: ml_collections.ConfigDict,
  rows: Mapping[str, Mapping[str, Mapping[str, Any]]],
  seconds: Mapping[str, float],
) -> Cost:
  """The costs of the rows of a report.

  Args:
    config: of the run.
    rows: row -> metric -> {'mean', ...}.
    seconds: of trainings, by stage.
  """
  known = {
    name: float(scores['training_seconds']['mean'])
    for name, scores in rows.items()
    if 'training_seconds' in scores and 'accuracy' in scores
  }
  own = [one.name for one in stage.MODELS[config.generator.kind]]
  trained = [seconds[name] for name in own if name in seconds]
  return Cost(
    {name: known[name] for name in known if name in alternatives.LABELLED},
    {name: known[name] for name in known if name not in stage.ALTERNATIVES},
    sum(trained) if trained else None,
  )


def sentences(cost: Cost) -> list[str]:
  """The note of a report; none without a model that is trained with labels."""
  if not cost.from_scratch:
    return []
  told = {
    name: cost.constrained[name] for name in _TOLD if name in cost.constrained
  }
  again, added = (
    ', '.join(f'{name} {value:,.0f}' for name, value in one.items())
    for one in (cost.from_scratch, told)
  )
  once = '' if cost.model is None else f' (trained once, {cost.model:,.0f} s)'
  return [
    'A new attribute costs, in seconds of training as measured here for those '
    f'that there are: {again}, whose whole training is done again; with the '
    f'model as it is{once}: {added}. Of these, denoisers and walks include the '
    'training of a network that sees no labels and could be kept.'
  ]

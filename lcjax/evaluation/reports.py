"""Tables of several runs as sentences, Markdown, JSON and one HTML page.

`rows` is what `summary.summarise` returns: row -> metric -> {'mean', 'std'}.
"""

import base64
import importlib.resources
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jinja2
import numpy as np
import rich.box
import rich.console
import rich.table

from lcjax import types
from lcjax.evaluation import glossary, summary, verdicts
from lcjax.evaluation.glossary import (
  ATTRIBUTES,
  IMAGES,
  METRICS,
  REFERENCE_ROWS,
  row_description,
)
from lcjax.evaluation.verdicts import Rows, Scores

_WIDE_ENOUGH = 116  # characters; `print_table` needs them to show spreads
_REPORT_DEFAULTS: dict[str, Any] = {
  'title': 'Report', 'description': '', 'judge': {}, 'rows': {},
  'num_seeds': 1, 'labels': None, 'attribute_names': [], 'grids': {},
  'grid_labels': [], 'figures': [], 'commands': [], 'versions': {},
  'hardware': '', 'seconds': {}, 'config': {}, 'notes': [], 'not_finite': [],
  'row_descriptions': {}, 'differences': {}, 'choices': None,
  'adversarial': [],
}  # fmt: skip


def markdown_table(rows: Rows, metrics: Sequence[str] | None = None) -> str:
  """A Markdown table of `cell`s; `metrics` selects and orders columns."""
  names = _columns(rows) if metrics is None else list(metrics)
  lines = [
    ['', *(glossary.metric(name).label for name in names)],
    ['---', *('---:' for _ in names)],
  ]
  for row, scores in rows.items():
    lines.append([row, *(cell(name, scores) for name in names)])
  return _markdown(lines)


def number_table(
  titles: Sequence[str], rows: Mapping[str, Sequence[float]]
) -> str:
  """A Markdown table of numbers to three digits; NaN is a dash."""
  lines = [['', *titles], ['---', *('---:' for _ in titles)]]
  for row, values in rows.items():
    lines.append([row, *(_digits(value) for value in values)])
  return _markdown(lines)


def _digits(value: float) -> str:
  return '\N{EN DASH}' if math.isnan(value) else f'{value:.3f}'


def _markdown(lines: Sequence[Sequence[str]]) -> str:
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines) + '\n'


def markdown_list(sentences: Sequence[str]) -> str:
  """A blank line and a Markdown list; empty without sentences."""
  lines = [f'* {sentence}\n' for sentence in sentences]
  return ''.join(['\n', *lines]) if lines else ''


def not_finite(found: Iterable[summary.NotFinite]) -> list[str]:
  """Results of `summary.not_finite` as one sentence per seed and row."""
  sentences = []
  for one in found:
    labels = [glossary.metric(name).label for name in one['metrics']]
    verb = 'is' if len(labels) == 1 else 'are'
    sentences.append(
      f'Seed {one["seed"]}: {", ".join(labels)} of {one["row"]} {verb} not '
      'finite, so there is no mean over seeds.'
    )
  return sentences


def adversarial(found: Iterable[Mapping[str, Any]]) -> list[str]:
  """The states of trainings against a critic as one sentence each.

  Args:
    found: 'name', 'seed', 'state' and 'evidence' of each.
  """
  return [
    f'Training {one["name"]}, seed {one["seed"]}: {one["state"]}: '
    f'{one["evidence"]}'
    for one in found
  ]


def spread(rows: Rows, num_seeds: int) -> str:
  """What stands behind ± in the cells of a table, as one sentence."""
  if num_seeds > 1:
    return f'Mean ± sample standard deviation over {num_seeds} seeds.'
  if any('error' in s for scores in rows.values() for s in scores.values()):
    return (
      'One seed: ± is the standard error over images, which knows nothing of '
      'another training; costs, and scores of latents, have none.'
    )
  return 'One seed, judged by an older version: no standard errors.'


def print_table(rows: Rows, kind: types.Kind | None) -> None:
  """Prints the most informative columns to the terminal."""
  present = _columns(rows)
  wanted = *glossary.telling_metrics(kind), 'nearest_train_ratio'
  names = [name for name in wanted if name in present]
  names += glossary.of_terms(present)
  console = rich.console.Console()
  if not console.is_terminal:  # a log file has no width
    console = rich.console.Console(width=_WIDE_ENOUGH)
  show = cell if console.width >= _WIDE_ENOUGH else _mean_text
  table = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
  table.add_column('', no_wrap=True)
  for name in names:
    table.add_column(glossary.metric(name).label, justify='right', no_wrap=True)
  for row, scores in rows.items():
    style = 'dim' if row in REFERENCE_ROWS else None
    table.add_row(row, *(show(name, scores) for name in names), style=style)
  console.print(table)


def to_json(report: Any) -> str:
  """JSON text; NaN and infinity become null, arrays become lists."""
  return json.dumps(plain(report), indent=2, allow_nan=False) + '\n'


def render_html(report: Mapping[str, Any]) -> str:
  """Renders one self-contained page: no script, no network, images inside.

  Args:
    report: any of title, description, judge {metric: value}, rows,
      row_descriptions {row: text} (of rows that the glossary does not
      describe, or differently), num_seeds, labels (their kind; None without
      labels), attribute_names, grids {row: PNG bytes}, grid_labels (one for
      each column of every grid), figures [{title, caption, png}], commands,
      versions {name: text}, hardware, seconds {stage: float}, config, notes,
      not_finite (see `summary.not_finite`), differences (see
      `verdicts.differences`), choices {caption, columns: texts, rows: lists of
      texts, png} or None, adversarial [{name, seed, state, evidence}] of
      trainings against a critic. The page omits what is missing.

  Raises:
    TypeError: the report has an unknown key.
  """
  unknown = set(report) - set(_REPORT_DEFAULTS)
  if unknown:
    raise TypeError(f'a report has no keys {", ".join(sorted(unknown))}')
  context = {**_REPORT_DEFAULTS, **report}
  rows, names = context['rows'], _columns(context['rows'])
  return template('report.html.j2').render(
    **context,
    columns=[(name, glossary.metric(name)) for name in names],
    config_text=json.dumps(plain(context['config']), indent=2),
    descriptions={row: row_description(row) for row in rows}
    | context['row_descriptions'],
    unlabelled_rows=glossary.UNLABELLED_ROWS,
    gaps=not_finite(context['not_finite']),
    sentences=verdicts.sentences(
      rows, context['differences'], context['labels']
    ),
    spread=spread(rows, context['num_seeds']),
    rule=verdicts.RULE,
    tables=_tables(rows, names),
    short_labels=all(len(str(label)) <= 3 for label in context['grid_labels']),
    judge_cells=[
      (glossary.metric(name).label, cell(name, {name: _as_statistic(value)}))
      for name, value in context['judge'].items()
    ],
  )


def _columns(rows: Rows) -> list[str]:
  """Names of all metrics in the rows: known ones in order, then others."""
  found = dict.fromkeys(name for scores in rows.values() for name in scores)
  known = [name for name in METRICS if name in found]
  return known + [name for name in found if name not in METRICS]


def cell(name: str, scores: Scores) -> str:
  """Mean ± what `spread` says, as text; a dash if missing."""
  mean, error = _texts(name, scores)
  return f'{mean} ± {error}' if error else mean


def _mean_text(name: str, scores: Scores) -> str:
  return _texts(name, scores)[0]


def _texts(name: str, scores: Scores) -> tuple[str, str]:
  """Mean, and std or else error, as texts; '–' and '' if missing.

  The mean is NaN if the value of any seed is not finite.
  """
  mean, known = verdicts.mean(scores, name), scores.get(name, {})
  if mean is None:
    return 'NaN' if name in scores else '\N{EN DASH}', ''
  error = known.get('error') if known.get('std') is None else known['std']
  if error is None or not math.isfinite(error):
    return glossary.text(name, mean), ''
  return glossary.text(name, mean), glossary.text(name, error)


def _tables(rows: Rows, names: Sequence[str]) -> list[dict[str, Any]]:
  """Splits the columns into two tables that fit a page: quality, and the rest.

  Rows without any value in a table are left out of it.
  """
  halves: tuple[list[str], list[str]] = ([], [])
  for name in names:
    halves[glossary.metric(name).group not in (ATTRIBUTES, IMAGES)].append(name)
  tables = []
  for half in filter(None, halves):
    measured = {
      row: scores for row, scores in rows.items() if scores.keys() & set(half)
    }
    groups = itertools.groupby(
      half, key=lambda name: glossary.metric(name).group
    )
    tables.append(
      {
        'columns': [(name, glossary.metric(name)) for name in half],
        'groups': [(group, len(list(members))) for group, members in groups],
        'bands': _bands(measured, half, rows),
      }
    )
  return tables


def _bands(
  measured: Rows, names: Sequence[str], rows: Rows
) -> list[dict[str, Any]]:
  """Groups rows in bands; cells have texts and whether they are the best.

  Args:
    measured: rows of the table.
    names: columns of the table.
    rows: all rows of the comparison.
  """
  best = verdicts.best_costs(rows, names)
  bands: dict[str, list[dict[str, Any]]] = {}
  for row, scores in measured.items():
    cells = []
    for name in names:
      text, std = _texts(name, scores)
      cost = verdicts.cost(name, scores, rows)
      is_best = (
        row not in REFERENCE_ROWS
        and cost is not None
        and cost == best.get(name)
      )
      cells.append({'mean': text, 'std': std, 'best': is_best})
    bands.setdefault(verdicts.band(row), []).append(
      {'name': row, 'cells': cells}
    )
  return [{'title': title, 'rows': bands[title]} for title in bands]


def _as_statistic(value: Any) -> Mapping[str, float | None]:
  return value if isinstance(value, Mapping) else {'mean': value}


def template(name: str) -> jinja2.Template:
  """Loads a template of this package, with the filters that pages share."""
  environment = jinja2.Environment(
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters['data_uri'] = data_uri
  environment.filters['as_seconds'] = lambda value: glossary.text(
    'training_seconds', value
  )
  environment.filters['named_values'] = lambda values: ', '.join(
    f'{key} {value}' for key, value in values.items()
  )
  path = importlib.resources.files(__package__) / name
  return environment.from_string(path.read_text('utf-8'))


def data_uri(png: bytes) -> str:
  """A PNG file as a data URI, for an image inside a page."""
  return f'data:image/png;base64,{base64.b64encode(png).decode("ascii")}'


def plain(value: Any) -> Any:
  """Converts to what reading the JSON gives; NaN and infinity become None."""
  if isinstance(value, np.ndarray | np.generic):
    value = value.tolist()
  if isinstance(value, Mapping):
    return {str(key): plain(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [plain(item) for item in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value

"""Files that `launch.compare` stores for a seed, and checks for damage."""

import numbers
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
from etils import epath

from lcjax import errors
from lcjax.data import dataset
from lcjax.evaluation import glossary, judging
from lcjax.experiment import files

_QUALITY = 'accuracy', 'macro_f1', 'frechet'


def save_samples(folder: epath.Path, rows: dict[str, judging.Row]) -> None:
  """Writes each row of the comparison, before judging, to NAME.npz."""
  for name, row in rows.items():
    arrays: dict[str, Any] = {
      'images': row.images,
      'attributes': row.attributes,
      'latents': row.latents,
    }
    files.write_npz(
      folder / f'{name}.npz',
      **{key: array for key, array in arrays.items() if array is not None},
    )


def load_samples(
  folder: epath.Path, names: Iterable[str], test: dataset.Dataset, run: Any
) -> dict[str, judging.Row]:
  """Reads what `save_samples` wrote.

  Args:
    folder: contains the samples.
    names: of the rows to read.
    test: the split that results are reported on.
    run: path of the seed's result; if deleted, the seed is judged again.

  Raises:
    UserError: a file is missing or damaged; names it.
  """
  rows = {}
  for name in names:
    path = folder / f'{name}.npz'
    try:
      arrays = files.read_npz(path)
      images, attributes = arrays['images'], arrays.get('attributes')
      _check_array(images, np.uint8, test.image_shape)
      if attributes is not None:
        width = (len(test.attribute_names),)
        _check_array(attributes, attributes.dtype, width, len(images))
    except files.DAMAGE as error:
      raise errors.UserError(
        f'{path} is missing or damaged ({type(error).__name__}: {error}): '
        f'restore it from a copy, or delete {run} to judge that seed again'
      ) from error
    rows[name] = judging.Row(images, attributes, arrays.get('latents'), {})
  return rows


def run_checker(
  moved: Collection[str], curve_steps: Collection[int] | None
) -> Callable[[dict[str, Any]], None]:
  """Builds a function that raises ValueError if a seed's result is malformed.

  Args:
    moved: rows that the figure of quality against compute may show.
    curve_steps: steps of the curve, which only the first seed has; None for
      the others.
  """

  def check(found: dict[str, Any]) -> None:
    rows = found['rows']
    _check_numbers(found['seconds'], 'seconds', ())
    for text in (
      found.get('hardware', ''),
      *found.get('versions', {}).values(),
    ):
      if not isinstance(text, str):
        raise ValueError(f'hardware or versions contain {text!r}, not text')
    for name in (glossary.REAL, *moved):
      if name not in rows:
        raise ValueError(f'row {name} is missing')
    for name, scores in rows.items():
      needed = (*_QUALITY, 'latents_per_second') if name in moved else ()
      _check_numbers(scores, f'row {name}', needed)
    _check_errors(found.get('errors'), rows)
    if curve_steps is None:
      return
    for point in found['curve']:
      _check_numbers(point, 'curve', _QUALITY)
    if [point['steps'] for point in found['curve']] != list(curve_steps):
      raise ValueError(f'the curve does not have the steps {curve_steps}')

  return check


def _check_errors(errors: Any, rows: dict[str, Any]) -> None:
  """Raises ValueError unless `errors` is like `verdicts.Errors` of the rows.

  None is that of a result of an older version.
  """
  if errors is None:
    return
  for name, known in errors['rows'].items():
    _check_numbers(known | {name: 0}, f'errors of {name}', ())
    if not known.keys() <= rows[name].keys():
      raise ValueError(f'errors of {name} are of other metrics')
  for name, others in errors['differences'].items():
    for other, known in others.items():
      _check_numbers(known | {name: 0}, f'errors of {name} - {other}', ())


def _check_array(
  array: np.ndarray,
  dtype: Any,
  shape: tuple[int, ...],
  num_rows: int | None = None,
) -> None:
  """Raises ValueError unless the dtype and the shape of rows match."""
  right_rows = len(array) > 0 if num_rows is None else len(array) == num_rows
  if array.dtype != dtype or array.shape[1:] != shape or not right_rows:
    some = 'N' if num_rows is None else num_rows
    raise ValueError(
      f'{array.dtype} {array.shape} instead of {np.dtype(dtype)} '
      f'({some}, {", ".join(map(str, shape))})'
    )


def _check_numbers(values: Any, what: str, needed: Collection[str]) -> None:
  """Raises ValueError unless `values` maps names to numbers or None."""
  if not isinstance(values, dict) or not values:
    raise ValueError(f'{what} is empty or no mapping of names to values')
  for name in needed:
    if name not in values:
      raise ValueError(f'{what} has no {name}')
  for name, value in values.items():
    if value is not None and not isinstance(value, numbers.Real):
      raise ValueError(f'{what} has {name}={value!r}')

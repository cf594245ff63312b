"""What `launch.compare` keeps of a seed; what is damaged is one line."""

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
  """Writes NAME.npz of every row."""
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
    folder: of the samples.
    names: of the rows.
    test: the split that results are reported on.
    run: path of the seed's result, whose absence makes the samples anew.

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
  """Builds what raises ValueError for a seed's result of another shape.

  Args:
    moved: rows that the figure of quality against compute may show.
    curve_steps: of the curve that the first seed has, None for others.
  """

  def check(found: dict[str, Any]) -> None:
    rows = found['rows']
    _check_numbers(found['seconds'], 'seconds', ())
    for text in (
      found.get('hardware', ''),
      *found.get('versions', {}).values(),
    ):
      if not isinstance(text, str):
        raise ValueError(f'hardware and versions have {text!r}')
    for name in (glossary.REAL, *moved):
      if name not in rows:
        raise ValueError(f'no row {name}')
    for name, scores in rows.items():
      needed = (*_QUALITY, 'latents_per_second') if name in moved else ()
      _check_numbers(scores, f'row {name}', needed)
    if curve_steps is None:
      return
    for point in found['curve']:
      _check_numbers(point, 'curve', _QUALITY)
    if [point['steps'] for point in found['curve']] != list(curve_steps):
      raise ValueError(f'no curve over {curve_steps} steps')

  return check


def _check_array(
  array: np.ndarray,
  dtype: Any,
  shape: tuple[int, ...],
  num_rows: int | None = None,
) -> None:
  """Raises ValueError unless an array has rows of a type and shape."""
  right_rows = len(array) > 0 if num_rows is None else len(array) == num_rows
  if array.dtype != dtype or array.shape[1:] != shape or not right_rows:
    some = 'N' if num_rows is None else num_rows
    raise ValueError(
      f'{array.dtype} {array.shape} instead of {np.dtype(dtype)} '
      f'({some}, {", ".join(map(str, shape))})'
    )


def _check_numbers(values: Any, what: str, needed: Collection[str]) -> None:
  """Raises ValueError unless values by name are numbers, or None."""
  if not isinstance(values, dict) or not values:
    raise ValueError(f'{what} has no values by name')
  for name in needed:
    if name not in values:
      raise ValueError(f'{what} has no {name}')
  for name, value in values.items():
    if value is not None and not isinstance(value, numbers.Real):
      raise ValueError(f'{what} has {name}={value!r}')

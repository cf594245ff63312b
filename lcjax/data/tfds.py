"""Data sets prepared by TensorFlow Datasets, read without TensorFlow."""

import io
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from lcjax import errors
from lcjax.data import cache, celeba, idx, paths, pictures, pixels, tables


def load_classes(
  split: str, name: str, dir: str, cache_dir: str
) -> tables.Parts:
  """Loads one split of an MNIST-like data set: exactly the rows of `idx.load`.

  Args:
    split: 'train', 'validation' or 'test'.
    name: a key of `idx.CLASSES`.
    dir: TFDS's data_dir; empty: its default.
    cache_dir: cache of the decoded images; empty: decoded into memory.

  Returns:
    See `idx.load`.

  Raises:
    UserError: the data set is not prepared, or a file is damaged.
  """
  builder = _get_builder(name, dir)
  num_rows = _count_rows(builder)

  def make_shapes() -> dict[str, tuple[int, ...]]:
    shape = builder.info.features['image'].shape
    total = sum(num_rows.values())
    return {'images': (total, *shape), 'classes': (total,)}

  def convert(example: Mapping[str, Any], row: int, out: cache.Arrays) -> None:
    shape = out['images'].shape[1:]
    out['images'][row] = _decode(example, shape, 0, 'black')
    out['classes'][row] = example['label']

  arrays = cache.load(
    cache_dir,
    f'tfds_{name}',
    _manifest(builder),
    make_shapes,
    _make_fill(builder, num_rows, convert),
  )
  rows = _rows_of('test' if split == 'test' else 'train', num_rows)
  labels = idx.labels(name)
  images, classes = arrays['images'][rows], arrays['classes'][rows]
  images, attributes = idx.split_rows(images, classes, labels.names, split)
  return images, attributes, labels


def load_celeba(
  split: str,
  dir: str,
  image_size: int,
  crop_size: int,
  attributes: tuple[str, ...],
  cache_dir: str,
  background: str,
) -> tables.Parts:
  """Loads one split of celeb_a: the rows of `celeba.load`, in another order.

  Args:
    split: 'train', 'validation' or 'test'.
    dir: TFDS's data_dir; empty: its default.
    image_size: side of the decoded images, in pixels.
    crop_size: side in pixels of the central square that is cut out before
      resizing; 0: the largest square.
    attributes: names; empty: `celeba.DEFAULT_ATTRIBUTES`.
    cache_dir: cache of the decoded images; empty: decoded into memory.
    background: 'black' or 'white', shown where an image is transparent.

  Returns:
    See `celeba.load`.

  Raises:
    UserError: the data set is not prepared, a file is damaged, or an attribute
      does not exist.
  """
  builder = _get_builder('celeb_a', dir)
  num_rows = _count_rows(builder)
  available = sorted(builder.info.features['attributes'])
  labels = celeba.labels(attributes)
  tables.check_names(available, builder.data_path)
  columns = tables.choose(available, labels.names, builder.data_path)

  def make_shapes() -> dict[str, tuple[int, ...]]:
    total = sum(num_rows.values())
    return {
      'images': (total, image_size, image_size, 3),
      'attributes': (total, len(available)),
    }

  def convert(example: Mapping[str, Any], row: int, out: cache.Arrays) -> None:
    shape = out['images'].shape[1:]
    out['images'][row] = _decode(example, shape, crop_size, background)
    out['attributes'][row] = [example['attributes'][a] for a in available]

  arrays = cache.load(
    cache_dir,
    f'tfds_celeb_a_{image_size}_of_{crop_size}',
    {
      **_manifest(builder),
      'image_size': image_size,
      'crop_size': crop_size,
      'background': background,
    },
    make_shapes,
    _make_fill(builder, num_rows, convert),
  )
  rows = _rows_of(split, num_rows)
  bits = arrays['attributes'][rows][:, columns].astype(np.float32)
  return arrays['images'][rows], bits, labels


def _get_builder(name: str, folder: str) -> Any:
  """The TFDS builder of a prepared data set; raises UserError otherwise."""
  try:
    import array_record  # noqa: F401
    import tensorflow_datasets
  except ImportError as error:
    raise errors.UserError(
      f"config.data.name='tfds:{name}' needs tensorflow-datasets and "
      f"array_record ({error}): pip install -e '.[tfds]'"
    ) from error
  data_dir = folder or None
  if folder and '://' not in folder:  # TFDS also accepts bucket URLs
    data_dir = str(paths.folder('config.data.dir', folder))
  try:
    builder = tensorflow_datasets.builder(name, data_dir=data_dir)
    splits = builder.info.splits
    if splits:
      builder.as_data_source(next(iter(splits)))
  # TFDS raises NotImplementedError for files without random access.
  except (OSError, ValueError, NotImplementedError) as error:
    raise errors.UserError(
      f"config.data.name='tfds:{name}': the prepared files in "
      f'config.data.dir={folder} cannot be read: {error}'
    ) from error
  if not splits:
    raise errors.UserError(
      f"config.data.name='tfds:{name}' is not prepared in {builder.data_path}: "
      f'run python -m launch.prepare_data --name={name} '
      f'--data_dir={folder or builder.data_path.parent.parent}'
    )
  return builder


def _count_rows(builder: Any) -> dict[str, int]:
  """Numbers of rows of the prepared splits, in the order of `SPLITS`."""
  splits = builder.info.splits
  return {s: splits[s].num_examples for s in tables.SPLITS if s in splits}


def _rows_of(split: str, num_rows: Mapping[str, int]) -> slice:
  """The slice of one split among the rows of all splits."""
  first = 0
  for one, count in num_rows.items():
    if one == split:
      return slice(first, first + count)
    first += count
  raise errors.UserError(f'the prepared data set has no split {split!r}')


def _manifest(builder: Any) -> dict[str, Any]:
  """JSON that changes when the prepared files change."""
  files = []
  for split in builder.info.splits.values():
    for name in split.filenames:
      path = builder.data_path / name
      try:
        stat = path.stat()
      except OSError as error:
        raise errors.UserError(f'{path} cannot be read: {error}') from error
      files.append((name, stat.length, stat.mtime))
  return {
    'name': builder.info.full_name,
    'files': sorted(files),
    'decoding': pixels.DECODING,
  }


def _make_fill(
  builder: Any,
  num_rows: Mapping[str, int],
  convert: Callable[[Mapping[str, Any], int, cache.Arrays], None],
) -> Callable[[range, cache.Arrays], None]:
  """Builds a function that fills rows; the splits follow one another."""
  import tensorflow_datasets

  source = builder.as_data_source(
    '+'.join(num_rows),
    # Left to Pillow, as in the other sources, and in parallel threads.
    decoders={'image': tensorflow_datasets.decode.SkipDecoding()},
  )
  lock = threading.Lock()  # sources are not documented as thread-safe

  def fill(rows: range, out: cache.Arrays) -> None:
    with pictures.reading(builder.data_path):
      with lock:
        examples = source.__getitems__(list(rows))
      for row, example in enumerate(examples):
        convert(example, row, out)

  return fill


def _decode(
  example: Mapping[str, Any],
  shape: tuple[int, ...],
  crop_size: int,
  background: str,
) -> np.ndarray:
  """Decodes the encoded image of an example."""
  with Image.open(io.BytesIO(example['image'])) as picture:
    return pictures.fit(picture, shape, crop_size, background)

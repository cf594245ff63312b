"""Sets that TensorFlow Datasets prepared, read without TensorFlow."""

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
  """Loads one split of mnist or a relative: just what `idx.load` gives.

  Args:
    split: 'train', 'validation' or 'test'.
    name: a key of `idx.CLASSES`.
    dir: TFDS's data_dir; empty for its default.
    cache_dir: of the decoded images; empty: decoded into memory.

  Returns:
    See `idx.load`.

  Raises:
    UserError: the set is not prepared, or a file is damaged.
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
  """Loads one split of celeb_a: what `celeba.load` gives, in another order.

  Args:
    split: 'train', 'validation' or 'test'.
    dir: TFDS's data_dir; empty for its default.
    image_size: pixels a side.
    crop_size: pixels a side of what is cut from the middle before.
    attributes: their names; empty for `celeba.DEFAULT_ATTRIBUTES`.
    cache_dir: of the decoded images; empty: decoded into memory.
    background: 'black' or 'white', seen where an image is transparent.

  Returns:
    See `celeba.load`.

  Raises:
    UserError: the set is not prepared, a file is damaged, or there is no such
      attribute.
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
  """The builder of a set that is prepared."""
  try:
    import array_record  # noqa: F401
    import tensorflow_datasets
  except ImportError as error:
    raise errors.UserError(
      f"config.data.name='tfds:{name}' needs tensorflow-datasets and "
      f"array_record ({error}): pip install -e '.[tfds]'"
    ) from error
  data_dir = folder or None
  if folder and '://' not in folder:  # TFDS knows buckets
    data_dir = str(paths.folder('config.data.dir', folder))
  try:
    builder = tensorflow_datasets.builder(name, data_dir=data_dir)
    splits = builder.info.splits
    if splits:
      builder.as_data_source(next(iter(splits)))
  # NotImplementedError is how TFDS refuses files without random access.
  except (OSError, ValueError, NotImplementedError) as error:
    raise errors.UserError(
      f"config.data.name='tfds:{name}': what is prepared in "
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
  """Rows of the prepared splits, in our order."""
  splits = builder.info.splits
  return {s: splits[s].num_examples for s in tables.SPLITS if s in splits}


def _rows_of(split: str, num_rows: Mapping[str, int]) -> slice:
  """Which rows of all are one split's."""
  first = 0
  for one, count in num_rows.items():
    if one == split:
      return slice(first, first + count)
    first += count
  raise errors.UserError(f'the prepared set has no split {split!r}')


def _manifest(builder: Any) -> dict[str, Any]:
  """JSON that changes when the prepared files do."""
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
  """Builds what fills rows of all splits, one after the other."""
  import tensorflow_datasets

  source = builder.as_data_source(
    '+'.join(num_rows),
    # Pillow decodes as in the other sources, and in threads.
    decoders={'image': tensorflow_datasets.decode.SkipDecoding()},
  )
  lock = threading.Lock()  # nobody promises that a source may be shared

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
  """The image of an example whose bytes are those of its file."""
  with Image.open(io.BytesIO(example['image'])) as picture:
    return pictures.fit(picture, shape, crop_size, background)

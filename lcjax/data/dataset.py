"""The `Dataset` type, and `load`, which selects the source by name."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lcjax import errors, types
from lcjax.data import celeba, digests, digits, folder, idx, tables, tfds

SPLITS = tables.SPLITS


@dataclasses.dataclass(frozen=True)
class Dataset:
  """One split of a data set, in memory or mapped from a file.

  Attributes:
    images: [N, H, W, C] uint8; may be a read-only memory map.
    attributes: [N, Y] float32 of zeros and ones.
    labels: names and kind of the Y attributes.
  """

  images: np.ndarray
  attributes: np.ndarray
  labels: types.Labels

  def __post_init__(self) -> None:
    """Checks shapes and dtypes."""
    if self.images.dtype != np.uint8 or self.images.ndim != 4:
      raise ValueError(
        'images must be uint8 [N, H, W, C], not '
        f'{self.images.dtype} {self.images.shape}'
      )
    expected = (len(self.images), len(self.attribute_names))
    if self.attributes.shape != expected:
      raise ValueError(
        f'attributes must be {expected}, not {self.attributes.shape}'
      )

  def __len__(self) -> int:
    """The number of rows."""
    return len(self.images)

  @property
  def attribute_names(self) -> tuple[str, ...]:
    """Y names."""
    return self.labels.names

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """(H, W, C)."""
    height, width, channels = self.images.shape[1:]
    return height, width, channels

  @functools.cached_property
  def image_digest(self) -> dict[str, Any]:
    """Identifies the images by content; see `digests.of_images`."""
    return digests.of_images(self.images)

  @functools.cached_property
  def label_digest(self) -> dict[str, Any]:
    """Identifies attributes and labels; see `digests.of_labels`."""
    return digests.of_labels(self.attributes, self.labels)


class Options(NamedTuple):
  """All of `config.data` except the name; sources read what they need."""

  dir: str
  image_size: int
  crop_size: int
  attributes: tuple[str, ...]
  cache_dir: str
  background: str


class Source(NamedTuple):
  """How to load one data set.

  Attributes:
    load: (split, options) -> decoded images, attributes and labels.
    labels: (split, options) -> labels, without decoding images.
  """

  load: Callable[[str, Options], tables.Parts]
  labels: Callable[[str, Options], types.Labels]


SOURCES: dict[str, Source] = {
  'digits': Source(
    lambda split, o: digits.load(split), lambda *_: digits.LABELS
  ),
  'mnist': Source(
    lambda split, o: idx.load(split, 'mnist', o.dir),
    lambda *_: idx.labels('mnist'),
  ),
  'fashion_mnist': Source(
    lambda split, o: idx.load(split, 'fashion_mnist', o.dir),
    lambda *_: idx.labels('fashion_mnist'),
  ),
  'celeba': Source(
    lambda split, o: celeba.load(split, **o._asdict()),
    lambda split, o: celeba.labels(o.attributes),
  ),
  'folder': Source(
    lambda split, o: folder.load(split, **o._asdict()),
    lambda split, o: folder.labels(split, o.dir, o.attributes),
  ),
  'tfds:mnist': Source(
    lambda split, o: tfds.load_classes(split, 'mnist', o.dir, o.cache_dir),
    lambda *_: idx.labels('mnist'),
  ),
  'tfds:fashion_mnist': Source(
    lambda split, o: tfds.load_classes(
      split, 'fashion_mnist', o.dir, o.cache_dir
    ),
    lambda *_: idx.labels('fashion_mnist'),
  ),
  'tfds:celeb_a': Source(
    lambda split, o: tfds.load_celeba(split, **o._asdict()),
    lambda split, o: celeba.labels(o.attributes),
  ),
}
# Sources that use `crop_size` and, for transparent images, `background`.
CROPPED = ('celeba', 'folder', 'tfds:celeb_a')


def load(
  name: str,
  split: str,
  dir: str = '',
  image_size: int = 64,
  crop_size: int = 128,
  attributes: tuple[str, ...] = (),
  cache_dir: str = '',
  background: str = 'black',
) -> Dataset:
  """Loads one split of a data set.

  Args:
    name: a key of `SOURCES`.
    split: 'train', 'validation' or 'test'; contains the same rows in every run.
    dir: folder of the files, read in place; unused by digits, and optional for
      TFDS, which has a default.
    image_size: side in pixels; only for `CROPPED`, others have a fixed size.
    crop_size: side in pixels of the central square that is cut out before
      resizing; 0: the largest square. Only for `CROPPED`.
    attributes: names; empty: ten of CelebA, all of a folder. Only for
      `CROPPED`, others have classes.
    cache_dir: cache of the decoded pixels; empty: no cache.
    background: 'black' or 'white', shown where an image is transparent. Only
      for `CROPPED`.

  Returns:
    The split.

  Raises:
    UserError: the data set or split is unknown, or its files are missing or
      damaged.
  """
  source = _find(name, split)
  options = Options(
    dir, image_size, crop_size, tuple(attributes), cache_dir, background
  )
  images, bits, labels = source.load(split, options)
  tables.check_names(labels.names, f'config.data.name={name!r}')
  return Dataset(images, bits, labels)


def labels_before_decoding(
  name: str, split: str, **section: Any
) -> types.Labels:
  """The labels that `load` returns, without decoding an image.

  Args:
    name: a key of `SOURCES`.
    split: as in `load`.
    **section: the fields of `Options`.

  Raises:
    UserError: the data set or split is unknown, or its table is missing or
      damaged.
  """
  return _find(name, split).labels(split, Options(**section))


def _find(name: str, split: str) -> Source:
  """Looks up a source; raises UserError for an unknown name or split."""
  if name not in SOURCES:
    raise errors.UserError(
      f'config.data.name={name!r} is not a data set: choose one of '
      f'{", ".join(sorted(SOURCES))}'
    )
  if split not in SPLITS:
    raise errors.UserError(
      f'{split!r} is not a split: choose one of {", ".join(SPLITS)}'
    )
  return SOURCES[name]

"""One type for every data set, and `load`, which finds the source by name."""

import dataclasses
from collections.abc import Callable

import numpy as np

from lcjax import errors
from lcjax.data import digits

SPLITS = ('train', 'validation', 'test')


@dataclasses.dataclass(frozen=True)
class Dataset:
  """One split of a data set, whole in memory.

  Attributes:
    images: [N, H, W, C] uint8.
    attributes: [N, Y] float32 of zeros and ones.
    attribute_names: Y names.
    exclusive: True where exactly one attribute holds in every row (classes,
      one-hot), False where attributes are independent bits.
  """

  images: np.ndarray
  attributes: np.ndarray
  attribute_names: tuple[str, ...]
  exclusive: bool

  def __post_init__(self) -> None:
    """Checks that the parts belong together."""
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
  def image_shape(self) -> tuple[int, int, int]:
    """(H, W, C)."""
    height, width, channels = self.images.shape[1:]
    return height, width, channels


# A source is `load(split) -> the four fields of a Dataset`.
SOURCES: dict[str, Callable[[str], tuple]] = {'digits': digits.load}


def load(name: str, split: str) -> Dataset:
  """Loads one split of a data set.

  Args:
    name: a key of `SOURCES`.
    split: 'train', 'validation' or 'test'; fixed, the same in every run.

  Returns:
    The split.

  Raises:
    UserError: no such data set or split.
  """
  if name not in SOURCES:
    raise errors.UserError(
      f'config.data.name={name!r} is not a data set: choose one of '
      f'{", ".join(sorted(SOURCES))}'
    )
  if split not in SPLITS:
    raise errors.UserError(
      f'{split!r} is not a split: choose one of {", ".join(SPLITS)}'
    )
  return Dataset(*SOURCES[name](split))

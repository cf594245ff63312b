"""scikit-learn's `load_digits`: 1,797 real scans of 8x8, ten classes."""

import numpy as np
from sklearn import datasets, model_selection

from lcjax import types
from lcjax.data import tables

# Independent of the experiment's seed, so that results of different seeds are
# comparable.
_SPLIT_SEED = 0
_NUM_TEST = 450
_NUM_VALIDATION = 270
LABELS = types.Classes(tuple('0123456789'))


def load(split: str) -> tables.Parts:
  """Loads a stratified split: 1,077 train, 270 validation, 450 test rows.

  Args:
    split: 'train', 'validation' or 'test'.

  Returns:
    images [N, 8, 8, 1] uint8 (17 grey levels scaled to 0 to 255),
    one-hot classes [N, 10] float32, and their names as `Classes`.
  """
  scans, classes = datasets.load_digits(return_X_y=True)
  rest, test = model_selection.train_test_split(
    np.arange(len(scans)),
    test_size=_NUM_TEST,
    stratify=classes,
    random_state=_SPLIT_SEED,
  )
  train, validation = model_selection.train_test_split(
    rest,
    test_size=_NUM_VALIDATION,
    stratify=classes[rest],
    random_state=_SPLIT_SEED,
  )
  rows = np.sort(
    {'train': train, 'validation': validation, 'test': test}[split]
  )
  images = np.round(scans[rows] * (255 / 16)).astype(np.uint8)
  attributes = np.eye(10, dtype=np.float32)[classes[rows]]
  return images.reshape(-1, 8, 8, 1), attributes, LABELS

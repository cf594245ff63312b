"""Where real data may lie, read in place: shared/data beside the checkout."""

import pathlib

import pytest

SHARED = pathlib.Path(__file__).resolve().parents[3] / 'shared' / 'data'


def needs(name):
  """Skips a test where ../shared/data/NAME is not there."""
  return pytest.mark.skipif(
    not (SHARED / name).is_dir(),
    reason=f'there is no ../shared/data/{name} beside the checkout',
  )

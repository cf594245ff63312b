"""Decoded once: what is kept, when it is made anew, and what is left behind."""

import json
import os
import shutil
from unittest import mock

import numpy as np
import pytest

from lcjax import errors
from lcjax.data import batches, cache, dataset, pictures
from tests.data import fake_celeba


@pytest.fixture(name='load')
def fixture_load(tmp_path):
  """Loads the fake set and tells how many pictures it decoded."""
  fake_celeba.write(tmp_path)

  def load(split='train', **options):
    with mock.patch.object(pictures, 'fit', wraps=pictures.fit) as fit:
      data = dataset.load(
        'celeba',
        split,
        dir=str(tmp_path),
        **{'cache_dir': str(tmp_path / 'cache'), **options},
      )
    return data, fit.call_count

  return load


def test_pixels_are_decoded_once(load):
  first, num_decoded = load()
  assert num_decoded == 6  # of all splits
  for split, options in (
    ('train', {}),
    ('test', {}),
    ('train', {'attributes': ('Male',)}),
  ):
    again, num_decoded = load(split, **options)
    assert num_decoded == 0
    if split == 'train':
      np.testing.assert_array_equal(again.images, first.images)
  assert load(cache_dir='')[1] == 6


def test_a_split_is_a_piece_of_the_map(load):
  for _ in range(2):  # made, then found
    data, _ = load('test')
    assert isinstance(data.images, np.memmap)
    assert not data.images.flags.writeable and not data.images.flags.owndata
  rows = batches.stacked_indices((0, 0), 0, 3, 4, len(data))
  drawn = data.images[rows]
  assert drawn.shape == (3, 4, 64, 64, 3) and type(drawn) is np.ndarray
  np.testing.assert_array_equal(drawn[1, 2], data.images[rows[1, 2]])


def test_made_anew_when_anything_changed(load, tmp_path):
  assert load()[1] == 6
  assert load(crop_size=100)[1] == 6
  assert load(image_size=32)[1] == 6
  assert load()[1] == 0  # the first is still there
  fake_celeba.write_images(tmp_path, inner=60)
  data, num_decoded = load()
  assert num_decoded == 6 and data.images[0, 4, 4].max() < 4
  names = fake_celeba.NAMES
  (tmp_path / 'subset_partition.txt').write_text(f'{names[5]} 0\n{names[4]} 0')
  data, num_decoded = load()
  assert num_decoded == 2
  assert data.images[:, 32, 32, 0] == pytest.approx([240, 200], abs=3)
  fake_celeba.write_images(tmp_path, packed=False)
  assert load()[1] == 2
  os.utime(tmp_path / 'img_align_celeba' / names[5], (1, 1))
  assert load()[1] == 2
  assert load()[1] == 0


@pytest.mark.parametrize('damage', ['array', 'gone', 'note', 'other_note'])
def test_a_damaged_cache_is_made_anew(load, tmp_path, damage):
  expected = load()[0].images.copy()
  (note,) = (tmp_path / 'cache').glob('*.json')
  (array,) = (tmp_path / 'cache').glob('*.npy')
  if damage == 'array':
    array.write_bytes(array.read_bytes()[:-10])
  elif damage == 'gone':
    array.unlink()
  else:
    note.write_text('{' if damage == 'note' else '[]')
  data, num_decoded = load()
  assert num_decoded == 6
  np.testing.assert_array_equal(data.images, expected)


def make(folder, fill, num_rows=1000):
  return cache.load(
    str(folder), 'name', {'v': (1,)}, lambda: {'a': (num_rows, 2)}, fill
  )


def count_up(rows, out):
  out['a'][:] = np.array(rows).astype(np.uint8)[:, None]


def test_every_row_is_filled(tmp_path):
  expected = np.repeat(np.arange(1000).astype(np.uint8)[:, None], 2, axis=1)
  for folder in ('', tmp_path):
    np.testing.assert_array_equal(make(folder, count_up)['a'], expected)
  assert json.loads((tmp_path / 'name.json').read_text())['source'] == {
    'v': [1]
  }


def test_an_interrupted_start_leaves_nothing_behind(tmp_path):
  def fill(rows, out):
    if 500 in rows:
      raise KeyboardInterrupt
    count_up(rows, out)

  with pytest.raises(KeyboardInterrupt):
    make(tmp_path, fill)
  assert not list(tmp_path.iterdir())
  assert make(tmp_path, count_up)['a'][999, 0] == 999 % 256


def test_an_old_map_survives_a_new_file(load, tmp_path):
  """A run that is under way keeps its pixels when another one decodes."""
  old, _ = load()
  before = old.images.copy()
  fake_celeba.write_images(tmp_path, inner=60)
  new, _ = load()
  assert (new.images != before).any()
  np.testing.assert_array_equal(old.images, before)


def test_a_folder_that_cannot_be_written(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match=r'cache_dir=.*file is a file'):
    make(tmp_path / 'file', count_up)
  usage = shutil.disk_usage(tmp_path)._replace(free=1999)
  with (
    mock.patch.object(shutil, 'disk_usage', return_value=usage),
    pytest.raises(
      errors.UserError, match=r'0\.00 GB free, name needs 0\.00 GB'
    ),
  ):
    make(tmp_path, count_up)


def test_cloud_storage_is_refused(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)  # where a folder named gs: would be made
  with pytest.raises(errors.UserError, match=r'set --config\.data'):
    make('gs://bucket/run/cache', count_up)
  assert not list(tmp_path.iterdir())

"""A user's own images, brought into the shape of a model."""

import numpy as np
import pytest
from PIL import Image

from lcjax import errors
from lcjax.data import pictures


def test_grey_and_colour(tmp_path):
  Image.new('RGB', (8, 8), (255, 0, 0)).save(tmp_path / 'red.png')
  Image.new('L', (8, 8), 100).save(tmp_path / 'grey.png')
  paths = [tmp_path / 'red.png', tmp_path / 'grey.png']
  grey = pictures.read(paths, (4, 6, 1))
  assert grey.shape == (2, 4, 6, 1) and grey.dtype == np.uint8
  np.testing.assert_array_equal(grey[1], 100)
  colour = pictures.read(paths, (4, 6, 3))
  np.testing.assert_array_equal(colour[0], np.full((4, 6, 3), [255, 0, 0]))
  np.testing.assert_array_equal(colour[1], 100)


@pytest.mark.parametrize('upright', [False, True])
def test_the_middle_is_kept_at_its_aspect_ratio(tmp_path, upright):
  wide = np.zeros((8, 24), np.uint8)
  wide[:, 8:16] = 200  # the square in the middle
  wide = wide.T if upright else wide
  Image.fromarray(wide).save(tmp_path / 'wide.png')
  image = pictures.read([tmp_path / 'wide.png'], (4, 4, 1))
  # The filter reaches a little beyond the edge.
  np.testing.assert_allclose(image, np.full((1, 4, 4, 1), 200), atol=12)


def test_cut_as_the_data_are_unless_cut_before(tmp_path):
  framed = np.zeros((24, 30), np.uint8)
  framed[6:18, 9:21] = 200
  Image.fromarray(framed).save(tmp_path / 'framed.png')
  Image.fromarray(framed[6:18, 9:21]).save(tmp_path / 'cut.png')
  paths = [tmp_path / 'framed.png', tmp_path / 'cut.png']
  images = pictures.read(paths, (12, 12, 1), crop_size=12)
  np.testing.assert_array_equal(images, np.full((2, 12, 12, 1), 200))
  images = pictures.read(paths, (12, 12, 1), crop_size=24)
  assert images[0].min() < 20  # the frame is there
  np.testing.assert_array_equal(images[1], np.full((12, 12, 1), 200))


def test_arrays(tmp_path):
  images = np.arange(2 * 4 * 6, dtype=np.uint8).reshape(2, 4, 6, 1)
  np.save(tmp_path / 'a.npy', images)
  np.savez(tmp_path / 'a.npz', images=images)
  found = pictures.read([tmp_path / 'a.npy', tmp_path / 'a.npz'], (4, 6, 1))
  np.testing.assert_array_equal(found, np.concatenate([images, images]))


def test_what_cannot_be_read_is_named(tmp_path):
  (tmp_path / 'text.png').write_text('no picture')
  (tmp_path / 'text.npz').write_text('no archive')
  np.savez(tmp_path / 'other.npz', pixels=np.zeros(3))
  np.save(tmp_path / 'float.npy', np.zeros((2, 4, 6, 1)))
  np.save(tmp_path / 'small.npy', np.zeros((2, 4, 4, 1), np.uint8))
  names = ('none.png', 'none.npz', 'text.png', 'text.npz', 'other.npz')
  for name in names:
    with pytest.raises(errors.UserError, match=f'{name} cannot be read'):
      pictures.read([tmp_path / name], (4, 6, 1))
  for name in ('float.npy', 'small.npy'):
    with pytest.raises(errors.UserError, match=f'{name} holds.*4, 6, 1'):
      pictures.read([tmp_path / name], (4, 6, 1))


def test_a_damaged_archive_is_named(tmp_path):
  path = tmp_path / 'cut.npz'
  np.savez(path, images=np.zeros((2, 4, 6, 1), np.uint8))
  path.write_bytes(path.read_bytes()[:-30])
  with pytest.raises(errors.UserError, match=r'cut\.npz cannot be read'):
    pictures.read([path], (4, 6, 1))

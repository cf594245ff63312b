"""IDX files: read whole or refused, and split whatever the order on disk."""

import gzip

import numpy as np
import pytest

from lcjax import errors, types
from lcjax.data import dataset, idx
from tests.data import shared

SPLITS = ('train', 'validation', 'test')


def idx_bytes(array):
  header = bytes((0, 0, 8, array.ndim))
  return header + np.array(array.shape, '>u4').tobytes() + array.tobytes()


def write(folder, images, labels, official='train', end='.gz', join='-'):
  pack = gzip.compress if end else bytes
  for kind, array in (
    (f'images{join}idx3', images),
    (f'labels{join}idx1', labels),
  ):
    path = folder / f'{official}-{kind}-ubyte{end}'
    path.write_bytes(pack(idx_bytes(array)))


def make(num_rows, seed=0):
  rng = np.random.default_rng(seed)
  images = rng.integers(0, 256, (num_rows, 3, 2), np.uint8)
  return images, rng.integers(0, 10, num_rows).astype(np.uint8)


def as_set(images, attributes):
  return {
    (image.tobytes(), int(y.argmax()))
    for image, y in zip(images, attributes, strict=True)
  }


@pytest.mark.parametrize(('end', 'join'), [('.gz', '-'), ('', '-'), ('', '.')])
def test_reads(tmp_path, end, join):
  images, labels = make(7)
  write(tmp_path, images, labels, 't10k', end, join)
  data = dataset.load('mnist', 'test', dir=str(tmp_path))
  assert data.images.shape == (7, 3, 2, 1) and (
    isinstance(data.labels, types.Classes)
  )
  assert data.attribute_names == tuple('0123456789')
  expected = as_set(images, np.eye(10)[labels])
  assert as_set(data.images, data.attributes) == expected
  assert data.attributes.dtype == np.float32
  fashion = dataset.load('fashion_mnist', 'test', dir=str(tmp_path))
  assert fashion.attribute_names[9] == 'Ankle boot'


def test_splits_are_a_partition_that_knows_no_order(tmp_path):
  images, labels = make(120)
  write(tmp_path, images, labels)
  first = {s: idx.load(s, 'mnist', str(tmp_path)) for s in SPLITS[:2]}
  assert [len(first[s][0]) for s in SPLITS[:2]] == [110, 10]
  found = [as_set(*first[s][:2]) for s in SPLITS[:2]]
  assert not found[0] & found[1]
  assert found[0] | found[1] == as_set(images, np.eye(10)[labels])
  order = np.random.default_rng(1).permutation(120)
  write(tmp_path, images[order], labels[order])
  for split in SPLITS[:2]:
    again = idx.load(split, 'mnist', str(tmp_path))
    np.testing.assert_array_equal(again[0], first[split][0])
    np.testing.assert_array_equal(again[1], first[split][1])


def test_damage_is_one_line_that_names_the_file(tmp_path):
  images, labels = make(24)

  def refused(name, content, message):
    write(tmp_path, images, labels)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.UserError, match=message) as caught:
      idx.load('train', 'mnist', str(tmp_path))
    assert '\n' not in str(caught.value) and name in str(caught.value)

  pixels, classes = 'train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz'
  packed = gzip.compress(idx_bytes(images))
  refused(pixels, packed[:-20], 'cannot be read')
  refused(pixels, packed[:9], 'cannot be read')
  refused(pixels, packed[:10] + b'\xff' + packed[11:], 'cannot be read')
  refused(pixels, idx_bytes(images)[:-1], 'promises 144 bytes, 143 follow')
  refused(pixels, idx_bytes(images) + b'x', 'promises 144 bytes, 145 follow')
  refused(pixels, idx_bytes(labels), 'begins with 00 00 08 01, not 00 00 08 03')
  refused(pixels, b'', 'no IDX file')
  refused(pixels, idx_bytes(images)[:9], 'no IDX file')
  refused(classes, idx_bytes(labels[1:]), '23 labels for the 24 images')
  refused(classes, idx_bytes(labels + np.uint8(9)), r'label 1\d: .* 10 classes')


def test_a_missing_file_is_named(tmp_path):
  images, labels = make(3)
  write(tmp_path, images, labels)
  with pytest.raises(errors.UserError, match=r'no t10k-images-idx3-ubyte'):
    idx.load('test', 'mnist', str(tmp_path))
  with pytest.raises(errors.UserError, match=r'none holds no train-images'):
    idx.load('train', 'mnist', str(tmp_path / 'none'))
  with pytest.raises(errors.UserError, match=r'config\.data\.dir is empty'):
    idx.load('train', 'mnist', '')


@shared.needs('mnist')
def test_the_official_files():
  folder = str(shared.SHARED / 'mnist')
  data = {s: dataset.load('mnist', s, dir=folder) for s in SPLITS}
  assert [len(data[s]) for s in SPLITS] == [55000, 5000, 10000]
  assert data['train'].image_shape == (28, 28, 1)
  # Counts and means of the official sets, as published.
  classes = data['train'].attributes.sum(0) + data['validation'].attributes.sum(
    0
  )
  assert classes.tolist()[:3] == [5923, 6742, 5958]
  assert data['test'].attributes.sum(0).tolist()[:3] == [980, 1135, 1032]
  total = sum(data[s].images.sum(dtype=np.int64) for s in SPLITS[:2])
  assert total / (60000 * 28 * 28) / 255 == pytest.approx(0.1307, abs=5e-5)
  assert as_set(data['train'].images[:99], data['train'].attributes[:99])
  held_out = as_set(data['validation'].images, data['validation'].attributes)
  train = as_set(data['train'].images, data['train'].attributes)
  assert len(held_out) == 5000 and not held_out & train

"""Digests follow from content alone, however an array lies in memory."""

import numpy as np
import pytest

from lcjax import types
from lcjax.data import dataset, digests


def images(seed=0, shape=(7, 4, 5, 3)):
  return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_a_known_value():
  # SHA-256 of the bytes "|u1(2, 2)" 00 01 02 03, so that stored ones last.
  assert digests.of_array(np.arange(4, dtype=np.uint8).reshape(2, 2)) == (
    'f07b11418eb5d425'
  )


@pytest.mark.parametrize('chunk', [1, 100, 2**24])
def test_the_same_content_has_the_same_digest(tmp_path, monkeypatch, chunk):
  expected = digests.of_array(images())
  monkeypatch.setattr(digests, '_CHUNK_BYTES', chunk)
  np.save(tmp_path / 'a.npy', images())
  mapped = np.load(tmp_path / 'a.npy', mmap_mode='r')
  apart = np.repeat(images(), 2, axis=0)[::2]  # not contiguous
  backwards = np.ascontiguousarray(images()[::-1])[::-1]
  for array in (images(), mapped, apart, backwards):
    assert digests.of_array(array) == expected


def test_another_content_has_another_digest():
  flipped = images()
  flipped[6, 3, 4, 2] ^= 1
  others = [
    images(),
    flipped,
    images()[::-1],
    images()[:6],
    images().reshape(7, 5, 4, 3),
    images().view(np.int8),
    images()[:0],
  ]
  assert len({digests.of_array(array) for array in others}) == len(others)


def test_a_large_map_is_not_read_at_once(tmp_path, monkeypatch):
  read = []

  class Watched(np.ndarray):
    def __getitem__(self, rows):
      read.append(rows.stop - rows.start)
      return np.asarray(self)[rows]

  monkeypatch.setattr(digests, '_CHUNK_BYTES', 120)  # two rows of 60 bytes
  watched = images().view(Watched)
  assert digests.of_array(watched) == digests.of_array(images())
  assert read == [2, 2, 2, 2]


def make(**changes):
  attributes = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
  parts = {
    'images': images(shape=(3, 2, 2, 1)),
    'attributes': attributes,
    'labels': types.Classes(('a', 'b')),
  }
  return dataset.Dataset(**parts | changes)


def test_a_data_set_tells_labels_from_images():
  first = make()
  assert first.label_digest['names'] == ['a', 'b']
  assert first.label_digest['rows'] == [2, 1]
  swapped = make(attributes=make().attributes[[1, 0, 2]])
  assert swapped.image_digest == first.image_digest
  assert swapped.label_digest['rows'] == [2, 1]
  assert swapped.label_digest['digests'] != first.label_digest['digests']
  for labels in (types.Classes(('a', 'c')), types.Bits(('a', 'b'))):
    assert make(labels=labels).label_digest != first.label_digest
  other = make(images=images(1, (3, 2, 2, 1)))
  assert other.image_digest != first.image_digest
  assert other.label_digest == first.label_digest


def test_a_data_set_is_digested_once(monkeypatch):
  calls = []
  real = digests.of_array
  monkeypatch.setattr(
    digests, 'of_array', lambda array: calls.append(1) or real(array)
  )
  data = make()
  for _ in range(3):
    assert data.image_digest and data.label_digest
  assert len(calls) == 3  # the images, and two columns

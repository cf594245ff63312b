"""The second feature space, for images and for other samples."""

import numpy as np
import pytest
from sklearn import datasets

from lcjax.evaluation import features

DIGITS = datasets.load_digits()
IMAGES = DIGITS.images.astype(np.float32)  # [1797, 8, 8] in [0, 16]


@pytest.fixture(scope='module')
def space():
  return features.learn(IMAGES[:1000], 1000, False)


def test_the_data_are_read_for_their_shape_and_range_alone(space):
  others = np.random.default_rng(0).permutation(IMAGES[:1000].ravel())
  again = features.learn(others.reshape(-1, 8, 8), 1000, False)
  found = space.features_fn(IMAGES)
  np.testing.assert_array_equal(again.features_fn(IMAGES), found)
  assert found.shape == (1797, 32)
  assert space.seconds > 0
  words = features.describe(IMAGES)
  assert '32 codes' in words and '8 x 8 x 1' in words


def test_digits_of_a_class_are_near_each_other(space):
  """The nearest neighbour among 1,000 has the same class; chance is .1."""
  learned, asked = (
    space.features_fn(part) for part in (IMAGES[:1000], IMAGES[1000:])
  )
  nearest = np.square(asked[:, None] - learned).sum(axis=-1).argmin(axis=1)
  agrees = DIGITS.target[:1000][nearest] == DIGITS.target[1000:]
  assert agrees.mean() > 0.9


def test_strokes_are_seen_better_than_the_same_pixels_in_disorder(space):
  """Photographs are smooth: before training, both vary alike (1.02)."""
  order = np.random.default_rng(3).permutation(64)
  disorder = IMAGES.reshape(-1, 64)[:, order].reshape(-1, 8, 8)
  strokes, others = (
    space.features_fn(x).var(axis=0).sum() for x in (IMAGES, disorder)
  )
  assert strokes > 1.2 * others


def test_bytes_and_floats_of_any_range_are_seen_alike(space):
  shifted = features.learn(IMAGES[:1000] / 8 - 1, 1000, False)
  expected = space.features_fn(IMAGES[:50])
  np.testing.assert_allclose(
    shifted.features_fn(IMAGES[:50] / 8 - 1), expected, atol=1e-4
  )
  as_bytes = np.round(IMAGES * 255 / 16).astype(np.uint8)[..., None]
  # A split without black or white has the scale of bytes all the same.
  dim = features.learn(as_bytes[:1000] // 2, 1000, False)
  np.testing.assert_allclose(
    dim.features_fn(as_bytes[:50]), expected, atol=0.02
  )


def test_other_samples_have_principal_components():
  rng = np.random.default_rng(1)
  for shape in ((4,), (3, 3, 2)):
    x = rng.normal(size=(50, *shape)).astype(np.float32)
    space = features.learn(x, 1000, False)
    assert 'principal components' in features.describe(x)
    found = space.features_fn(x)
    pairs = ((part[:1] - part[1:]).reshape(49, -1) for part in (x, found))
    before, after = (np.linalg.norm(pair, axis=1) for pair in pairs)
    assert np.corrcoef(before, after)[0, 1] > 0.95


def test_large_images_are_means_of_blocks():
  x = np.arange(2 * 5 * 8 * 3).reshape(2, 5, 8, 3)
  found = features.shrunk(x, 3)
  assert found.shape == (2, 2, 2, 3)
  np.testing.assert_allclose(found[1, 1, 0], x[1, 2:4, :3].mean(axis=(0, 1)))
  np.testing.assert_array_equal(features.shrunk(x[..., 0], 8), x[..., :1])


def test_colour_images_of_any_size_have_features():
  x = np.random.default_rng(2).integers(0, 256, (3, 66, 70, 3), np.uint8)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(features, '_TRAIN_BATCH', 2)
    space = features.learn(x, 1, False)
  assert space.features_fn(x).shape == (3, 64)
  assert '22 x 23 x 3' in features.describe(x)

"""Sets in TFDS's form, written and read without TensorFlow."""

import io
import sys
from typing import Any
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from lcjax import errors, types
from lcjax.data import celeba, dataset, pictures
from tests.data import fake_celeba, test_idx

tfds = pytest.importorskip(
  'tensorflow_datasets', reason='tensorflow-datasets is not installed'
)
pytest.importorskip('array_record', reason='array_record is not installed')


def prepare(folder, name, version, features, splits):
  """Writes a set under a stock name: `splits` is {name: [example]}."""

  base: Any = tfds.core.GeneratorBasedBuilder

  class Fake(base, skip_registration=True):
    VERSION = tfds.core.Version(version)

    def _info(self):
      return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
      del dl_manager
      return {
        split: list(enumerate(examples)) for split, examples in splits.items()
      }

    def _generate_examples(self):  # abstract in TFDS; splits stand above
      raise NotImplementedError

  Fake.name = name
  builder = Fake(data_dir=str(folder), file_format='array_record')
  builder.download_and_prepare()
  return builder.data_path


def png(array):
  file = io.BytesIO()
  Image.fromarray(array).save(file, 'PNG')
  file.seek(0)
  return file


def prepare_mnist(folder, sets):
  features = tfds.features.FeaturesDict(
    {
      'image': tfds.features.Image(shape=(28, 28, 1)),
      'label': tfds.features.ClassLabel(num_classes=10),
    }
  )
  splits = {
    split: [
      {'image': png(image), 'label': int(label)}
      for image, label in zip(images, labels, strict=True)
    ]
    for split, (images, labels) in sets.items()
  }
  return prepare(folder, 'mnist', '3.0.1', features, splits)


def prepare_celeba(folder):
  features = tfds.features.FeaturesDict(
    {
      'image': tfds.features.Image(shape=(218, 178, 3), encoding_format='jpeg'),
      'attributes': {name: np.bool_ for name in fake_celeba.HEADER},
    }
  )
  splits = {
    split: [
      {
        'image': io.BytesIO(fake_celeba.jpeg(row)),
        'attributes': dict(
          zip(fake_celeba.HEADER, map(bool, fake_celeba.bits(row)), strict=True)
        ),
      }
      for row, number in enumerate(fake_celeba.SPLITS)
      if dataset.SPLITS[number] == split
    ]
    for split in dataset.SPLITS
  }
  return prepare(folder, 'celeb_a', '2.1.0', features, splits)


def test_mnist_is_what_the_raw_files_give(tmp_path):
  rng = np.random.default_rng(0)
  sets = {
    split: (
      rng.integers(0, 256, (count, 28, 28), np.uint8),
      rng.integers(0, 10, count).astype(np.uint8),
    )
    for split, count in (('train', 48), ('test', 9))
  }
  test_idx.write(tmp_path, *sets['train'])
  test_idx.write(tmp_path, *sets['test'], official='t10k')
  prepare_mnist(tmp_path / 'prepared', sets)
  for cache_dir in ('', str(tmp_path / 'cache'), str(tmp_path / 'cache')):
    for split, size in (('train', 44), ('validation', 4), ('test', 9)):
      raw = dataset.load('mnist', split, dir=str(tmp_path))
      found = dataset.load(
        'tfds:mnist',
        split,
        dir=str(tmp_path / 'prepared'),
        cache_dir=cache_dir,
      )
      assert len(found) == size
      assert found.labels == raw.labels
      np.testing.assert_array_equal(found.images, raw.images)
      np.testing.assert_array_equal(found.attributes, raw.attributes)
  assert 'tensorflow' not in sys.modules


def test_celeb_a_is_what_the_raw_files_give_in_another_order(tmp_path):
  fake_celeba.write(tmp_path)
  prepare_celeba(tmp_path / 'prepared')
  every: tuple[dict[str, Any], ...] = (
    {},
    {'cache_dir': str(tmp_path / 'cache')},
    {'crop_size': 100, 'image_size': 20},
    {'attributes': ('Male', 'Attractive')},
  )
  for options in every:
    for split in dataset.SPLITS:
      raw = dataset.load('celeba', split, dir=str(tmp_path), **options)
      found = dataset.load(
        'tfds:celeb_a', split, dir=str(tmp_path / 'prepared'), **options
      )
      assert found.attribute_names == raw.attribute_names
      assert isinstance(found.labels, types.Bits)
      orders = [d.images[:, 9, 9, 0].argsort() for d in (raw, found)]
      np.testing.assert_array_equal(
        raw.images[orders[0]], found.images[orders[1]]
      )
      np.testing.assert_array_equal(
        raw.attributes[orders[0]], found.attributes[orders[1]]
      )


def test_celeb_a_is_decoded_once(tmp_path):
  prepare_celeba(tmp_path)
  options: dict[str, Any] = {
    'dir': str(tmp_path),
    'cache_dir': str(tmp_path / 'cache'),
  }
  first = dataset.load('tfds:celeb_a', 'train', **options)
  assert first.attribute_names == celeba.DEFAULT_ATTRIBUTES
  assert isinstance(first.images, np.memmap)
  with mock.patch.object(pictures, 'fit', side_effect=AssertionError):
    other = dataset.load(
      'tfds:celeb_a', 'test', attributes=('Bangs',), **options
    )
  assert other.images.shape == (2, 64, 64, 3)
  with pytest.raises(errors.UserError, match=r"'Bangz'.*did you mean Bangs"):
    dataset.load('tfds:celeb_a', 'test', attributes=('Bangz',), **options)


def test_what_is_not_there_is_one_line(tmp_path):
  with pytest.raises(
    errors.UserError, match=r'run python -m launch\.prepare_data --name=mnist'
  ):
    dataset.load('tfds:mnist', 'train', dir=str(tmp_path / 'none'))
  images = np.zeros((3, 28, 28), np.uint8)
  path = prepare_mnist(tmp_path, {'train': (images, np.zeros(3, int))})
  with pytest.raises(errors.UserError, match=r"has no split 'test'"):
    dataset.load('tfds:mnist', 'test', dir=str(tmp_path))
  (record,) = (str(file) for file in path.glob('*.array_record*'))
  with open(record, 'r+b') as file:
    file.truncate(1000)
  for damage in ('cut', 'gone'):
    if damage == 'gone':
      next(path.glob('*.array_record*')).unlink()
    with pytest.raises(errors.UserError, match=r'3\.0\.1') as caught:
      dataset.load('tfds:mnist', 'train', dir=str(tmp_path))
    assert 'cannot be read' in str(caught.value) or 'damaged' in str(
      caught.value
    )


@pytest.mark.parametrize('name', ['tensorflow_datasets', 'array_record'])
def test_what_is_not_installed_is_one_line(name):
  with (
    mock.patch.dict(sys.modules, {name: None}),
    pytest.raises(errors.UserError, match=r"pip install -e '\.\[tfds\]'"),
  ):
    dataset.load('tfds:mnist', 'train')

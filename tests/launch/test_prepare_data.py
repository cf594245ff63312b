"""The launcher that prepares TFDS sets: from raw files to what `load` reads."""

import importlib.util
import pathlib
import sys
from unittest import mock

import numpy as np
import pytest

from launch import prepare_data, startup
from lcjax import errors
from lcjax.data import dataset
from tests.data import shared
from tests.launch import launchers

ROOT = pathlib.Path(__file__).parents[2]
needs_tensorflow = pytest.mark.skipif(
  importlib.util.find_spec('tensorflow') is None,
  reason="TensorFlow is not installed: pip install -e '.[prepare]'",
)


def run(*arguments):
  return launchers.run('launch.prepare_data', *map(str, arguments))


def test_wrong_flags_are_one_line(tmp_path):
  for arguments, message in (
    (['--name=mnst', f'--data_dir={tmp_path}'], '--name=mnst is not one of'),
    (['--name=mnist'], '--data_dir is missing'),
    (
      ['--name=mnist', '--data_dir=x', f'--manual_dir={tmp_path}/none'],
      'none is not a folder',
    ),
  ):
    done = run(*arguments)
    assert done.returncode == startup.USER_ERROR
    assert done.stderr.count('\n') == 1 and message in done.stderr
  assert not list(tmp_path.iterdir())


def test_without_tensorflow_there_is_a_remedy():
  with (
    mock.patch.dict(sys.modules, {'tensorflow': None}),
    pytest.raises(errors.UserError, match=r"pip install -e '\.\[prepare\]'"),
  ):
    prepare_data.prepare('mnist', 'anywhere', None)


@pytest.mark.slow
@needs_tensorflow
@shared.needs('mnist')
def test_mnist_from_its_files_is_what_the_raw_reader_gives(tmp_path):
  raw_dir = shared.SHARED / 'mnist'
  done = run(
    '--name=mnist', f'--data_dir={tmp_path}', f'--manual_dir={raw_dir}'
  )
  assert done.returncode == 0, done.stderr
  assert f'--config.data.name=tfds:mnist --config.data.dir={tmp_path}' in (
    done.stdout
  )
  cache_dir = str(tmp_path / 'cache')
  for split in dataset.SPLITS:
    raw = dataset.load('mnist', split, dir=str(raw_dir))
    prepared = dataset.load(
      'tfds:mnist', split, dir=str(tmp_path), cache_dir=cache_dir
    )
    np.testing.assert_array_equal(prepared.images, raw.images)
    np.testing.assert_array_equal(prepared.attributes, raw.attributes)


@pytest.mark.slow
@needs_tensorflow
@shared.needs('mnist')
def test_a_damaged_raw_file_is_refused(tmp_path):
  manual = tmp_path / 'manual'
  manual.mkdir()
  for path in (shared.SHARED / 'mnist').iterdir():
    (manual / path.name).symlink_to(path)
  labels = manual / 't10k-labels-idx1-ubyte.gz'
  content = labels.read_bytes()
  labels.unlink()
  labels.write_bytes(content[:-1])
  done = run('--name=mnist', f'--data_dir={tmp_path}', f'--manual_dir={manual}')
  assert done.returncode == startup.USER_ERROR
  last = done.stderr.splitlines()[-1]
  assert last.startswith('lcjax: mnist cannot be prepared from')
  assert 't10k-labels-idx1-ubyte.gz' in last and 'checksum' in last

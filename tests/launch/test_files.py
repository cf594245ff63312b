"""Files appear whole or not at all, and process 0 alone writes them."""

import jax
import numpy as np
import pytest
from etils import epath

from lcjax.experiment import files


def test_round_trips(tmp_path):
  files.write_json(tmp_path / 'new' / 'a.json', {'x': float('nan')})
  assert files.read_json(tmp_path / 'new' / 'a.json') == {'x': None}
  files.write_npz(tmp_path / 'a.npz', x=np.arange(3), key=np.array('k'))
  arrays = files.read_npz(tmp_path / 'a.npz')
  np.testing.assert_array_equal(arrays['x'], [0, 1, 2])
  assert str(arrays['key']) == 'k'


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
  path = tmp_path / 'report.txt'
  files.write(path, 'old')

  def fail(self, content):
    raise OSError('disk full')

  monkeypatch.setattr(type(epath.Path(path)), 'write_bytes', fail)
  with pytest.raises(OSError, match='disk full'):
    files.write(path, 'new')
  assert path.read_text() == 'old'
  assert list(tmp_path.iterdir()) == [path]


def test_other_processes_write_nothing(tmp_path, monkeypatch):
  monkeypatch.setattr(jax, 'process_index', lambda: 1)
  files.write(tmp_path / 'a', 'text')
  assert not list(tmp_path.iterdir())

"""Objects of a user's own files."""

import sys

import pytest

from lcjax import errors
from lcjax.experiment import plugins


@pytest.fixture
def folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, 'path', sys.path.copy())
  known = set(sys.modules)
  yield tmp_path
  for name in set(sys.modules) - known:
    del sys.modules[name]


def test_a_file_in_the_current_directory_is_found(folder):
  (folder / 'own_file.py').write_text('NAME = 3\n')
  (folder / 'own_package').mkdir()
  (folder / 'own_package' / 'inside.py').write_text('NAME = 4\n')
  before = list(sys.path)
  assert plugins.load('own_file:NAME', 'config.a') == 3
  assert plugins.load('own_package.inside:NAME', 'config.a') == 4
  assert sys.path == before


def test_an_installed_module_goes_before_a_file_of_its_name(folder):
  (folder / 'sched.py').write_text('NAME = 3\n')
  with pytest.raises(errors.UserError, match='sched has no NAME'):
    plugins.load('sched:NAME', 'config.a')


@pytest.mark.parametrize(
  'text, meaning',
  [
    ('own_file:NAMES', 'own_file has no NAMES: did you mean NAME?'),
    ('no_such_file:NAME', 'there is no module no_such_file: it must be '),
    ('own_file.inside:NAME', 'there is no module own_file.inside: it must be '),
    ('own_file', "must be 'module:NAME', such as 'my_file:NAME'"),
    ('own_file:', "must be 'module:NAME'"),
    ('dir/own_file:NAME', "must be 'module:NAME'"),
    ('.own_file:NAME', "must be 'module:NAME'"),
  ],
)
def test_what_is_missing_is_named_in_one_line(folder, text, meaning):
  (folder / 'own_file.py').write_text('NAME = 3\n')
  with pytest.raises(errors.UserError) as raised:
    plugins.load(text, 'config.a')
  message = str(raised.value)
  assert message.startswith(f'config.a={text!r}')
  assert meaning in message and '\n' not in message


def test_an_error_inside_the_file_keeps_its_traceback(folder):
  (folder / 'own_file.py').write_text('import no_such_module\n')
  with pytest.raises(ModuleNotFoundError, match='no_such_module'):
    plugins.load('own_file:NAME', 'config.a')

"""Config files and overrides: what is wrong with one is one line."""

import pytest

from configs import base, digits
from launch import config_files
from lcjax import errors, keys

DIGITS = '--config=configs/digits.py'
HEAD = 'from configs import base\n'


def write(tmp_path, text, name='own.py'):
  path = tmp_path / name
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return path


@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('x = (\n', "fails in line 1: SyntaxError: '.' was never closed"),
    (b'\x89PNG\0', 'fails: SyntaxError'),
    ('x = 1\n', 'has no function get_config'),
    ('get_config = 1\n', 'has no function get_config'),
    ('\nimport nothing_such\n', 'fails in line 2: ModuleNotFoundError'),
    ('import sys\nsys.exit(3)\n', 'fails in line 2: SystemExit: 3'),
    (
      'import json\n\ndef get_config():\n  return json.loads("")\n',
      'fails in line 4: JSONDecodeError',
    ),
    ('def get_config(a):\n  pass\n', 'fails: TypeError'),
    ('def get_config():\n  pass\n', r'get_config\(\) returns NoneType'),
    ('def get_config():\n  return {}\n', r'get_config\(\) returns dict'),
    (
      'import ml_collections\nget_config = ml_collections.ConfigDict\n',
      r'config\.\w+\.activation is missing: a config file begins',
    ),
    (
      f'{HEAD}def get_config():\n  config = base.get_config()\n'
      '  config.vae.latent_sise = 3\n  return config\n',
      r'config.vae.latent_sise does not exist: did you mean vae.latent_size\?',
    ),
    (
      f'{HEAD}def get_config():\n  config = base.get_config()\n'
      '  config.edit.max_steps = 3\n  return config\n',
      'config.edit.max_steps is now config.edit.optimize.max_steps',
    ),
    (
      f'{HEAD}def get_config():\n  config = base.get_config()\n'
      '  config.vae = 3\n  return config\n',
      'fails in line 4: TypeError',
    ),
  ],
)
def test_a_file_that_gives_no_config(tmp_path, text, said):
  path = write(tmp_path, text)
  with pytest.raises(errors.UserError, match=said) as caught:
    config_files.read(str(path))
  assert str(caught.value).startswith(f'--config={path}')


def test_what_is_no_python_file(tmp_path):
  text = write(tmp_path, 'hello', 'notes.txt')
  for given, said in (
    (tmp_path, 'it is a folder'),
    (tmp_path / 'none.py', 'there is no such file'),
    ('', 'there is no such file'),
    ('~nobody-here/own.py', 'there is no such user'),
    (text, 'is not a Python file'),
  ):
    with pytest.raises(errors.UserError, match=said):
      config_files.read(str(given))


def test_an_ablation_that_is_not_there_is_said_with_its_file():
  given = 'configs/digits.py:no_distanse'
  with pytest.raises(errors.UserError, match=f'{given}: .* no_distance'):
    config_files.read(given)


@pytest.mark.parametrize(
  ('argument', 'said'),
  [
    ('--config.vae=3', 'config.vae is a section and takes no value'),
    ('--config.vae.optimizer=3', 'vae.optimizer is a section'),
    ('--config.vae.latent_sise=3', 'did you mean vae.latent_size'),
    ('--config.vae.latent_size.x=3', 'latent_size.x does not exist'),
    ('--noconfig.classifier.flib', 'did you mean classifier.flip'),
    ('--config.vae.arguments={}', 'config.vae.arguments does not exist'),
    (
      '--config.vae.optimizer.arguments.eps=1',
      r'as in config.vae.optimizer.arguments={"eps": VALUE}',
    ),
    (
      '--config.latent_critics.inner_steps=3',
      'inner_steps is now config.latent_critics.inner.max_steps',
    ),
    (
      '--config.edit.optimizer.learning_rate=3',
      'is now config.edit.optimize.optimizer.learning_rate',
    ),
  ],
)
def test_a_flag_of_no_key(argument, said):
  with pytest.raises(errors.UserError, match=said):
    config_files.check([DIGITS, argument])


def test_flags_of_keys_pass():
  config_files.check(
    [
      DIGITS,
      '--workdir=w',
      '--config.seed=3',
      '--noconfig.classifier.flip',
      '--config.vae.optimizer.arguments={"eps": 1e-6}',
      '--config=configs/celeba.py',  # the last one holds
    ]
  )


def test_the_file_comes_first_and_is_named():
  with pytest.raises(errors.UserError, match=r'config.seed=3 comes before'):
    config_files.check(['--config.seed=3', DIGITS])
  with pytest.raises(errors.UserError, match='--config names no file'):
    config_files.check(['--config', '--workdir=w'])


def test_every_moved_key_has_a_new_place():
  known = list(base.flatten(base.get_config()))
  for old, new in keys.RENAMED.items():
    assert any(f'{one}.'.startswith(f'{new}.') for one in known)
    with pytest.raises(errors.UserError, match=f'{old} is now config.{new}$'):
      base.check_key(old, known)


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({'vae': 3}, "ablation 'a': config.vae is a section"),
    ({'vae.latent_size.x': 3}, "ablation 'a': config.vae.latent_size.x does"),
    ({'vae.latent_size': 'b'}, "config.vae.latent_size='b' has the wrong type"),
    ({'latent_critics.inner_steps': 3}, 'is now config.latent_critics.inner.'),
    ({'vae.sigma': 0.1}, r'did you mean vae.sigma_x\?'),
  ],
)
def test_an_ablation_of_no_key(changes, said):
  with pytest.raises(errors.UserError, match=said):
    base.ablate(digits.get_config(), {'a': changes}, 'a')


def test_an_ablation_gives_an_optimiser_further_arguments():
  changes = {'vae.optimizer.arguments': {'eps': 1e-6}}
  config = base.ablate(base.get_config(), {'a': changes}, 'a')
  assert config.vae.optimizer.arguments.eps == 1e-6
  base.validate(config)


def test_an_override_without_a_config():
  with pytest.raises(errors.UserError, match='--config is missing'):
    config_files.check(['--workdir=w', '--config.vae.beta=1'])

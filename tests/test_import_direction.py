"""Layers import in one direction; few files use pmap, devices or matplotlib."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
OURS = ('lcjax', 'launch', 'configs')

# Modules that every layer may import.
SHARED = {'lcjax.errors', 'lcjax.keys', 'lcjax.types'}

# What each package may import, besides itself and `SHARED`.
ALLOWED = {
  'lcjax': {  # the public functions
    'lcjax.constraints',
    'lcjax.evaluation',
    'lcjax.generators',
    'lcjax.movers',
    'lcjax.training',
  },
  'lcjax.errors': set(),
  'lcjax.keys': set(),
  'lcjax.types': set(),
  'lcjax.data': set(),
  'lcjax.models': set(),
  'lcjax.losses': set(),
  'lcjax.evaluation': {
    'lcjax.data',
    'lcjax.losses',
    'lcjax.models',
    'lcjax.latent',
    'lcjax.training',
    'lcjax.generators',
    'lcjax.constraints',
    'lcjax.movers',
  },
  'lcjax.latent': {'lcjax.losses'},
  'lcjax.generators': {
    'lcjax.data',
    'lcjax.models',
    'lcjax.latent',
    'lcjax.training',
  },
  'lcjax.constraints': {
    'lcjax.data',
    'lcjax.models',
    'lcjax.losses',
    'lcjax.latent',
    'lcjax.training',
    'lcjax.generators',
  },
  'lcjax.movers': {
    'lcjax.losses',
    'lcjax.models',
    'lcjax.latent',
    'lcjax.training',
    'lcjax.generators',
    'lcjax.constraints',
  },
  'lcjax.training': {'lcjax.latent', 'lcjax.losses'},
  'lcjax.experiment': {
    'lcjax.data',
    'lcjax.models',
    'lcjax.losses',
    'lcjax.evaluation',
    'lcjax.generators',
    'lcjax.constraints',
    'lcjax.movers',
    'lcjax.latent',
    'lcjax.training',
  },
  'configs': set(),
  'launch': {
    'configs',
    'lcjax.data',
    'lcjax.models',
    'lcjax.losses',
    'lcjax.evaluation',
    'lcjax.constraints',
    'lcjax.latent',
    'lcjax.training',
    'lcjax.experiment',
  },
}
PLOTS = (
  'lcjax/evaluation/plots.py',
  'lcjax/evaluation/paper_figures.py',
  'lcjax/evaluation/frontiers.py',
  'lcjax/evaluation/heat_maps.py',
  'lcjax/evaluation/watch_plots.py',
)
PARALLEL = 'lcjax/training/parallel.py'


def group_of(module):
  """The package that rules refer to: `lcjax.data` for `lcjax.data.digits`."""
  parts = module.split('.')
  return '.'.join(parts[: 2 if parts[0] == 'lcjax' else 1])


def imported(path, tree):
  """Full names of a file's imports, at its top or inside functions."""
  package = path.removesuffix('.py').split('/')[:-1]
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      # One dot means the file's package, two dots its parent.
      base = package[: len(package) - node.level + 1] if node.level else []
      base = base + (node.module.split('.') if node.module else [])
      yield from ('.'.join([*base, alias.name]) for alias in node.names)


def violations(path, source):
  """The rules that a file violates, given its path in the repository."""
  tree = ast.parse(source)
  importer = group_of(path.removesuffix('.py').replace('/', '.'))
  importer = importer.removesuffix('.__init__')
  allowed = ALLOWED[importer] | {importer} | SHARED
  found = []
  for name in imported(path, tree):
    top = name.split('.')[0]
    if top in OURS and group_of(name) not in allowed:
      found.append(f'{path} imports {name}')
    if top == 'matplotlib' and path not in PLOTS:
      found.append(f'{path} imports {name}')
  if path.startswith('lcjax/') and path != PARALLEL:
    found += [
      f'{path} names {word}'
      for word in ('jax.pmap', 'jax.devices(')
      if word in source
    ]
  return found


def test_all_files_follow_the_rules():
  paths = [path for top in OURS for path in (ROOT / top).rglob('*.py')]
  assert len(paths) > 30
  found = []
  for path in paths:
    name = path.relative_to(ROOT).as_posix()
    found += violations(name, path.read_text(encoding='utf-8'))
  assert not found, '\n'.join(found)


@pytest.mark.parametrize(
  'path, source',
  [
    ('lcjax/data/a.py', 'from lcjax.losses import elbo'),
    ('lcjax/losses/a.py', 'import lcjax.models.vae'),
    ('lcjax/losses/a.py', 'from lcjax import latent, errors'),
    ('lcjax/models/a.py', 'from ..losses import elbo'),
    ('lcjax/models/a.py', 'from .. import training'),
    ('lcjax/latent/a.py', 'def f():\n  from lcjax.training import steps'),
    ('lcjax/movers/a.py', 'from lcjax.evaluation import metrics'),
    ('lcjax/training/a.py', 'from lcjax.evaluation import metrics'),
    ('lcjax/training/a.py', 'from lcjax.models import vae'),
    ('lcjax/training/a.py', 'import launch.startup as s'),
    ('lcjax/training/a.py', 'from configs import base'),
    ('lcjax/training/a.py', 'from lcjax.experiment import build'),
    ('lcjax/evaluation/a.py', 'from lcjax.experiment import rows'),
    ('lcjax/experiment/a.py', 'from launch import startup'),
    ('lcjax/experiment/a.py', 'from configs import base'),
    ('lcjax/errors.py', 'from lcjax.data import dataset'),
    ('lcjax/__init__.py', 'from lcjax.data import dataset'),
    ('configs/a.py', 'from launch import stage'),
    ('configs/a.py', 'from lcjax.data import dataset'),
    ('lcjax/evaluation/a.py', 'import matplotlib.pyplot as plt'),
    ('launch/a.py', 'from matplotlib import figure'),
    ('lcjax/training/a.py', 'import jax\njax.pmap(f)'),
    ('lcjax/latent/a.py', 'import jax\nn = len(jax.devices())'),
  ],
)
def test_the_checker_finds(path, source):
  assert len(violations(path, source)) == 1


@pytest.mark.parametrize(
  'path, source',
  [
    ('lcjax/data/a.py', 'from lcjax import errors\nfrom lcjax.data import b'),
    ('lcjax/data/a.py', 'from . import b\nfrom .b import c'),
    ('lcjax/latent/a.py', 'from lcjax.losses import elbo\nimport jax'),
    ('lcjax/training/a.py', 'from lcjax.latent import noise'),
    ('configs/a.py', 'from configs import base\nfrom lcjax import errors'),
    ('launch/a.py', 'from configs import base\nfrom lcjax.models import vae'),
    ('launch/a.py', 'from lcjax.experiment import build'),
    ('lcjax/experiment/a.py', 'from lcjax.evaluation import metrics'),
    (PLOTS[0], 'import matplotlib'),
    (PLOTS[1], 'from lcjax.evaluation import plots\nimport matplotlib'),
    (PARALLEL, 'import jax\njax.pmap(f, devices=jax.devices())'),
    ('launch/a.py', 'import jax\njax.devices()'),
  ],
)
def test_the_checker_accepts(path, source):
  assert not violations(path, source)

"""A mover, a start, a constraint and a divergence from a file of one's own.

They run through the real launchers without a changed line of the package.
"""

import json
import sys

import numpy as np
import pytest

from configs import base
from lcjax import errors
from lcjax.experiment import named_movers
from tests.launch import launchers
from tests.launch.test_pipeline import TINY

MINE = '''
import flax
import jax
import jax.numpy as jnp
import numpy as np

import lcjax
from lcjax.losses import divergences


@flax.struct.dataclass
class Small(lcjax.Constraint):
  """The norm of a latent is at most a radius."""

  radius: float

  def __call__(self, z, target):
    excess = jnp.sqrt(jnp.sum(z**2) + 1e-6) - self.radius
    return lcjax.Verdict(jnp.maximum(excess, 0.0), excess <= 0)

  def negated(self):
    raise lcjax.UserError('no opposite')

  def names(self):
    return ('small',)

  def targets(self):
    return ()

  def check(self, samples, target):
    assert samples.dtype == np.float32 and samples.max() <= 1.0
    return samples.mean(axis=(1, 2, 3)) < 0.3


def small(parts, radius):
  return Small(radius)


def shrink(parts, factor):
  def mover(start, target, rows=None, key=None):
    return lcjax.Moved(np.float32(factor) * start, start)

  return mover


def origin(parts):
  return lambda target, rows, key: np.zeros(
    (len(rows), parts.model.latent_size), np.float32
  )


def half(v):
  return 0.5 * v


def twice_log(ratio):
  return 2.0 * jnp.log(ratio)


def real_loss(v):
  return jax.nn.softplus(-0.5 * v)


def fake_loss(v):
  return jax.nn.softplus(0.5 * v)


# GAN's, of outputs that are twice as large.
DOUBLED = divergences.Divergence(
  'doubled', real_loss, fake_loss, half, twice_log
)
'''
CONFIG = """
from configs import digits


def get_config():
  config = digits.get_config()
  config.movers.shrunk = {'kind': 'mine:shrink', 'factor': 0.5}
  config.movers.centered = {
    'kind': 'mine:shrink', 'factor': 1.0, 'start': 'mine:origin',
    'description': 'The origin: nothing.',
  }
  config.movers.short = {'kind': 'backtrack', 'of': 'actor'}
  config.movers.walk = {
    'kind': 'optimizer', 'start': 'near', 'max_steps': 2,
  }
  config.starts.near = {'kind': 'class_mixture', 'start_time': 0.2}
  config.movers.both = {'kind': 'then', 'first': 'actor', 'second': 'walk'}
  config.movers.tried = {'kind': 'retry', 'of': 'actor', 'tries': 2}
  config.constraints.small = {
    'kind': 'mine:small', 'radius': 1.0, 'weight': 1000.0,
  }
  config.want = 'all(realism, attributes, 2*small)'
  config.latent_critics.divergence = 'mine:DOUBLED'
  return config
"""


def launch(launcher, folder, *arguments):
  return launchers.run(
    f'launch.{launcher}',
    '--config=config.py',
    f'--workdir={folder}/run',
    *TINY,
    *arguments,
    folder=folder,
  )


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A folder with the two files, and the run that follows from them."""
  folder = tmp_path_factory.mktemp('extension')
  (folder / 'mine.py').write_text(MINE)
  (folder / 'config.py').write_text(CONFIG)
  found = launch('pipeline', folder)
  assert found.returncode == 0, found.stderr
  return folder


def test_every_addition_has_its_row(run):
  report = json.loads((run / 'run/compare/metrics.json').read_text())
  names = ['both', 'centered', 'short', 'shrunk', 'tried', 'walk']
  assert list(report['rows'])[-6:] == names
  html = (run / 'run/compare/report.html').read_text()
  assert 'The origin: nothing.' in html
  rows = {
    name: np.load(run / f'run/generate/{start}_{name}.npz')
    for start, name in (
      ('prior', 'shrunk'),
      ('own', 'centered'),
      ('prior', 'short'),
      ('prior', 'actor'),
      ('prior', 'tried'),
    )
  }
  np.testing.assert_array_equal(
    rows['shrunk']['latents'], np.float32(0.5) * rows['shrunk']['starts']
  )
  assert not rows['centered']['latents'].any()
  # On the line from the start to where the actor ends.
  moved = rows['actor']['latents'] - rows['actor']['starts']
  short = rows['short']['latents'] - rows['short']['starts']
  share = np.sum(short * moved, axis=1) / np.sum(moved * moved, axis=1)
  np.testing.assert_allclose(short, share[:, None] * moved, atol=1e-4)
  assert ((share >= -1e-6) & (share <= 1 + 1e-6)).all()
  assert report['rows']['walk']['steps_mean']['mean'] == 2


def test_the_constraint_is_obeyed(run):
  """The prior of 16 latents has a norm of four; three steps go some way."""
  found = np.load(run / 'run/generate/prior_optimizer.npz')
  before = np.linalg.norm(found['starts'], axis=1)
  after = np.linalg.norm(found['latents'], axis=1)
  assert (after < before - 0.3).mean() > 0.9


def test_terms_are_judged_by_the_judge_and_by_the_check_of_samples(run):
  report = json.loads((run / 'run/compare/metrics.json').read_text())
  for row in ('prior', 'optimizer', 'real', 'real_satisfying'):
    found = np.load(run / f'run/compare/samples/{row}.npz')
    scores = report['rows'][row]
    small = (found['images'] / 255.0).mean(axis=(1, 2, 3)) < 0.3
    assert scores['met_small']['mean'] == pytest.approx(small.mean())
    assert scores['met_attributes']['mean'] == scores['accuracy']['mean']
    assert scores['met_jointly']['mean'] <= scores['met_small']['mean']
    assert ('frechet_satisfying' in scores) == (not row.startswith('real'))
  assert report['rows']['real_satisfying']['met_small']['mean'] == 1.0
  (note,) = [one for one in report['notes'] if one.startswith('Terms')]
  assert 'attributes by the judge; small by its own check' in note
  header = (run / 'run/compare/report.md').read_text().splitlines()[0]
  assert '| attributes met | small met | jointly met |' in header


def test_another_composition_needs_no_training_but_another_table(run):
  def generate(want):
    found = launch(
      'generate', run, '--mover=optimizer', '--start=prior', '--name=want',
      f'--config.want={want}',
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    with np.load(run / 'run/generate/want.npz') as arrays:
      return np.linalg.norm(arrays['latents'], axis=1).mean()

  before = np.load(run / 'run/generate/prior_optimizer.npz')
  assert generate('all(realism, attributes, 2*small)') == pytest.approx(
    np.linalg.norm(before['latents'], axis=1).mean(), abs=1e-4
  )
  assert generate('all(realism, attributes)') > generate('small') + 0.2
  refused = launch('compare', run, '--config.want=')
  assert refused.returncode == 2
  assert "made with config.want='all(realism, attributes, 2*small)', now" in (
    refused.stderr
  )
  mistaken = launch('generate', run, '--config.want=all(realism, smal)')
  assert mistaken.returncode == 2
  assert 'character 14' in mistaken.stderr
  assert 'did you mean small?' in mistaken.stderr
  assert mistaken.stderr.count('\n') == 1


def test_a_change_of_the_file_makes_the_table_again(run):
  again = launch('compare', run)
  assert 'was judged before' in again.stdout
  source = run / 'mine.py'
  source.write_text(source.read_text() + '\n\nMORE = 1\n')
  refused = launch('compare', run)  # the critics' divergence stands there, too
  assert refused.returncode == 2
  assert 'latent_critics was trained with another mine.py' in refused.stderr
  assert refused.stderr.count('\n') == 1
  again = launch('train_actor_critic', run, '--overwrite')
  assert again.returncode == 0, again.stderr
  again = launch('compare', run)
  assert again.returncode == 0, again.stderr
  assert 'judging seed 0' in again.stdout


@pytest.mark.parametrize(
  'changes, text',
  [
    ({'movers.a': {'kind': 'mine:nothing'}}, 'mine has no nothing'),
    ({'constraints.a': {'kind': 'mine:Small'}}, "kind='mine:Small' is a class"),
    ({'movers.a': {'kind': 'backtrak'}}, "movers.a.kind='backtrak'"),
    ({'movers.a': {'kind': 'backtrack', 'of': 'actr'}}, 'did you mean actor'),
    ({'movers.a': {'kind': 'backtrack', 'off': 'actor'}}, 'off'),
    ({'movers.actor': {'kind': 'then'}}, 'always there'),
    ({'movers.actor_kept': {'kind': 'then'}}, 'always there'),
    ({'movers.class_mixture_kept': {'kind': 'then'}}, 'always there'),
    (
      {
        'movers.a': {'kind': 'retry', 'of': 'b'},
        'movers.b': {'kind': 'backtrack', 'of': 'a'},
      },
      'made of itself',
    ),
    ({'movers.a': {'of': 'actor'}}, "no 'kind'"),
    ({'movers.a': {'kind': 'optimizer', 'max_step': 2}}, "no key 'max_step'"),
    ({'movers.a': {'kind': 'optimizer', 'max_steps': 'b'}}, "max_steps='b'"),
    ({'movers.a': {'kind': 'retry', 'of': 'actor', 'tries': 0}}, 'tries=0'),
    (
      {'movers.a': {'kind': 'same', 'of': 'actor', 'start': 'mixtur'}},
      "movers.a.start='mixtur'",
    ),
    ({'starts.a': {'kind': 'mixtur'}}, "starts.a.kind='mixtur'"),
    ({'starts.prior': {'kind': 'mixture'}}, 'always there'),
    (
      {'starts.a': {'kind': 'mixture', 'start_time': 1.5}},
      'start_time=1.5',
    ),
    (
      {'movers.a': {'kind': 'guided_denoiser', 'mixture_above': 0.5}},
      'needs the class mixture',
    ),
    ({'constraints.a': {'kind': 'small'}}, "constraints.a.kind='small'"),
    (
      {'constraints.a': {'kind': 'mine:small', 'radius': 1, 'weight': -1}},
      'weight=-1',
    ),
    (
      {'want': 'all(realism, atributes)'},
      "config.want='all(realism, atributes)', character 14: 'atributes' is not "
      'a constraint: did you mean attributes?',
    ),
    ({'want': 'all(realism'}, 'at its end: , or ) must follow'),
    ({'want': 'all(realism, not(near))'}, "'near' is met by every latent"),
    (
      {
        'want': 'all(near, realism)',
        'constraints.near': {'kind': 'mine:small', 'radius': 1},
      },
      'always there',
    ),
    (
      {
        'want': 'realism',
        'constraints.not': {'kind': 'mine:small', 'radius': 1},
      },
      "config.constraints.not with config.want='realism': 'not' cannot be",
    ),
    (
      {'want': 'not(attributes)', 'denoise.mixture_above': 0.5},
      'set config.denoise.mixture_above=0.5 to 1',
    ),
  ],
)
def test_a_mistake_is_one_line_before_any_training(
  tmp_path, monkeypatch, changes, text
):
  (tmp_path / 'mine.py').write_text(MINE)
  monkeypatch.syspath_prepend(str(tmp_path))
  monkeypatch.delitem(sys.modules, 'mine', raising=False)
  with pytest.raises(errors.UserError) as caught:
    config = base.ablate(base.get_config(), {'x': changes}, 'x')
    base.validate(config)
    named_movers.check(config)
  assert text in str(caught.value)
  assert '\n' not in str(caught.value)

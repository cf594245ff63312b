"""lcjax from Python: its documentation, whole; compilation; what it refuses."""

import dataclasses
import logging
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import linear_model

import lcjax
from configs import base
from lcjax import errors
from lcjax.losses import divergences
from lcjax.movers import optimizer as optimizer_lib

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / 'docs' / 'library.md'
README = ROOT / 'README.md'


def blocks_of(path):
  return re.findall(r'```python\n(.*?)```', path.read_text(), re.DOTALL)


BLOCKS = blocks_of(PAGE)
KEY = jax.random.key(0)
ROWS = np.arange(20)


@pytest.fixture(scope='module')
def page(one_device):
  """Names after all blocks of the page, in order."""
  names = {}
  for block in BLOCKS:
    exec(compile(block, str(PAGE), 'exec'), names)
  return names


def test_the_page_runs_and_shows_every_public_function(page):
  assert page['samples'].shape == (20, 8, 8)
  assert page['met'].shape == (20,)
  text = PAGE.read_text()
  for name in lcjax.__all__:
    assert re.search(rf'\b(lcjax\.)?{name}\b', text), name


def test_the_notebook_is_short():
  block = next(b for b in BLOCKS if 'import lcjax' in b)
  lines = [line for line in block.splitlines() if line and 'print' not in line]
  assert len(lines) <= 15


@pytest.mark.parametrize('number', range(len(blocks_of(README))))
def test_the_readme_runs(page, number):
  names = dict(page, labels=page['digits'].target, rows=ROWS)
  names['wanted'] = np.eye(10, dtype=np.float32)[ROWS % 10]
  names['config'] = base.get_config()
  exec(compile(blocks_of(README)[number], str(README), 'exec'), names)


def test_the_critic_of_another_divergence_ranks_data_above_the_prior(page):
  realism = lcjax.learn_realism(
    page['data'], KEY, divergence='reverse_kl', num_steps=200, progress=False
  )
  loss = jax.jit(jax.vmap(lambda z: realism(z, {}).loss))
  prior = lcjax.prior_start(page['model'])({}, np.arange(400), KEY)
  of_data = np.asarray(loss(page['data'].encodings.sample(1)[:400]))
  assert (of_data[:, None] < np.asarray(loss(prior))).mean() > 0.9
  assert realism.divergence.name == 'reverse_kl'


def test_a_divergence_is_a_name_or_ones_own(page):
  own = dataclasses.replace(divergences.TABLE['kl'], name='own')
  found = lcjax.learn_realism(
    page['data'], KEY, divergence=own, num_steps=2, progress=False
  )
  assert found.divergence == own
  said = refused(lambda: lcjax.learn_realism(page['data'], KEY, divergence='k'))
  assert said.startswith("divergence='k' is not a divergence: ")


def judged(page, z, wanted):
  """Share of samples that a classifier of pixels sees as the wanted class."""
  judge = linear_model.LogisticRegression(max_iter=2000)
  judge.fit(page['images'].reshape(-1, 64), page['digits'].target)
  samples = page['model'].decode(z).reshape(-1, 64)
  return (judge.predict(samples) == wanted).mean()


def test_samples_are_of_the_requested_class_for_a_judge_of_pixels(page):
  rows = np.arange(200)
  wanted = rows % 10
  target = {'attributes': np.eye(10, dtype=np.float32)[wanted]}
  start = lcjax.prior_start(page['model'])(target, rows, KEY)
  moved = page['move'](start, target, rows, KEY)
  assert judged(page, start, wanted) < 0.25
  assert judged(page, moved.z, wanted) > 0.9
  begun = lcjax.mixture_start(page['data'])(target, rows, KEY)
  again = page['move'](begun, target, rows, KEY)
  assert again.steps.mean() < 0.5 * moved.steps.mean()
  assert again.satisfied.mean() > moved.satisfied.mean()
  assert judged(page, again.z, wanted) > 0.95


def test_known_pixels_are_kept_and_a_rule_is_met_without_an_encoder(page):
  x = page['model'].decode(page['filled'].z)
  gaps = np.square(x[:, :4] - page['images'][:20, :4]).mean(axis=(1, 2))
  assert (gaps <= 0.01).mean() > 0.9
  assert (gaps[page['filled'].satisfied] <= 0.01 + 1e-5).all()
  generator, is_bright = page['generator'], page['is_bright']
  before = is_bright(generator.decode(page['before'])).mean()
  found = generator.decode(page['before'])
  assert found.shape == (20, 8, 8) and before < 0.8
  wanted = {'bright': np.ones((20, 1), np.float32)}
  after = lcjax.optimizer(page['bright'])(page['before'], wanted)
  assert is_bright(generator.decode(after.z)).mean() > 0.9


def test_inpainting_has_answers_and_a_measurement_is_met(page):
  """Four answers each, alike where the sample is known, else not."""
  answers = page['model'].decode(page['answers'].z).reshape(5, 4, 8, 8)
  true = page['images'][:5, None]
  start = page['model'].decode(page['answers'].start).reshape(5, 4, 8, 8)
  known, before = (
    np.square(x - true)[:, :, :4].mean() for x in (answers, start)
  )
  assert known < 0.02
  assert before > 3 * known
  spread = answers.std(axis=1)
  assert spread[:, 4:].mean() > 2 * spread[:, :4].mean()
  seen = page['model'].decode(page['blurred'].z).reshape(20, 64)
  true = page['images'][:20].reshape(20, 64)
  gaps = np.square((seen - true) @ page['columns'].T)
  assert gaps.mean() < 2e-3


def test_a_text_is_the_same_composition(page):
  z, target = page['start'][:8], {k: v[:8] for k, v in page['target'].items()}
  weights = (1.0, 10.0, 1.0)
  parts = page['realism'], page['classes'], lcjax.negate(page['other'])
  expected = lcjax.verdicts(lcjax.all_of(*parts, weights=weights), z, target)
  found = lcjax.verdicts(page['same'], z, target)
  np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-5)


def test_one_attribute_is_changed_and_the_other_mostly_kept(page):
  bits, z = page['bits'], page['data'].encodings.mean[:20]

  def seen(z):
    return bits.labels.predict(np.asarray(bits.classifier_fn(bits.params, z)))

  before, after = seen(z), seen(page['now_odd'].z)
  assert before[:, 0].mean() < 0.7
  assert after[:, 0].mean() > 0.95
  assert (before[:, 1] == after[:, 1]).mean() > 0.7


def test_a_rule_is_obeyed_and_the_class_stays(page):
  rows = np.arange(200)
  wanted, rule = rows % 10, page['leans_left']
  target = {'attributes': np.eye(10, dtype=np.float32)[wanted]}
  start = lcjax.mixture_start(page['data'])(target, rows, KEY)
  want = lcjax.all_of(page['classes'], page['left'], weights=(1.0, 3.0))
  moved = lcjax.optimizer(want)(start, target)
  before = rule(page['model'].decode(start)).mean()
  after = rule(page['model'].decode(moved.z)).mean()
  assert before < 0.5
  assert after > 0.9
  assert judged(page, moved.z, wanted) > 0.8
  never = lcjax.all_of(page['classes'], lcjax.negate(page['left']))
  moved = lcjax.optimizer(never)(start, target)
  assert rule(page['model'].decode(moved.z)).mean() < 0.1


def test_a_mixture_of_some_rows_is_of_these(page):
  data, rule, rows = page['data'], page['leans_left'], np.arange(500)
  obeys = page['obeys']
  some = data.rows(obeys)
  assert (
    len(some.encodings.mean) == obeys.sum() == len(some.encodings.attributes)
  )
  np.testing.assert_array_equal(
    some.encodings.scale, data.encodings.scale[obeys]
  )
  shares = [
    rule(
      page['model'].decode(
        lcjax.mixture_start(one, labelled=False)({}, rows, KEY)
      )
    ).mean()
    for one in (data, some)
  ]
  assert shares[0] < 0.5 and shares[1] > 0.75


def test_another_seed_weight_and_target_compile_nothing(page, caplog):
  data, target = page['data'], page['target']
  other = lcjax.learn_attributes(
    data, jax.random.key(7), num_steps=200, progress=False
  )
  optimizer_lib._optimize.clear_cache()
  first = lcjax.all_of(page['realism'], page['classes'], weights=(1.0, 2.0))
  second = lcjax.all_of(page['realism'], other, weights=(0.5, 9.0))
  start = np.asarray(page['start'])
  lcjax.optimizer(first, lcjax.adam(0.1), 30)(start, target)
  assert optimizer_lib._optimize._cache_size() == 1
  lcjax.optimizer(second, lcjax.adam(0.1), 50)(start[::-1], target)
  assert optimizer_lib._optimize._cache_size() == 1


def test_another_seed_trains_by_the_same_program(page):
  with jax.log_compiles(), Compilations() as seen:
    lcjax.learn_realism(
      page['data'], jax.random.key(9), num_steps=100, progress=False
    )
  assert not [name for name in seen.names if 'many' in name], seen.names


class Compilations(logging.Handler):
  """Names of what JAX compiles within."""

  def __init__(self):
    super().__init__()
    self.names = []

  def emit(self, record):
    found = re.match(r'Compiling (?:jit\()?(\w+)', record.getMessage())
    if found:
      self.names.append(found[1])

  def __enter__(self):
    logging.getLogger('jax').addHandler(self)
    return self

  def __exit__(self, *_):
    logging.getLogger('jax').removeHandler(self)


def test_compilations_are_seen():
  with jax.log_compiles(), Compilations() as seen:
    jax.jit(lambda z: z * 1.25 + 3)(jnp.ones(3)).block_until_ready()
  assert seen.names


def test_progress_is_shown_or_not(page, capsys):
  lcjax.learn_attributes(page['data'], KEY, num_steps=50, progress=False)
  assert capsys.readouterr() == ('', '')
  lcjax.learn_attributes(page['data'], KEY, num_steps=50)
  assert 'learn_attributes' in capsys.readouterr().err


def test_the_same_key_gives_the_same_constraint(page):
  one, two = (
    lcjax.learn_attributes(page['data'], KEY, num_steps=50, progress=False)
    for _ in range(2)
  )
  jax.tree.map(np.testing.assert_array_equal, one, two)


def refused(make):
  with pytest.raises(errors.UserError) as raised:
    make()
  said = str(raised.value)
  assert '\n' not in said
  return said


def linear(params, z):
  return z * params


def positive(params, x):
  return x * params, jnp.ones_like(x)


@pytest.mark.parametrize(
  ('decode', 'encode', 'said'),
  [
    (lambda p, z: z / 0.0, None, 'decode: the samples have a NaN or an inf'),
    (lambda p, z: z[:2], None, 'decode: 3 latents give an array of shape (2,'),
    (lambda p, z: z.sum(), None, 'decode: 3 latents give an array of shape ()'),
    (linear, lambda p, x: x, 'encode: 3 samples give shapes (3, 4)'),
    (linear, lambda p, x: (x[:, :2], x), 'they must be a tuple (mean, scale)'),
    (linear, lambda p, x: (x, -jnp.abs(x)), 'a scale is not positive'),
    (linear, lambda p, x: (x * jnp.nan, x), 'the encodings have a NaN'),
  ],
)
def test_a_model_that_cannot_work(decode, encode, said):
  found = refused(lambda: lcjax.latent_model(1.0, decode, 4, encode))
  assert said in found


@pytest.fixture(scope='module')
def small():
  """A model whose samples are its latents, and data with two attributes."""
  model = lcjax.latent_model(1.0, linear, 4, positive)
  x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
  return model, x, (x[:, :2] > 0).astype(np.float32)


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    (lambda y: y[:-1], 'labels: 39 for 40 samples'),
    (lambda y: y * 0.5, 'labels: the shape is (40, 2); give class numbers'),
    (lambda y: y * [1, 0], "labels: '1' is 0 in every row"),
    (lambda y: y[:, 0], 'labels: a vector must hold class numbers'),
    (lambda y: 0 * y[:, 0].astype(int), "labels: '0' is 1 in every row"),
  ],
)
def test_labels_that_say_nothing(small, change, said):
  model, x, y = small
  assert said in refused(lambda: lcjax.encode(model, x, change(y)))


def test_names_and_optimisers_that_do_not_fit(small):
  model, x, _ = small
  numbers = np.arange(40) % 3
  found = refused(lambda: lcjax.encode(model, x, numbers, names=['a', 'b']))
  assert 'labels: a class has the number 2, there are 2 names' in found
  for spec in (
    lcjax.OptimizerSpec('adamm', 0.1),
    lcjax.OptimizerSpec('adam', 0.1, (('momentum', 0.9),)),
  ):
    assert 'is no optimiser of optax' in refused(spec.make)


def test_data_that_lack_something(small):
  model, x, y = small
  assert 'no samples' in refused(lambda: lcjax.encode(model, x[:0]))
  found = refused(lambda: lcjax.encode(model, x, y, names=['a']))
  assert 'names: 1 for 2 attributes' in found
  plain = lcjax.encode(model, x)
  assert 'no labels' in refused(lambda: lcjax.learn_attributes(plain, KEY))
  alone = lcjax.latent_model(1.0, linear, 4)
  assert 'has no encoder' in refused(lambda: lcjax.encode(alone, x))
  drawn = lcjax.label_prior(alone, lambda x: (x[:, :2] > 0) * 1, KEY, 50)
  assert 'near: draws of the prior' in refused(lambda: lcjax.near(drawn))
  classes = lcjax.learn_attributes(
    lcjax.encode(model, x, y), KEY, num_steps=1, progress=False
  )
  numbers = {'attributes': np.zeros(3, np.int32)}
  for mover in (
    lcjax.optimizer(classes, max_steps=1),
    lcjax.optimizer(lcjax.negate(classes), max_steps=1),
  ):
    found = refused(lambda mover=mover: mover(np.zeros((3, 4)), numbers))
    assert 'not class numbers' in found
  constraint = lcjax.negate(lcjax.on_sample(model, jnp.sum, 'a', 0.1, margin=1))
  found = refused(lambda: lcjax.re_encoded(alone, constraint))
  assert 'no encoder' in found
  assert 'must be (B, 4)' in refused(lambda: model.decode(np.zeros((3, 5))))
  matrix = np.ones((4, 4), np.float32)
  found = refused(lambda: lcjax.latent_model(matrix, lambda p, z: z @ p, 5))
  assert 'latents of shape (3, 5), latent_size=5' in found


def test_a_request_that_lacks_something(small):
  model, x, y = small
  data = lcjax.encode(model, x, y, names=['a', 'b'])
  want = lcjax.learn_attributes(data, KEY, num_steps=10, progress=False)
  move, good = lcjax.optimizer(want), {'attributes': y[:5]}
  assert "no 'attributes'" in refused(lambda: move(x[:5], {'other': y[:5]}))
  found = refused(lambda: move(x[:4], good))
  assert "target['attributes']: the shape is (5, 2)" in found
  assert 'B at least 1' in refused(lambda: move(x[:0], good))
  found = refused(lambda: move(np.full((5, 4), np.nan), good))
  assert 'start: a latent has a NaN' in found
  start = lcjax.mixture_start(data)
  assert "no 'attributes'" in refused(lambda: start({}, ROWS, KEY))
  found = refused(lambda: start(good, ROWS, KEY))
  assert 'it must be (20, 2)' in found


def test_a_penalty_that_gives_nan_is_never_a_latent_in_silence(small):
  model, x, _ = small
  root = lcjax.on_sample(model, lambda x: jnp.sqrt(x[0]), 'root', 0.1)
  found = refused(lambda: lcjax.optimizer(root)(np.abs(x) * [-1, 1, 1, 1], {}))
  assert found.startswith('row 0: the constraint or its gradient is not finite')


def test_near_takes_the_start_unless_it_is_given(small):
  model, x, y = small
  data = lcjax.encode(model, x, y)
  far = lcjax.on_sample(model, lambda x: jnp.square(x[0] - 5.0), 'five', 1e-3)
  want = lcjax.all_of(far, lcjax.near(data), weights=(1.0, 0.5))
  move = lcjax.optimizer(want, max_steps=200)
  own = move(x[:8], {})
  given = move(x[:8], {'near': x[:8]})
  np.testing.assert_array_equal(own.z, given.z)
  moved = move(x[:8], {'near': x[:8] + 1.0})
  assert not np.allclose(own.z[:, 1:], moved.z[:, 1:], atol=0.1)


def test_an_unlabelled_mixture_is_a_start(small):
  model, x, _ = small
  start = lcjax.mixture_start(lcjax.encode(model, x), num_components=2)
  z = start({}, ROWS, KEY)
  assert z.shape == (20, 4)
  np.testing.assert_array_equal(z[5:], start({}, ROWS[5:], KEY))


def test_the_wheel_has_all_that_the_library_needs(tmp_path):
  pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check']
  subprocess.run(
    [
      *(*pip, 'wheel', '--quiet', '--no-deps', '--no-build-isolation'),
      *('--wheel-dir', tmp_path, ROOT),
    ],
    check=True,
  )
  (wheel,) = tmp_path.glob('lcjax-*.whl')
  site = tmp_path / 'site'
  subprocess.run(
    [*pip, 'install', '--quiet', '--no-deps', '--target', str(site), wheel],
    check=True,
  )
  found = subprocess.run(
    [sys.executable, '-c', 'import lcjax; print(lcjax.__file__)'],
    env={'PYTHONPATH': str(site), 'PATH': ''},
    cwd=tmp_path,
    capture_output=True,
    text=True,
    check=True,
  )
  assert found.stdout.strip() == str(site / 'lcjax' / '__init__.py')
  assert (site / 'lcjax' / 'py.typed').exists()
  assert (site / 'lcjax' / 'evaluation' / 'report.html.j2').exists()

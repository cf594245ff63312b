"""Rules that are learned on a plane or in eight dimensions, where truth is z.

The samples of the models here are their latents: a rule of one is computable.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lcjax
from lcjax.constraints import learn_rule as learn_rule_lib
from lcjax.constraints import rule_rounds
from lcjax.movers import denoiser as denoiser_lib
from lcjax.training import fit
from tests.movers import clusters

KEY = jax.random.key(0)
ROWS = np.arange(300)
learn = functools.partial(
  lcjax.learn_rule,
  num_samples=400,
  num_held_out=320,
  hidden_sizes=(32, 32),
  num_steps=200,
  progress=False,
)


def is_high(x):
  return (x[:, 1] > 0.6).astype(np.float32)


def is_far(x):
  """Holds for one draw of the prior in 215."""
  return x[:, 0] > 2.6


@pytest.fixture(scope='module')
def plane(one_device):
  """A model of two clusters, and its data."""
  return clusters.make()


@pytest.fixture(scope='module')
def high(plane):
  """A learned rule, and its rounds."""
  model, data = plane
  rounds = []
  found = learn(
    model, is_high, KEY, source=data, name='high', on_round=rounds.append
  )
  return found, rounds


@pytest.fixture(scope='module')
def wide():
  """A model of eight latents."""
  return lcjax.latent_model(np.float32(1.0), clusters.decode, 8)


def moved_share(model, constraint, rule):
  """Share of moved draws of the prior that obey, and of the draws."""
  z = model.draw_prior(ROWS, jax.random.key(5))
  moved = lcjax.optimizer(constraint, max_steps=200)(z, {})
  return rule(moved.z).mean(), rule(z).mean()


def test_moved_latents_obey_alone(plane, high):
  after, before = moved_share(plane[0], high[0], is_high)
  assert before < 0.35
  assert after > 0.95
  never, _ = moved_share(plane[0], lcjax.negate(high[0]), is_high)
  assert never < 0.05


def test_the_report_counts_calls_and_rates(plane, high):
  found, rounds = high
  pool = rounds[-1].pool
  names = ['prior', 'encodings', 'moved_1', 'moved_2']
  assert [len(pool[n].z) for n in names] == [200, 200, 400, 400]
  assert found.report.calls == 3 * 400 + 320
  for name in names:
    assert found.report.rates[name] == is_high(pool[name].z).mean()
  assert found.report.rates['moved_2'] > 0.8 > found.report.rates['prior'] + 0.4
  # Encodings of the clusters are hardly ever that high.
  assert found.report.rates['encodings'] < 0.1


def test_the_rule_is_asked_as_often_as_reported(plane):
  model, data = plane
  asked = []

  def rule(x):
    asked.append(len(x))
    return is_high(x)

  found = learn(model, rule, KEY, source=data, rounds=1)
  assert sum(asked) == found.report.calls
  assert max(asked) <= 1000


def test_the_threshold_is_the_least_that_is_precise_enough(plane, high):
  found = high[0]
  levels = {float(k): v for k, v in found.report.levels.items()}
  fits = [stop for stop, share in levels.items() if share >= 0.95]
  assert found.threshold == min(fits)
  # The share is of held-out rows that were moved to the threshold.
  after, _ = moved_share(plane[0], found, is_high)
  assert abs(after - found.report.precision) < 0.06
  eager = learn(
    plane[0], is_high, KEY, source=plane[1], precision=0.3, rounds=0
  )
  assert eager.threshold == 0.5
  own = learn(plane[0], is_high, KEY, rounds=0, threshold=0.7)
  assert own.threshold == 0.7 and own.report.levels == {}


def test_a_blurred_rule_needs_a_high_threshold(plane):
  """Where answers are by chance, D(z) is their odds."""
  model, data = plane
  rng = np.random.default_rng(0)

  def chance(x):
    p = 1.0 / (1.0 + np.exp(-2.0 * x[:, 1]))
    return rng.random(len(x)) < p

  found = learn(
    model,
    chance,
    KEY,
    source=data,
    precision=0.9,
    num_samples=2000,
    num_held_out=1600,
  )
  moved = lcjax.optimizer(found)(model.draw_prior(ROWS, KEY), {})
  exact = 1.0 / (1.0 + np.exp(-2.0 * moved.z[:, 1]))
  assert found.threshold >= 0.7
  assert abs(exact[moved.satisfied].mean() - found.report.precision) < 0.1
  shares = np.array(list(found.report.levels.values()))
  assert (np.diff(shares) > -1e-6).all() and shares[0] < 0.85 < 0.95 < shares[
    -1
  ]


def test_a_graded_rule_is_met_from_its_level_on(plane):
  model, data = plane

  def height(x):
    return np.clip(0.5 + 0.25 * x[:, 1], 0.0, 1.0)

  for level, least in ((0.5, 0.0), (0.75, 1.0)):
    found = learn(model, height, KEY, source=data, level=level, num_steps=400)
    moved = lcjax.optimizer(found, max_steps=200)(
      model.draw_prior(ROWS, KEY), {}
    )
    assert (moved.z[:, 1] >= least).mean() > 0.9
    drawn = found.report.rates['prior']
    assert abs(drawn - (0.5 if level == 0.5 else 0.16)) < 0.1


def test_a_rare_rule_is_found_in_rounds(wide):
  hard = functools.partial(
    learn, wide, is_far, KEY, num_samples=1500, rounds=3, num_steps=300
  )
  found = hard()
  rates = found.report.rates
  after, before = moved_share(wide, found, is_far)
  assert rates['prior'] < 0.01 and before < 0.01
  assert rates['moved_3'] > rates['moved_2'] > 2 * rates['moved_1']
  assert after > 0.8
  alone = hard(rounds=0).report  # a critic of the draws alone
  assert alone.precision < found.report.precision


def test_both_answers_count_the_same():
  scores = np.array([1.0] * 5 + [0.25] * 20 + [0.0] * 975, np.float32)
  z = np.arange(1000, dtype=np.float32)[:, None]
  found = learn_rule_lib._balanced([rule_rounds.Scored(z, scores)], KEY)
  assert abs(found.scores.mean() - 0.5) < 0.06
  # Of a score r = .25 in a mean m = .01: r / 2m and (1 - r) / 2(1 - m).
  own = found.scores[(found.z[:, 0] >= 5) & (found.z[:, 0] < 25)]
  np.testing.assert_allclose(own, 12.5 / (12.5 + 0.75 / 1.98), rtol=1e-5)
  assert (found.scores[found.z[:, 0] < 5] == 1).all()


def test_latents_come_from_a_start_as_well(plane):
  model, data = plane
  center = clusters.CENTERS[0]
  asked = []

  def start(target, rows, key):
    asked.append(len(rows))
    return np.repeat(center[None] + 0.05, len(rows), axis=0)

  rounds = []
  learn(
    model,
    is_high,
    KEY,
    source=data,
    start=start,
    rounds=1,
    on_round=rounds.append,
  )
  pool = rounds[0].pool
  assert list(pool) == ['prior', 'encodings', 'start']
  assert (pool['start'].z == center + np.float32(0.05)).all()
  # Held-out latents all come from there: half of 320 for each part.
  assert asked[-2:] == [160, 160]


def test_a_given_mover_moves(plane):
  model, data = plane
  seen = []

  def move(critic, z, key):
    seen.append((float(critic.threshold), len(z)))
    return z + np.float32([0.0, 5.0])

  rounds = []
  found = learn(
    model,
    is_high,
    KEY,
    source=data,
    move_fn=move,
    rounds=1,
    on_round=rounds.append,
  )
  assert rounds[1].pool['moved_1'].z[:, 1].min() > 1.0
  stops = learn_rule_lib._THRESHOLDS
  assert [stop for stop, _ in seen[3:13]] == pytest.approx(stops)
  assert seen[13:] == [(pytest.approx(found.threshold), 160)]
  said = refused(
    lambda: learn(model, is_high, KEY, move_fn=lambda c, z, key: z[:3])
  )
  assert "rule 'rule': move_fn gives an array of shape (3, 2)" in said


def test_it_goes_on_from_a_round_to_the_same_constraint(plane, high):
  found, rounds = high
  again = learn(
    plane[0], is_high, KEY, source=plane[1], name='high', resume=rounds[1]
  )
  jax.tree.map(np.testing.assert_array_equal, again, found)
  other = learn(plane[0], is_high, jax.random.key(1), source=plane[1], rounds=0)
  assert not np.array_equal(
    jax.tree.leaves(other.params)[0], jax.tree.leaves(rounds[0].params)[0]
  )


def test_two_seeds_share_their_programs(plane, high):
  before = fit._compiled.cache_info().misses
  other = learn(
    plane[0], is_high, jax.random.key(1), source=plane[1], name='high'
  )
  assert fit._compiled.cache_info().misses == before
  assert jax.tree.structure(other) == jax.tree.structure(high[0])


@pytest.fixture(scope='module')
def walked(plane):
  """A denoiser, classes, and a rule with a critic of noised latents."""
  options = {'num_steps': 600, 'progress': False}
  data = plane[1]
  classes = lcjax.learn_attributes(
    data, KEY, noised=True, hidden_sizes=(32, 32), **options
  )
  walk = lcjax.learn_denoiser(
    data, KEY, width=48, num_blocks=2, average_decay=0.99, **options
  )

  def is_up(x):  # half of the data obey
    return x[:, 1] > 0.0

  found = learn(
    plane[0], is_up, KEY, source=data, name='up', noised=True, num_steps=400
  )
  return classes, walk, found, is_up


Y = np.eye(2, dtype=np.float32)[ROWS % 2]


@pytest.mark.parametrize('noised', [True, False])
def test_the_guided_denoiser_obeys(plane, walked, noised):
  classes, walk, found, is_up = walked
  if not noised:
    found = dataclasses.replace(found, noised_params=None, noised_fn=None)
  noise = lcjax.prior_start(plane[0])({}, ROWS, KEY)
  guide = functools.partial(lcjax.denoiser, walk, scale=1.0)
  alone = guide(found)(noise, {}, ROWS, KEY).z
  free = walk(noise, {}, ROWS, KEY).z
  assert 0.3 < is_up(free).mean() < 0.7
  assert is_up(alone).mean() > 0.9
  nearest = np.where((alone[:, 0] > 0)[:, None], [[1, 0]], [[0, 1]])
  assert clusters.share_near(alone, nearest) > 0.9  # it stays realistic
  never = guide(lcjax.negate(found))(noise, {}, ROWS, KEY).z
  assert is_up(never).mean() < 0.1
  both = lcjax.all_of(classes, found)
  z = guide(both)(noise, {'attributes': Y}, ROWS, KEY).z
  assert is_up(z).mean() > 0.85
  assert clusters.share_near(z, Y) > 0.85


def test_the_critic_of_noised_latents_knows_the_noise(plane, walked):
  """At little noise it is sure; in noise alone, it knows nothing."""
  found, data = walked[2], plane[1].encodings
  z = data.sample(3)
  unit = (z - data.aggregate_mean) / data.aggregate_std
  truth = z[:, 1] > 0

  def accuracy(time):
    t = jnp.full(len(z), time)
    noisy = jax.vmap(lambda u, t, c: found.noisy(u, t, c, {}))
    eps = jax.random.normal(KEY, unit.shape)
    loss = noisy(denoiser_lib.denoise.add_noise(unit, t, eps), t, z)
    return np.mean((np.asarray(loss) < np.log(2.0)) == truth)

  assert accuracy(0.02) > 0.9
  assert accuracy(1.0) < 0.65


def test_a_rule_that_no_encoding_obeys_has_a_critic_of_noise_too(plane):
  def is_between(x):
    return np.abs(x[:, 0]) < 0.2

  found = learn(
    plane[0],
    is_between,
    KEY,
    source=plane[1],
    noised=True,
    rounds=0,
    num_steps=20,
  )
  assert found.report.rates['encodings'] == 0 < found.report.rates['prior']
  assert all(np.isfinite(p).all() for p in jax.tree.leaves(found.noised_params))


def test_optimizer_g_obeys_with_attributes(plane, walked):
  classes, _, found, is_up = walked
  z = plane[0].draw_prior(ROWS, jax.random.key(5))
  want = lcjax.all_of(classes, found)
  moved = lcjax.optimizer(want)(z, {'attributes': Y})
  right = (moved.z[:, 0] < 0) == Y[:, 1]
  assert (right & is_up(moved.z)).mean() > 0.9


@pytest.mark.parametrize('adversary', [lcjax.Adversary(), None])
def test_an_actor_obeys(plane, walked, adversary):
  """The rule on top of an adversary, and without one."""
  classes, _, found, is_up = walked
  actor = lcjax.learn_actor(
    lcjax.all_of(classes, found, weights=(1.0, 2.0)),
    plane[1],
    KEY,
    adversary=adversary,
    hidden_sizes=(32, 32),
    num_steps=500,
    progress=False,
  )
  z = plane[0].draw_prior(ROWS, jax.random.key(5))
  moved = actor(z, {'attributes': Y})
  right = (moved.z[:, 0] < 0) == Y[:, 1]
  assert (right & is_up(moved.z)).mean() > 0.9
  assert (right & is_up(z)).mean() < 0.7
  if adversary is not None:  # in few steps, it holds rows loosely
    assert clusters.share_near(moved.z, Y, radius=2.5) > 0.9


def refused(make):
  with pytest.raises(lcjax.UserError) as raised:
    make()
  said = str(raised.value)
  assert '\n' not in said
  return said


def nan_at(x):
  scores = is_high(x)
  scores[7] = np.nan
  return scores


def raises(x):
  for number, row in enumerate(x):
    if row[0] > 2:
      raise ValueError(f'row\n{number} is too wide')
  return is_high(x)


@pytest.mark.parametrize(
  'rule, said',
  [
    (lambda x: x, "rule 'a': 100 samples (prior) give an array of shape (100,"),
    (lambda x: is_high(x[1:]), 'give an array of shape (99,), it must be'),
    (nan_at, "rule 'a': the score of sample 7 (prior) is nan: it must be in"),
    (lambda x: 2.0 * (x[:, 0] > 9) + 1.5, 'of sample 0 (prior) is 1.5'),
    (raises, '(prior) raises ValueError: row 60 is too wide'),
    (lambda x: 1 // 0, "rule 'a': sample 0 (prior) raises ZeroDivisionError"),
    (
      lambda x: is_high(x) / (len(x) < 100 or (1 // 0)),
      "rule 'a': the 100 samples from 0 on (prior) raises",
    ),
    (lambda x: np.ones(len(x)), "rule 'a': its score is 1 for all 100 samples"),
  ],
)
def test_what_a_rule_does_wrong_is_one_line(plane, rule, said):
  found = refused(lambda: learn(plane[0], rule, KEY, name='a', num_samples=100))
  assert said in found


def test_an_exception_names_the_sample(wide):
  def picky(x):
    if (x[:, 0] > 1.5).any():
      raise KeyError('too wide')
    return x[:, 0] > 0

  found = refused(lambda: learn(wide, picky, KEY, num_samples=100))
  assert 'sample ' in found and "(prior) raises KeyError: 'too wide'" in found
  number = int(found.split('sample ')[1].split()[0])
  drawn = []
  refused(
    lambda: learn(wide, lambda x: drawn.append(x) or x, KEY, num_samples=100)
  )
  assert number == np.argmax(drawn[0][:, 0] > 1.5)


@pytest.mark.parametrize(
  'settings, said',
  [
    ({'level': 0.0}, 'level=0.0 must be in (0, 1]'),
    ({'threshold': 1.5}, 'threshold=1.5'),
    ({'precision': -1}, 'precision=-1'),
    ({'rounds': -1}, 'rounds=-1'),
    ({'num_held_out': 3}, 'num_held_out=3'),
    ({'noised': True}, 'noised=True needs the source'),
  ],
)
def test_a_setting_out_of_range_is_one_line(wide, settings, said):
  assert said in refused(lambda: learn(wide, is_far, KEY, **settings))


def test_a_level_that_no_sample_reaches(wide):
  found = refused(
    lambda: learn(wide, lambda x: 0.4 * (x[:, 0] > 0), KEY, level=0.9, rounds=0)
  )
  assert 'no sample has a score of at least level=0.9' in found

"""Terms of compositions, by rules of a point whose truth is known."""

import jax.numpy as jnp
import numpy as np
import pytest

import lcjax
from lcjax import errors
from lcjax.constraints import attributes, critics, near, rule_critic
from lcjax.evaluation import comparison, terms
from lcjax.types import Bits
from tests.evaluation.test_comparison import TEST, compared, stay

N = 40
X = np.random.default_rng(0).normal(size=(N, 2)).astype(np.float32)
Y = (X > 0).astype(np.float32)
LABELS = Bits(('right', 'upper'))
MODEL = lcjax.latent_model(1.0, lambda params, z: z, 2)


def wrong(params, z):
  """A critic that calls everything fine, as one that was moved against."""
  return jnp.float32(9.0)


def is_far(samples):
  assert isinstance(samples, np.ndarray)
  return np.abs(samples[:, 0]) > 1.0


FAR = critics.Critic(None, 0.9, wrong, 'far', check_fn=is_far)
REALISM = critics.Critic(None, 0.9, wrong, of_density=True)
ASKED = attributes.Attributes(None, 0.1, lambda params, z: 9 * z, LABELS)
NEAR = near.Near(jnp.ones(2))
LOW = lcjax.on_sample(
  MODEL, lambda x: jnp.square(x[1]), 'low', 0.25, margin=0.5
)
OWN = critics.Critic(None, 0.9, lambda params, z: 9 * z[0], 'own')


def met(want, latents=None, requested=Y):
  return terms.Terms(want).met(X, Y, requested, latents)


def test_each_term_by_its_own_truth_and_all_as_composed():
  want = lcjax.all_of(REALISM, ASKED, FAR, lcjax.negate(LOW), NEAR)
  requested = np.where(np.arange(N)[:, None] % 2, Y, 1 - Y)
  found = met(want, requested=requested)
  right, far = np.arange(N) % 2 == 1, np.abs(X[:, 0]) > 1
  high = np.square(X[:, 1]) > 0.5
  assert list(found) == ['attributes', 'far', 'not_low', 'jointly']
  for name, truth in (
    ('attributes', right), ('far', far), ('not_low', high),
    ('jointly', right & far & high),
  ):  # fmt: skip
    np.testing.assert_array_equal(found[name], truth, err_msg=name)
    assert 0 < truth.mean() < 1
  either = met(lcjax.any_of(lcjax.negate(ASKED), lcjax.negate(FAR)))
  np.testing.assert_array_equal(either['not_far'], ~far)
  np.testing.assert_array_equal(either['jointly'], ~far)


def test_samples_are_judged_as_they_are_decoded():
  found = terms.Terms(FAR, lambda x: x / 10).met(X, None, None, None)
  np.testing.assert_array_equal(found['far'], np.abs(X[:, 0]) > 10)


def test_who_judges_is_said_and_nobody_is_no_yes():
  other = attributes.Attributes(None, 0.1, wrong, LABELS, 'other')
  want = lcjax.all_of(ASKED, FAR, OWN, LOW, NEAR, REALISM, other)
  assert terms.Terms(want).judged_by() == {
    'attributes': 'the judge',
    'far': 'its own check of the decoded sample',
    'own': 'its own verdict on the latent, as it checks no samples (rows '
    'without latents have none)',
    'low': 'its own check of the decoded sample',
    'other': 'nobody, as it reads a target that the comparison does not have',
  }
  assert list(met(lcjax.all_of(ASKED, OWN))) == ['attributes']
  found = met(lcjax.all_of(ASKED, OWN), latents=X)
  np.testing.assert_array_equal(found['own'], X[:, 0] > np.log(9) / 9)
  assert 'jointly' in found
  assert list(met(lcjax.all_of(ASKED, FAR), requested=None)) == ['far']
  assert met(lcjax.all_of(REALISM, NEAR)) == {}


def test_a_check_of_another_length_is_named():
  bad = FAR.replace(check_fn=lambda samples: is_far(samples)[1:])
  with pytest.raises(errors.UserError, match=r'far: its check of 40 .*\(39,\)'):
    met(bad)


def test_a_rule_is_checked_by_itself_from_its_level_on():
  def rule(x):
    return np.clip(x[:, 0], 0.0, 1.0)

  learned = OWN.replace(check_fn=rule_critic.Obeys(rule, 0.5))
  np.testing.assert_array_equal(learned.check(X, {}), X[:, 0] >= 0.5)
  np.testing.assert_array_equal(
    lcjax.negate(learned).check(X, {}), X[:, 0] < 0.5
  )


def is_left(samples):
  return samples[:, 0] < 0.0


def to_the_left(start, target, rows, key):
  z = start.copy()
  z[:, 0] = np.where(target['attributes'][:, 1] > 0.5, -3.0, -0.1)
  return lcjax.Moved(z, start)


def test_a_comparison_has_floor_ceiling_and_frechet_to_those_that_satisfy():
  two = Bits(('inner', 'outer'))
  asked = attributes.Attributes(None, 0.1, wrong, two)
  left = critics.Critic(None, 0.9, wrong, 'left', check_fn=is_left)
  table = compared(
    {'stay': stay, 'moved': to_the_left}, want=lcjax.all_of(asked, left)
  )
  rows = table.runs[0]
  truth = is_left(TEST[0])
  assert rows['real']['met_left'] == pytest.approx(truth.mean())
  assert rows['real']['met_jointly'] <= rows['real']['met_left']
  assert len(table.samples['real_satisfying'].images) == truth.sum()
  assert rows['real_satisfying']['met_left'] == 1.0
  assert rows['real_satisfying']['met_attributes'] > 0.9
  assert rows['moved']['met_jointly'] == 1.0  # the judge's and the rule's truth
  assert rows['stay']['met_jointly'] == rows['prior']['met_jointly'] < 0.5
  assert rows['stay']['met_left'] == rows['prior']['met_left']
  # Nearer to those that satisfy it than to all.
  moved = rows['moved']
  assert moved['frechet_satisfying'] < moved['frechet']
  assert rows['mixture'].keys() >= {'met_left'}
  assert 'met_jointly' not in rows['mixture']  # it is asked for no labels
  text = table.markdown()
  assert 'left met' in text.splitlines()[0]
  assert 'jointly met' in text.splitlines()[0]
  assert any(
    'left by its own check' in note and f'the {truth.sum()} test' in note
    for note in table.report['notes']
  )


def test_without_a_ceiling_it_is_said():
  (note,) = comparison.term_notes({'own': 'X'}, 0)
  assert 'own by X' in note
  assert 'no ceiling' in note
  assert comparison.term_notes({}, 0) == []

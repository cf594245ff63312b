"""Compositions as text, on rules of a point in the plane."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lcjax
from lcjax import errors
from lcjax.constraints import compose, grammar, near
from tests.constraints.test_compose import POINTS, RIGHT, UPPER, above

FAR = above(0, -0.7, 'far')
NEAR = near.Near(jnp.ones(2))
PARTS = {'right': RIGHT, 'upper': UPPER, 'far': FAR, 'near': NEAR}
X, Y = POINTS.T
R, U, F = X >= 0.5, Y >= -0.5, X >= -0.7
TRUTH = {
  'right': R,
  'all(right)': R,
  'not(right)': ~R,
  'not(not(right))': R,
  'all(right, upper)': R & U,
  'any(right,upper)': R | U,
  ' all( right , not(upper) )': R & ~U,
  'not(all(right, upper))': ~(R & U),
  'not(any(right, upper))': ~(R | U),
  'any(all(right, upper), not(far))': (R & U) | ~F,
  'not(any(all(right, not(upper)), not(far)))': ~((R & ~U) | ~F),
  '3*all(2*right, any(0.5*upper, 1e1*not(far)))': R & (U | ~F),
}


def met(constraint, z=POINTS):
  target = {'near': np.zeros(2, np.float32)}
  return np.asarray(jax.vmap(lambda z: constraint(z, target).met)(z))


def loss(constraint):
  z, target = POINTS[0], {'near': np.zeros(2, np.float32)}
  return float(constraint(z, target).loss)


@pytest.mark.parametrize('text', TRUTH)
def test_met_is_the_truth_of_the_text(text):
  found = met(lcjax.parse_constraint(text, PARTS))
  np.testing.assert_array_equal(found, TRUTH[text])
  assert 0 < found.mean() < 1


def test_weights_are_those_of_all_of_and_any_of():
  for text, expected in (
    ('right', RIGHT),
    ('2*right', compose.all_of(RIGHT, weights=[2.0])),
    (
      'all(2*right, not(upper))',
      compose.all_of(RIGHT, compose.negate(UPPER), weights=[2.0, 1.0]),
    ),
    (
      'all(2*right, 3*not(upper))',
      compose.all_of(RIGHT, compose.negate(UPPER), weights=[2.0, 3.0]),
    ),
    (
      'not(all(2*right, upper))',
      compose.negate(compose.all_of(RIGHT, UPPER, weights=[2.0, 1.0])),
    ),
    (
      '2*any(right, 3*upper)',
      compose.all_of(
        compose.any_of(RIGHT, UPPER, weights=[1.0, 3.0]), weights=[2.0]
      ),
    ),
    (
      'all(.5*all(right, 4*upper), far)',
      compose.all_of(RIGHT, UPPER, FAR, weights=[0.5, 2.0, 1.0]),
    ),
  ):
    found = loss(lcjax.parse_constraint(text, PARTS))
    np.testing.assert_allclose(found, loss(expected), rtol=1e-6, err_msg=text)


def test_weights_of_a_section_are_multiplied_but_not_within_any():
  """There they are shares; the whole of it has the largest."""
  own = {'right': 10.0, 'upper': 3.0, 'far': 1.0}
  for text, expected in (
    ('all(right, 2*upper)', 10 * loss(RIGHT) + 6 * loss(UPPER)),
    (
      'all(far, 2*any(right, 5*upper))',
      loss(FAR) + 20 * loss(compose.any_of(RIGHT, UPPER, weights=[1.0, 5.0])),
    ),
  ):
    built = grammar.build(grammar.parse(text, PARTS), PARTS, own)
    np.testing.assert_allclose(loss(built), expected, rtol=1e-6)


def test_what_is_assumed_is_left_out_unless_its_opposite_is_asked():
  for text, expected in (
    ('all(right, upper)', U),
    ('all(any(right, far), upper)', U),  # the alternative holds
    ('all(not(right), upper)', ~R & U),
    ('all(not(not(right)), upper)', U),
    ('all(not(all(right, far)), upper)', ~(R & F) & U),
  ):
    built = grammar.build(grammar.parse(text, PARTS), PARTS, None, ['right'])
    np.testing.assert_array_equal(met(built), expected, err_msg=text)
  assert (
    grammar.build(grammar.parse('right', PARTS), PARTS, None, PARTS) is None
  )


@pytest.mark.parametrize(
  'text, said',
  [
    ('', 'at its end: there is nothing'),
    ('all(right, uper)', "character 12: 'uper' .* did you mean upper?"),
    ('All(right)', "character 1: 'All' is none of all, any and not"),
    ('all(right, upper', r'at its end: , or \) must .* \(character 1\)'),
    ('all(right upper)', r'character 11: , or \) must follow'),
    ('all(right, )', r"character 12: '\)', but a name"),
    ('all right', r'character 5: \( must follow all, as in all\(realism\)'),
    ('not()', 'character 1: not takes exactly one term, there are 0'),
    ('not(right, upper)', 'not takes exactly one term, there are 2'),
    ('all(far, any())', 'character 10: any takes at least one term'),
    ('all(right, any(upper, right))', "character 23: 'right' stands there tw"),
    ('right)', r"character 6: '\)' follows a complete term"),
    ('right, upper', r"character 6: ',' .* join terms as in all\(a, b\)"),
    ('2 right', r'character 3: \* must follow the weight 2, as in 2\*realism'),
    ('2*', 'at its end: the text ends, but a name'),
    ('2*3*right', "character 3: '3', but a name"),
    ('0*right', 'character 1: the weight 0 must be above 0'),
    ('1e999*right', 'weight 1e999 must be above 0 and finite'),
    ('-1*right', "character 1: '-' has no meaning here"),
    ('right & upper', "character 7: '&' has no meaning here"),
    ('right + __import__("os")', r"character 7: '\+' has no meaning"),
    ('not(near)', "character 5: 'near' is met by every latent"),
    ('not(all(right, near))', "character 16: 'near' is met by every"),
    ('any(right, near)', "character 12: 'near' is met by every latent"),
    ('not(measured)', "character 5: negate.'measured'.: a penalty has no opp"),
  ],
)
def test_a_mistake_is_one_line_that_says_where(text, said):
  model = lcjax.latent_model(1.0, lambda params, z: z, 2)
  measured = lcjax.on_sample(model, np.sum, 'measured', tolerance=1.0)
  with pytest.raises(errors.UserError, match=said) as caught:
    lcjax.parse_constraint(text, {**PARTS, 'measured': measured})
  assert '\n' not in str(caught.value)
  assert str(caught.value).startswith(f'text={text!r}, ')


def test_near_may_stand_in_all():
  text = 'all(right, not(any(not(near), not(upper))))'
  np.testing.assert_array_equal(met(lcjax.parse_constraint(text, PARTS)), R & U)


def test_names_that_no_text_can_have():
  for name in ('not', 'a b', '2x', 'é', ''):
    with pytest.raises(errors.UserError, match='cannot be the name'):
      lcjax.parse_constraint('right', {'right': RIGHT, name: UPPER})

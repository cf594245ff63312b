"""Hints fit in a line."""

import pytest

from lcjax import errors


@pytest.mark.parametrize(
  ('count', 'said'),
  [
    (1, 'n0'),
    (6, 'n0, n1, n2, n3, n4, n5'),
    (40, 'n0, n1, n2, n3, n4 and 35 more'),
  ],
)
def test_of_many_names_the_first_are_listed(count, said):
  names = [f'n{i}' for i in range(count)]
  assert errors.listed(names) == said
  assert errors.nearest('something else', names) == f'there are {said}'


def test_a_near_name_is_offered_alone():
  assert errors.nearest('Smilng', ['Male', 'Smiling']) == (
    'did you mean Smiling?'
  )

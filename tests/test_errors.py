"""Hints in error messages fit in one line."""

import pytest

from lcjax import errors


@pytest.mark.parametrize(
  ('count', 'expected'),
  [
    (1, 'n0'),
    (6, 'n0, n1, n2, n3, n4, n5'),
    (40, 'n0, n1, n2, n3, n4 and 35 more'),
  ],
)
def test_of_many_names_the_first_are_listed(count, expected):
  names = [f'n{i}' for i in range(count)]
  assert errors.listed(names) == expected
  assert errors.nearest('something else', names) == f'there are {expected}'


def test_a_close_match_is_the_only_hint():
  assert errors.nearest('Smilng', ['Male', 'Smiling']) == (
    'did you mean Smiling?'
  )

"""A target must have what its constraint needs."""

import jax.numpy as jnp
import pytest

from lcjax import errors
from lcjax.constraints import base, near


def test_a_missing_target_is_named():
  constraint = near.Near(jnp.ones(2), name='close')
  base.check_target(constraint, {'close': jnp.zeros(2), 'other': 1})
  with pytest.raises(
    errors.UserError, match=r"target: no 'close', .* there is other"
  ):
    base.check_target(constraint, {'other': 1})
  with pytest.raises(errors.UserError, match='there is nothing'):
    base.check_target(constraint, {})

"""`module.apply` as a value, which losses and constraints take for a module."""

import dataclasses
from collections.abc import Callable
from typing import Any

from flax import linen as nn


@dataclasses.dataclass(frozen=True)
class Apply:
  """(params, arrays) -> arrays of one method of a module.

  Equal and of equal hash for equal modules, where two of their `.apply` differ:
  so whatever is compiled for one serves the other.

  Attributes:
    module: a Flax module.
    method: its name, or a function (module, arrays) -> arrays at the top of a
      file; `__call__` if None.
  """

  module: nn.Module
  method: str | Callable[..., Any] | None = None

  def __call__(self, params: Any, *arrays: Any) -> Any:
    """What the method returns."""
    return self.module.apply(params, *arrays, method=self.method)

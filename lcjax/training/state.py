"""The state of a training, for any set of networks."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

Params = Any


@flax.struct.dataclass
class NetworkState:
  """The training state of one network.

  Attributes:
    step: int32 scalar array; number of updates, including skipped ones. It may
      be below the training's step: a network may take no update in one step.
    params: the network's parameters.
    opt_state: of the optax transformation.
    average: biased exponential moving average of the parameters, initialised
      to zero; None if not kept. Read it through `averaged`.
    nonfinite: int32 scalar array; updates whose gradients had a NaN or inf.
  """

  step: jax.Array
  params: Params
  opt_state: Any
  average: Params | None
  nonfinite: jax.Array


@flax.struct.dataclass
class TrainState:
  """The state of a training.

  Attributes:
    step: int32 scalar array; steps taken.
    networks: all networks of the training, by name.
  """

  step: jax.Array
  networks: dict[str, NetworkState]

  def __getitem__(self, name: str) -> NetworkState:
    """The network of this name."""
    return self.networks[name]


def create(networks: Mapping[str, NetworkState]) -> TrainState:
  """The state of a training before its first step."""
  return TrainState(jnp.int32(0), dict(networks))


def create_network(
  params: Params, tx: optax.GradientTransformation, average: bool
) -> NetworkState:
  """The state of a network before its first update.

  Args:
    params: initial parameters.
    tx: the optimiser.
    average: whether to keep a moving average of the parameters.
  """
  zeros = jax.tree.map(jnp.zeros_like, params) if average else None
  return NetworkState(
    jnp.int32(0), params, tx.init(params), zeros, nonfinite=jnp.int32(0)
  )


def averaged(network: NetworkState, decay: float) -> Params:
  """The debiased moving average, or the parameters if none is kept.

  The average starts from zero and is divided by 1 - decay^updates, as Adam
  debiases its moments. So it does not include the random initial parameters.
  Skipped updates add nothing to the average and are not counted.

  Args:
    network: before its first update, its parameters are returned.
    decay: of the moving average, as in training.
  """
  if network.average is None:
    return network.params
  updates = network.step - network.nonfinite
  correction = 1.0 - jnp.float32(decay) ** jnp.maximum(updates, 1)
  return jax.tree.map(
    lambda a, p: jnp.where(updates > 0, a / correction, p),
    network.average,
    network.params,
  )

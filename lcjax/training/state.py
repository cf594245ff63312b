"""What a training carries from step to step, for any set of networks."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

Params = Any


@flax.struct.dataclass
class NetworkState:
  """One network in training.

  Attributes:
    step: int32 scalar array; updates asked for, skipped ones too. Not the
      steps of the training: a network may take none, or two, in one of those.
    params: the network's parameters.
    opt_state: of the optax transformation.
    average: exponential moving sum of the parameters from zero on, or None;
      read it through `averaged`.
    nonfinite: int32 scalar array; updates whose gradients held a NaN or inf.
  """

  step: jax.Array
  params: Params
  opt_state: Any
  average: Params | None
  nonfinite: jax.Array


@flax.struct.dataclass
class TrainState:
  """A training: its networks by name.

  Attributes:
    step: int32 scalar array; steps taken.
    networks: every network of the training.
  """

  step: jax.Array
  networks: dict[str, NetworkState]

  def __getitem__(self, name: str) -> NetworkState:
    """One network by its name."""
    return self.networks[name]


def create(networks: Mapping[str, NetworkState]) -> TrainState:
  """A training before its first step."""
  return TrainState(jnp.int32(0), dict(networks))


def create_network(
  params: Params, tx: optax.GradientTransformation, average: bool
) -> NetworkState:
  """A network before its first update.

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
  """The debiased moving average, or the parameters where none is kept.

  Started from zero and divided by 1 - decay^updates (as Adam debiases its
  moments), the average never holds a trace of the random start. An update that
  was skipped for its gradients has added nothing to the average.

  Args:
    network: before its first update, its parameters are their own average.
    decay: that the average was made with.
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

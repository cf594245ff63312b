"""What a training carries from step to step."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

Params = Any


@flax.struct.dataclass
class TrainState:
  """One network in training.

  Attributes:
    step: int32 scalar array; steps so far, skipped ones too.
    params: the network's parameters.
    opt_state: of the optax transformation.
    average: exponential moving sum of the parameters from zero on, or None;
      read it through `averaged`.
    nonfinite: int32 scalar array; steps whose gradients held a NaN or inf.
  """

  step: jax.Array
  params: Params
  opt_state: Any
  average: Params | None
  nonfinite: jax.Array


@flax.struct.dataclass
class ActorCriticState:
  """The actor G(z, y) and its critic D(z, y).

  Attributes:
    step: int32 scalar array; critic updates taken.
    actor: of G.
    critic: of D.
  """

  step: jax.Array
  actor: TrainState
  critic: TrainState


@flax.struct.dataclass
class LatentCriticsState:
  """The critics whose sum optimizer-G descends.

  Attributes:
    step: int32 scalar array; updates taken.
    attribute: of D_attr(z).
    realism: of D_realism(z).
  """

  step: jax.Array
  attribute: TrainState
  realism: TrainState


@flax.struct.dataclass
class DenoiserState:
  """The guided denoiser's two networks of noised latents.

  Attributes:
    step: int32 scalar array; updates taken.
    velocity: of the denoiser, which predicts the velocity of z_t.
    attribute: of D_attr(z_t, t).
  """

  step: jax.Array
  velocity: TrainState
  attribute: TrainState


def create(
  params: Params, tx: optax.GradientTransformation, average: bool
) -> TrainState:
  """A state before its first step.

  Args:
    params: initial parameters.
    tx: the optimiser.
    average: whether to keep a moving average of the parameters.
  """
  zeros = jax.tree.map(jnp.zeros_like, params) if average else None
  return TrainState(
    jnp.int32(0), params, tx.init(params), zeros, nonfinite=jnp.int32(0)
  )


def averaged(state: TrainState, decay: float) -> Params:
  """The debiased moving average, or the parameters where none is kept.

  Started from zero and divided by 1 - decay^updates (as Adam debiases its
  moments), the average never holds a trace of the random start. A step that
  was skipped for its gradients has added nothing to the average.

  Args:
    state: before its first update, its parameters are their own average.
    decay: that the average was made with.
  """
  if state.average is None:
    return state.params
  updates = state.step - state.nonfinite
  correction = 1.0 - jnp.float32(decay) ** jnp.maximum(updates, 1)
  return jax.tree.map(
    lambda a, p: jnp.where(updates > 0, a / correction, p),
    state.average,
    state.params,
  )

"""An ensemble: several trainings of equal shapes as one compiled program.

A member is one of the trainings: a seed, or an ablation that differs only in
numbers. Trees of members have a leading axis of M, except for the step number,
which the members share.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import sharding

from lcjax.training import runner, steps

# How one device computes its members. `vmap` batches them, which suits an
# accelerator. On CPU, a single member keeps a core busy and batching gains
# nothing, so each core computes its members one after another: in a loop
# (`map`), or unrolled for convolutions, which are slow inside lax loops on CPU
# (`unroll`).
Way = Literal['vmap', 'map', 'unroll']

_AXIS = 'member'


class Ensemble(NamedTuple):
  """A compiled step of M members.

  Attributes:
    step: (packed state, packed batches [P, K, B, ...], key) -> (packed state,
      metrics [P]). The key is not used: every member has its own. The input
      state is donated.
    pack: a tree of M members -> one of P >= M rows, sharded over the devices.
    unpack: the inverse, to host arrays.
    rows: [P] the member of every row. Padding rows repeat the last member;
      with `map`, they are skipped at run time.
  """

  step: steps.Step
  pack: Callable[[Any], Any]
  unpack: Callable[[Any], Any]
  rows: np.ndarray


def stack(members: Sequence[Any]) -> Any:
  """Stacks the states of M members; they share the scalar `step`."""
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
  return dataclasses.replace(stacked, step=members[0].step)


def member(stacked: Any, index: int) -> Any:
  """The state of one member."""
  bare = dataclasses.replace(stacked, step=())
  found = jax.tree.map(lambda leaf: leaf[index], bare)
  return dataclasses.replace(found, step=stacked.step)


def program(compiled: Ensemble, count: int) -> runner.Program:
  """The program of `count` compiled members, for the runner."""

  def unpack(state: Any) -> Any:
    return jax.tree.map(jnp.asarray, compiled.unpack(state))

  return runner.Program(
    compiled.step,
    compiled.pack,
    unpack,
    members=lambda state: [member(state, index) for index in range(count)],
    metrics=lambda metrics: [
      {name: values[index] for name, values in metrics.items()}
      for index in range(count)
    ],
  )


def over_members(fn: Callable[..., Any], way: Way) -> Callable[..., Any]:
  """Maps `fn`, which takes the trees of one member, over the members' axis."""
  if way == 'vmap':
    return jax.vmap(fn)
  if way == 'map':
    return lambda *trees: jax.lax.map(lambda one: fn(*one), trees)

  def unrolled(*trees: Any) -> Any:
    count = len(jax.tree.leaves(trees)[0])
    found = [
      fn(*jax.tree.map(lambda leaf, i=i: leaf[i], trees)) for i in range(count)
    ]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)

  return unrolled


def compile_ensemble(
  make_step: Callable[[Any], steps.Step],
  given: Any,
  keys: jax.Array,
  devices: Sequence[jax.Device],
  way: Way,
  skip_nonfinite: bool = False,
) -> Ensemble:
  """Compiles the steps of M members as one program, sharded over devices.

  Members are independent, so devices exchange nothing. On CPU, each virtual
  device keeps one core busy.

  Args:
    make_step: `given` of one member -> its pure step.
    given: tree of arrays [M, ...] in which the members differ: numbers of
      their configs and constants of their steps.
    keys: [M] keys, each for the complete training of a member.
    devices: that share the members; at most M of them are used.
    way: how one device computes its members.
    skip_nonfinite: as in `steps.scan_steps`.
  """
  devices = devices[: len(keys)]
  padded = math.ceil(len(keys) / len(devices)) * len(devices)
  rows = np.minimum(np.arange(padded), len(keys) - 1)
  mesh = sharding.Mesh(np.asarray(devices), (_AXIS,))
  by_member = sharding.NamedSharding(mesh, sharding.PartitionSpec(_AXIS))
  shared = sharding.NamedSharding(mesh, sharding.PartitionSpec())

  def one_shard(
    state: Any, step: jax.Array, batches: Any, keys: jax.Array, given: Any
  ) -> tuple[Any, steps.Metrics]:
    def one(state: Any, batches: Any, key: jax.Array, given: Any) -> Any:
      given, fills = given

      def take(state: Any) -> tuple[Any, steps.Metrics]:
        # `step` has no members' axis, so that vmap keeps a `lax.cond` on it
        # instead of computing both branches.
        whole = dataclasses.replace(state, step=step)
        many = steps.scan_steps(make_step(given), skip_nonfinite)
        new, metrics = many(whole, batches, key)
        return dataclasses.replace(new, step=()), metrics

      if way != 'map':
        return take(state)
      none = jax.tree.map(
        lambda one: jnp.zeros(one.shape, one.dtype),
        jax.eval_shape(take, state)[1],
      )
      return jax.lax.cond(fills, lambda own: (own, none), take, state)

    return over_members(one, way)(state, batches, keys, given)

  def all_shards(
    state: Any, batches: Any, keys: jax.Array, given: Any
  ) -> tuple[Any, steps.Metrics]:
    spec = sharding.PartitionSpec(_AXIS)
    mapped = jax.shard_map(
      one_shard,
      mesh=mesh,
      in_specs=(spec, sharding.PartitionSpec(), spec, spec, spec),
      out_specs=spec,
      check_vma=False,
    )
    bare = dataclasses.replace(state, step=())
    new, metrics = mapped(bare, state.step, batches, keys, given)
    count = jax.tree.leaves(batches)[0].shape[1]
    return dataclasses.replace(new, step=state.step + count), metrics

  jitted = jax.jit(all_shards, donate_argnums=0)

  def place(tree: Any) -> Any:
    taken = jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], tree)
    return jax.device_put(taken, by_member)

  def pack(state: Any) -> Any:
    packed = place(dataclasses.replace(state, step=()))
    # A copy, because the packed state is donated and the input state is not.
    step = jax.device_put(jnp.array(state.step, copy=True), shared)
    return dataclasses.replace(packed, step=step)

  def unpack(state: Any) -> Any:
    state = jax.device_get(state)
    bare = dataclasses.replace(state, step=())
    found = jax.tree.map(lambda leaf: leaf[: len(keys)], bare)
    return dataclasses.replace(found, step=state.step)

  fills = jax.device_put(np.arange(padded) >= len(keys), by_member)
  own_keys, own_given = place(keys), (place(given), fills)

  def step(
    state: Any, batches: steps.Batch, key: jax.Array
  ) -> tuple[Any, steps.Metrics]:
    del key
    batches = jax.device_put(batches, by_member)
    return jitted(state, batches, own_keys, own_given)

  return Ensemble(step, pack, unpack, rows)

"""How long a step of several seeds takes, together and one after the other."""

import time

import jax
import ml_collections
import numpy as np
from etils import epath

from launch import (
  experiment,
  inputs,
  stage,
  startup,
  tasks,
  together,
  train_actor_critic,
  training,
)
from lcjax.training import members, steps


def untrained(
  config: ml_collections.ConfigDict, which: stage.Stage, num_seeds: int
) -> tuple[list[tasks.Task], list[training.Training]]:
  """Trainings of several seeds; those on encodings take a fresh VAE's.

  Args:
    config: of the experiment.
    which: stage of the trainings.
    num_seeds: how many.
  """
  job = startup.Job(config, epath.Path('nowhere'))
  read = inputs.Inputs()
  wanted = [tasks.Task('default', job, which, r) for r in range(num_seeds)]
  if which in (stage.VAE, stage.CLASSIFIER):
    return wanted, [inputs.describe(read, task) for task in wanted]
  data, held_out = read.data(job)
  networks = experiment.build_networks(config, data)
  image = np.zeros((1, *data.image_shape), np.float32)
  described = []
  for task in wanted:
    seed = config.seed + task.repeat
    params = networks.vae.init(experiment.stage_key(seed, 'vae/init'), image)
    train, validation = (
      train_actor_critic.encode(config, networks, params, split)
      for split in (data, held_out)
    )
    setting = train_actor_critic.Setting(
      networks, train, validation, data.exclusive, seed
    )
    described.append(inputs.describe_latent(task, setting))
  return wanted, described


def seeds_together(
  config: ml_collections.ConfigDict,
  which: stage.Stage = stage.ACTOR_CRITIC,
  num_seeds: int = 5,
  num_rounds: int = 5,
) -> dict[str, float]:
  """Times a step of all seeds: as one program, and each by its own.

  Both ways take turns, so that a machine that slows down slows both. On a CPU
  the members share its virtual devices: call `together.use_all_cores` before
  JAX starts. Where cores are not free, look at the CPU seconds.

  Args:
    config: of the experiment.
    which: stage of the trainings.
    num_seeds: members.
    num_rounds: turns of one call of `steps_per_call` steps each.

  Returns:
    For 'together' and 'apart' medians of 'NAME' seconds and 'NAME_cpu' CPU
    seconds per step of all seeds, and the 'NAME_first' seconds of the first
    turn, compilation included; 'ratio': the median over turns of apart over
    together.
  """
  group, described = untrained(config, which, num_seeds)
  schedule = config[which.section].train
  count, skip = schedule.steps_per_call, schedule.nonfinite == 'skip'
  compiled = together.compile_group(group, described)
  batches = together.make_batches(described, compiled.rows)(0, count)
  packed = compiled.pack(members.stack([one.make_state() for one in described]))
  alone = [
    jax.jit(steps.scan_steps(one.make_step(config, one.constants, None), skip))
    for one in described
  ]
  states = [one.make_state() for one in described]
  own = [one.make_batches(0, count) for one in described]

  def run_together() -> None:
    nonlocal packed
    packed, _ = compiled.step(packed, batches, described[0].key)
    jax.block_until_ready(packed)

  def run_apart() -> None:
    for index, step in enumerate(alone):
      states[index], _ = step(states[index], own[index], described[index].key)
      jax.block_until_ready(states[index])

  ways = {'together': run_together, 'apart': run_apart}
  wall: dict[str, list[float]] = {name: [] for name in ways}
  cpu: dict[str, list[float]] = {name: [] for name in ways}
  for _ in range(num_rounds + 1):  # the first turn compiles
    for name, way in ways.items():
      started = time.perf_counter(), time.process_time()
      way()
      wall[name].append(time.perf_counter() - started[0])
      cpu[name].append(time.process_time() - started[1])
  found = {}
  for name in ways:
    found[name] = float(np.median(wall[name][1:])) / count
    found[f'{name}_cpu'] = float(np.median(cpu[name][1:])) / count
    found[f'{name}_first'] = wall[name][0]
  ratios = np.divide(wall['apart'][1:], wall['together'][1:])
  return found | {'ratio': float(np.median(ratios))}

r"""Times training steps of several seeds, as an ensemble and one by one.

python -m launch.benchmarks.seed_ensemble --config=configs/digits.py \
  --workdir=runs/benchmark

Prints JSON. This is a separate process because the number of virtual CPU
devices is fixed when JAX starts.
"""

import json

import jax
import ml_collections
import numpy as np
from absl import flags
from etils import epath

from launch import startup
from launch.benchmarks import rounds
from lcjax.experiment import (
  build,
  ensembles,
  generator,
  jobs,
  stage,
  tasks,
  train_actor_critic,
  trainers,
  training_parts,
)
from lcjax.training import ensemble, steps


def untrained(
  config: ml_collections.ConfigDict, which: stage.Stage, num_seeds: int
) -> tuple[list[tasks.Task], list[training_parts.Training]]:
  """Trainings of several seeds; encodings come from an untrained VAE.

  Args:
    config: of the experiment.
    which: stage of the trainings.
    num_seeds: number of trainings.
  """
  job = jobs.Job(config, epath.Path('nowhere'))
  read = trainers.Inputs()
  wanted = [tasks.Task('default', job, which, r) for r in range(num_seeds)]
  if which in (stage.VAE, *stage.CLASSIFIERS):
    return wanted, [trainers.make_training(read, task) for task in wanted]
  data, held_out = build.load_splits(job)
  networks = build.build_networks(config, data)
  image = np.zeros((1, *data.image_shape), np.float32)
  trainings = []
  for task in wanted:
    seed = config.seed + task.replicate
    assert networks.vae is not None
    params = networks.vae.init(build.stage_key(seed, 'vae/init'), image)
    model = generator.of_vae(config, networks, params)
    train, validation = (
      generator.encode(config, model, split) for split in (data, held_out)
    )
    latents = train_actor_critic.LatentData(
      networks, train, validation, data.labels, seed
    )
    trainings.append(trainers.make_latent_training(task, latents))
  return wanted, trainings


def contenders(
  config: ml_collections.ConfigDict, which: stage.Stage, num_seeds: int
) -> dict[str, rounds.Contender]:
  """A step of all seeds, as one program ('together') and one by one ('apart').

  On a CPU the members are spread over virtual devices: call
  `ensembles.use_all_cores` before JAX starts.

  Args:
    config: of the experiment.
    which: stage of the trainings.
    num_seeds: number of members.
  """
  group, trainings = untrained(config, which, num_seeds)
  schedule = config[which.section].train
  count, skip = schedule.steps_per_call, schedule.nonfinite == 'skip'
  compiled = ensembles.compile_group(group, trainings)
  batches = ensembles.make_batches(trainings, compiled.rows)(0, count)
  packed = compiled.pack(
    ensemble.stack([one.make_state() for one in trainings])
  )
  alone = [
    jax.jit(steps.scan_steps(one.make_step(config, one.constants, None), skip))
    for one in trainings
  ]
  states = [one.make_state() for one in trainings]
  own = [one.make_batches(0, count) for one in trainings]

  def run_ensemble(num_steps: int) -> None:
    nonlocal packed
    for _ in range(num_steps // count):
      packed, _ = compiled.step(packed, batches, trainings[0].key)
    jax.block_until_ready(packed)

  def run_apart(num_steps: int) -> None:
    for index, step in enumerate(alone):
      for _ in range(num_steps // count):
        states[index], _ = step(states[index], own[index], trainings[index].key)
      jax.block_until_ready(states[index])

  return {
    'together': rounds.Contender(run_ensemble, count),
    'apart': rounds.Contender(run_apart, count),
  }


def define_flags() -> None:
  """Defines the flags of this program."""
  flags.DEFINE_string('stage', 'actor_critic', 'actor_critic or vae.')
  flags.DEFINE_integer('num_seeds', 5, 'Members of the ensemble.')
  flags.DEFINE_integer('rounds', 9, 'Number of interleaved rounds.')
  flags.DEFINE_float('seconds', 1.0, 'Approximate duration of a turn.')


def main() -> None:
  """Prints seconds per step of all seeds in every round, as JSON."""
  job = startup.job()
  given = flags.FLAGS
  which = {'actor_critic': stage.ACTOR_CRITIC, 'vae': stage.VAE}[given.stage]
  both = contenders(job.config, which, given.num_seeds)
  print(json.dumps(rounds.interleave(both, given.rounds, given.seconds)))


if __name__ == '__main__':
  define_flags()
  startup.run(main, ensembles.use_all_cores)

"""Optimizer-G against a PyTorch loop, on the same trained critics."""

import itertools

import jax
import numpy as np

from launch.benchmarks import ours, rounds, torch_latents, torch_peer
from lcjax.experiment import (
  build,
  loading,
  movers,
  stage,
  train_actor_critic,
  training_parts,
)
from lcjax.training import state

_BATCH_SIZES = (64, 256, 1024)
_MAX_STEPS = 100
_BAR = 4.0
# Weaker conditions, so that rows converge early and stop early.
_EARLY = 'realism_threshold .5, attribute_tolerance .1, '


def optimizer_g(options: ours.Options) -> list[rounds.Measurement]:
  """Latents moved from the prior, until all converge or after 100 steps.

  Raises:
    UserError: PyTorch is missing, or the workdir has no trained critics.
  """
  job = options.job
  config = job.config
  data = build.load_data(job, 'train')
  networks = build.build_networks(config, data)
  # Report a missing training before anything slow.
  critics = training_parts.load(
    job,
    stage.LATENT_CRITICS,
    0,
    train_actor_critic.make_critics_state(config, networks, config.seed),
  ).state
  torch_peer.torch_module(ours.num_threads())
  bound = loading.load_critics(job, 0, data)
  decay = config.latent_critics.average_decay
  attribute, realism = (
    jax.device_get(state.averaged(one, decay))
    for one in (critics['attribute'], critics['realism'])
  )
  early = config.optimize.copy_and_resolve_references()
  early.update(realism_threshold=0.5, attribute_tolerance=0.1)
  found = []
  for (case, section), batch_size in itertools.product(
    {'': config.optimize, _EARLY: early}.items(), _BATCH_SIZES
  ):
    peer = torch_latents.optimizer_g(
      attribute,
      realism,
      config.latent_critics.activation,
      section,
      bound.train.mean_scale,
      bound.labels,
    )
    max_steps = min(_MAX_STEPS, section.max_steps)
    optimizer = movers.make_optimizer(bound, section, max_steps=max_steps)
    rng = np.random.default_rng(batch_size)
    start = rng.standard_normal(
      (batch_size, config.vae.latent_size), np.float32
    )
    y = data.attributes[rng.integers(0, len(data), batch_size)]
    kept: dict[str, np.ndarray] = {}

    def advance_ours(
      count: int,
      given: tuple = (optimizer, start, y),
      move=movers.move,
      kept=kept,
    ) -> None:
      for _ in range(count):
        moved = move(*given)
      kept['ours'], kept['steps'] = moved.satisfied, moved.steps

    def advance_peer(
      count: int, given: tuple = (start, y, max_steps), move=peer, kept=kept
    ) -> None:
      for _ in range(count):
        kept['peer'] = move(*given)[1]

    taken = rounds.interleave(
      {
        'ours': rounds.Contender(advance_ours),
        torch_peer.EAGER: rounds.Contender(advance_peer),
      },
      options.num_rounds,
      options.seconds,
    )
    found += [
      measurement._replace(
        details={
          **measurement.details,
          'satisfied': float(np.mean(kept['ours'])),
          'satisfied_of_peer': float(np.mean(kept['peer'])),
          'mean_steps': float(np.mean(kept['steps'])),
          'last_step': int(np.max(kept['steps'])),
        }
      )
      for measurement in rounds.against(
        taken, {torch_peer.EAGER: _BAR}, case=f'{case}batch {batch_size}'
      )
    ]
  return found

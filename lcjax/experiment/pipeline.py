"""Every stage of one experiment, in order: the main job."""

import time

from lcjax.experiment import (
  compare,
  files,
  generate,
  jobs,
  movers,
  preflight,
  results,
  train_actor_critic,
  train_classifier,
  train_denoiser,
  train_vae,
)


def generate_once(job: jobs.Job) -> None:
  """Samples by every mover, and images moved by every mover."""
  done = job.workdir / 'generate' / 'pipeline.json'
  key = results.result_key(job, ['generate'], 0)
  if results.stored(job, done, key) is not None:
    print('generate: finished before, nothing to do')
    return
  names = movers.names(job.config)
  requests = [('prior', mover) for mover in ('none', *names)]
  requests += [('encodings', mover) for mover in names]
  generate.generate(job, requests, labels=[], images=[])
  files.write_json(done, key)


def train_and_compare(job: jobs.Job) -> None:
  """Runs what has not been run."""
  preflight.check_pipeline(job, trains=True, further_splits=('test',))
  started = time.perf_counter()
  train_classifier.train_all(job)
  train_vae.train_all(job)
  for replicate in range(job.config.num_seeds):
    latents = train_actor_critic.prepare(
      job, replicate
    )  # encoded once for both
    train_actor_critic.train(job, replicate, latents)
    train_denoiser.train(job, replicate, latents)
  generate_once(job)
  compare.compare_all(job)
  print(f'pipeline: {time.perf_counter() - started:.0f} s')

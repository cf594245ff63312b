"""Runs all stages of one experiment in order."""

import time

from lcjax.experiment import (
  compare,
  files,
  generate,
  jobs,
  preflight,
  results,
  stage,
  train_rules,
  trainers,
)


def generate_once(job: jobs.Job) -> None:
  """Moves prior samples and encodings with every mover, unless done."""
  done = job.workdir / 'generate' / 'pipeline.json'
  key = results.result_key(job, stage.GENERATED, 0)
  if results.stored(job, done, key) is not None:
    print('generate: finished before, nothing to do')
    return
  requests = generate.every_request(job.config)
  generate.generate(job, requests, labels=[], images=[])
  files.write_json(done, key)


def train_and_compare(job: jobs.Job) -> None:
  """Trains, generates and compares; skips what is finished."""
  preflight.check_pipeline(job, trains=True, further_splits=('test',))
  started = time.perf_counter()
  trainers.train_all(job, *(one.section for one in stage.CLASSIFIERS))
  trainers.train_all(job, *(one.section for one in stage.MODEL_STAGES))
  trainers.train_all(job, 'latent_critics', 'actor_critic', 'denoiser')
  train_rules.train_all(job)
  generate_once(job)
  compare.compare_all(job)
  print(f'pipeline: {time.perf_counter() - started:.0f} s')

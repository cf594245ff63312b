"""What a result follows from, as one nested mapping, a *fingerprint*.

A node (`stage.Node`) of a job has, for each replicate, the config sections that
it reads and the seed; under `READ`, digests of its data by split; and under
`TRAININGS`, digests of the parameters that it was made with. From this follow
whether two results are the same (`text`), whether trainings can form an
ensemble (`program`), and whether a stored result is up to date, which
`lcjax.training.provenance` compares and words.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

import ml_collections

from lcjax import keys
from lcjax.data import dataset
from lcjax.experiment import (
  build,
  extensions,
  external,
  jobs,
  rule_entries,
  stage,
)
from lcjax.training import checkpoints, provenance
from lcjax.training.provenance import READ

TRAININGS = 'trainings'

# Keys that affect no result, although a section with them is read: places of
# files, and which further actors there are, which are trainings of their own.
_NO_RESULT = {
  'data': ('dir', 'cache_dir'),
  'actor_critic': ('more_distance_weights',),
}
# Keys of its section that the labeller's own training does not read.
_OF_DRAWS = 'num_samples', 'kept_share'
# Keys of a `train` section that may change before a training is resumed.
_HOUSEKEEPING = (
  'log_every',
  'evaluate_every',
  'checkpoint_every',
  'keep',
  'keep_every',
  'nonfinite',  # so that a stopped training can be resumed with 'skip'
)


def settings(
  config: ml_collections.ConfigDict, node: stage.Node, replicate: int
) -> dict[str, Any]:
  """The part of the config, with the seed, that determines a result."""
  whole = stage.own_config(config, node).to_dict()
  names = stage.read_sections(config, node, node.sections)
  found = {name: whole[name] for name in names}
  for name, section in found.items():
    if not isinstance(section, dict):  # a key without a section
      continue
    for key in _NO_RESULT.get(name, ()):
      del section[key]
    for key in _HOUSEKEEPING:
      section.get('train', {}).pop(key, None)
    # A user's own file may change under the same name.
    section |= extensions.source(
      section.get('divergence'), f'config.{name}.divergence'
    )
  if node == stage.LABELLER:
    for key in _OF_DRAWS:
      del found['labeller'][key]
  if config.data.name not in dataset.CROPPED:
    del found['data']['background']  # only affects users' images in `generate`
  if 'generator' in found:
    found['generator'] |= external.identity(config)
  elif 'generator' in node.sections and isinstance(node, stage.Stage):
    # So that a training on latents of the user's own model is refused.
    found['generator'] = {'kind': config.generator.kind}
  return found | {'seed': config.seed + replicate}


def parameters(
  job: jobs.Job, sections: Collection[str], replicate: int
) -> dict[str, Any]:
  """Identifies the trainings that a replicate has now, by stage name.

  The value is the digest of the parameters, or None if there is no checkpoint;
  of the user's own model, which is among them, all of its digests.
  Older versions stored no digest; for their trainings it is the wall time,
  which is different, in its last digits, for every training.

  Args:
    job: config and workdir of the run.
    sections: config sections of the trainings.
    replicate: index from 0.
  """
  found: dict[str, Any] = {}
  model = stage.model_sections(job.config)
  for one in stage.trainings(job.config, sections):
    at = stage.replicate_of(one, replicate)
    meta = checkpoints.latest_meta(stage.folder_of(job.workdir, one, at))
    found[one.name] = None
    if meta is not None:
      found[one.name] = meta[1].get('parameters', meta[1]['seconds'])
  if 'generator' in sections and 'generator' in model:
    found['generator'] = external.identity(job.config)
  return found


def follows_from(
  job: jobs.Job, node: stage.Node, replicate: int
) -> dict[str, Any]:
  """The fingerprint of a node's result, as JSON stores it."""
  node = stage.judged(job.config, node)
  found = settings(job.config, node, replicate)
  found[READ] = build.digests(job, node.splits, node.labels)
  if node.needs:
    needs = stage.read_sections(job.config, node, node.needs)
    found[TRAININGS] = parameters(job, needs, replicate)
  if 'constraints' in node.sections:
    # A result is made again after a change of a user's own file, too.
    found[TRAININGS] |= extensions.sources(job.config)
    found[TRAININGS] |= rule_entries.parameters(job, replicate)
  return dict(json.loads(json.dumps(found)))


def text(found: Mapping[str, Any]) -> str:
  """Serialises a mapping as text; equal mappings give equal text."""
  return json.dumps(found, sort_keys=True)


def program(
  job: jobs.Job, which: stage.Stage, replicate: int
) -> tuple[str, dict[str, float]]:
  """What a training's step and loop read, split for an ensemble.

  Returns:
    A text that is equal for all that can share a program, and the config's
    floats by dotted key, which may differ.
  """
  found = follows_from(job, which, replicate)
  del found['seed']  # each member has its own key, state and batches
  # Other data may have another kind of labels or other array sizes.
  same: dict[str, Any] = {'section': which.section, READ: found.pop(READ)}
  if 'generator' in which.sections:
    # It reads latents; of the model only their size matters, and what they are.
    for name in stage.GENERATOR:
      found.pop(name, None)
    same['latent_size'] = external.latent_size(job.config)
    same['from_prior'] = external.from_prior(job.config)
  config = stage.own_config(job.config, which)
  found[which.section] = config[which.section].to_dict()  # and `_HOUSEKEEPING`
  found[which.section].pop('seed', None)  # of a judge
  floats = {}
  for key, value in keys.flatten(found).items():
    if not isinstance(value, float) or '.arguments.' in key:
      same[key] = value
      continue
    floats[key] = value
    if key.endswith('.average_decay'):
      same[key] = value > 0  # whether the state holds an average
  return text(same), floats


def advice(
  job: jobs.Job, replicate: int, verb: str = 'trained'
) -> provenance.Advice:
  """Context for the error if a stored result does not match the job."""
  return provenance.Advice(
    replicate, job.varied, verb, defaults=job.defaults, upgrade=keys.upgrade
  )

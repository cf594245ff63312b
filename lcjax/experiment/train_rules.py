"""Learns the rules of `config.constraints`, once per replicate.

WORKDIR/rules/NAME/ has learned.npz, which holds the last finished round until
all is learned, report.json, and metrics.jsonl with a line per round. All of
them follow from config, VAE and data: a run that was killed goes on from its
last round to the same bytes, except for the seconds.
"""

import dataclasses
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import traverse_util

from lcjax import errors
from lcjax.constraints import learn_rule, rule_critic, rule_rounds
from lcjax.data import dataset
from lcjax.experiment import (
  build,
  extensions,
  external,
  files,
  fingerprint,
  generator,
  jobs,
  rule_entries,
  stage,
)
from lcjax.generators import latent_model
from lcjax.movers import starts
from lcjax.training import checkpoints, metrics_log, provenance

LAUNCHER = 'train_rules'
FILE = 'learned.npz'
_KEY = 'follows_from'
_MIXTURE_ROWS = 10_000  # that the start is fitted to
_VAE = 'trained_vae'


def follows_from(
  job: jobs.Job, replicate: int, entry: rule_entries.Entry
) -> dict[str, Any]:
  """The fingerprint of what is learned of a rule.

  The constraint's weight and all other constraints have no part in it.
  """
  found = fingerprint.follows_from(job, stage.RULE, replicate)
  trainings = found.pop(fingerprint.TRAININGS)
  found['constraints'] = {entry.name: entry.settings}
  found['rule_files'] = extensions.source(entry.rule, f'{entry.what}.rule')
  # Of a user's own model, all that stands in the place of the VAE.
  found[_VAE] = trainings.get(stage.VAE.name, trainings)
  return dict(json.loads(json.dumps(found)))


def _command(job: jobs.Job) -> str:
  return job.command(LAUNCHER)


def _read(
  job: jobs.Job, replicate: int, entry: rule_entries.Entry
) -> dict[str, np.ndarray] | None:
  """What is stored of a rule; None if nothing is, or of another VAE.

  Raises:
    UserError: it is damaged, or of another config or other data.
  """
  path = rule_entries.folder_of(job.workdir, replicate, entry.name) / FILE
  if not path.exists():
    return None
  try:
    arrays = files.read_npz(path)
    key = json.loads(str(arrays[_KEY]))
    is_same_vae = key.pop(_VAE) == _now(job, replicate, entry)[1]
  except files.DAMAGE as error:
    raise errors.UserError(
      f'{path} is damaged ({type(error).__name__}: {error}): --overwrite to '
      f'learn it again ({_command(job)} --overwrite)'
    ) from error
  provenance.check(
    stage.root_of(job.workdir, replicate),
    path.parent,
    key,
    _now(job, replicate, entry)[0],
    fingerprint.advice(job, replicate),
  )
  return arrays if is_same_vae else None


def _now(
  job: jobs.Job, replicate: int, entry: rule_entries.Entry
) -> tuple[dict[str, Any], Any]:
  """The fingerprint without the VAE's parameters, and these."""
  key = follows_from(job, replicate, entry)
  return key, key.pop(_VAE)


def load(
  job: jobs.Job, replicate: int, entry: rule_entries.Entry
) -> rule_critic.RuleCritic:
  """Reads the constraint that is learned of a rule.

  Raises:
    UserError: it has not been learned, or from other inputs; gives the command
      to run.
  """
  try:
    arrays = _read(job, replicate, entry)
  except errors.UserError as error:
    if '--overwrite)' in str(error):
      raise
    raise errors.UserError(f'{error} ({_command(job)} --overwrite)') from error
  if arrays is None or 'report' not in arrays:
    raise errors.UserError(
      f'the rule {entry.name!r} has not been learned in '
      f'{rule_entries.folder_of(job.workdir, replicate, entry.name)}: run '
      f'{_command(job)}'
    )
  return _constraint(arrays, entry)


def _tree(arrays: Mapping[str, np.ndarray], prefix: str) -> Any:
  """Parameters that `_flat` has named; None if there are none."""
  found = {
    name.removeprefix(f'{prefix}/'): array
    for name, array in arrays.items()
    if name.startswith(f'{prefix}/')
  }
  return traverse_util.unflatten_dict(found, sep='/') if found else None


def _flat(tree: Any, prefix: str) -> dict[str, np.ndarray]:
  flat = traverse_util.flatten_dict(jax.device_get(tree), sep='/')
  return {f'{prefix}/{name}': np.asarray(a) for name, a in flat.items()}


def _constraint(
  arrays: Mapping[str, np.ndarray], entry: rule_entries.Entry
) -> rule_critic.RuleCritic:
  found = rule_critic.make(
    entry.section.hidden_sizes,
    _tree(arrays, 'params'),
    _tree(arrays, 'noised'),
    float(arrays['threshold']),
    entry.name,
    rule_critic.RuleReport(**json.loads(str(arrays['report']))),
  )
  check_fn = rule_critic.Obeys(entry.make(), entry.level)
  return dataclasses.replace(found, check_fn=check_fn)


def _round(arrays: Mapping[str, np.ndarray]) -> rule_rounds.RuleRound:
  """The round that an unfinished file holds."""
  return rule_rounds.RuleRound(
    int(arrays['round']),
    _tree(arrays, 'params'),
    _tree(arrays, 'noised'),
    {
      str(name): rule_rounds.Scored(
        arrays[f'pool/{name}/z'], arrays[f'pool/{name}/scores']
      )
      for name in arrays['pool']
    },
  )


class _Inputs(NamedTuple):
  """What the rules of a replicate are learned from."""

  model: latent_model.LatentModel
  source: latent_model.LatentData


def _prepare(job: jobs.Job, replicate: int, data: dataset.Dataset) -> _Inputs:
  config = job.config
  made = generator.load(job, data, replicate)
  from_prior = external.from_prior(config)
  found = made.latents(data, 'train')
  own = made.model.own_prior
  source = latent_model.LatentData(found, None, from_prior, own)
  return _Inputs(made.model, source)


def _make_start(
  inputs: _Inputs, components: int, seed: int
) -> starts.MixtureStart | None:
  if not components:
    return None
  rng = np.random.default_rng(seed)
  rows = rng.permutation(len(inputs.source.encodings.mean))[:_MIXTURE_ROWS]
  return starts.mixture_start(
    inputs.source.rows(rows), components, seed=seed, labelled=False
  )


def train_all(job: jobs.Job) -> None:
  """Learns every rule of the config, for every seed; skips what is finished.

  Raises:
    UserError: the VAE is not trained; a rule is wrong; or a folder holds a rule
      of another config, data or file, and `job.overwrite` is False.
  """
  for replicate in range(job.config.num_seeds):
    inputs = None
    for entry in rule_entries.entries(job.config).values():
      title = f'rule {entry.name}' + (f' (seed {replicate})' * (replicate > 0))
      try:
        arrays = _read(job, replicate, entry)
      except errors.UserError:
        if not job.overwrite:
          raise
        arrays = None
      if arrays is not None and 'report' in arrays:
        _write_report(job, replicate, entry, arrays)  # if it was killed before
        print(f'{title}: finished before, nothing to do')
        continue
      if inputs is None:
        inputs = _prepare(job, replicate, build.load_data(job, 'train'))
      jobs.note_config(job)
      _learn(job, replicate, entry, inputs, arrays, title)


def _learn(
  job: jobs.Job,
  replicate: int,
  entry: rule_entries.Entry,
  inputs: _Inputs,
  arrays: Mapping[str, np.ndarray] | None,
  title: str,
) -> None:
  """Learns one rule, from its last round on if `arrays` hold one."""
  folder = rule_entries.folder_of(job.workdir, replicate, entry.name)
  key = np.array(json.dumps(follows_from(job, replicate, entry)))
  seed, section = job.config.seed + replicate, entry.section
  resumed = None if arrays is None else _round(arrays)
  if resumed is not None:
    print(f'{title}: resuming after round {resumed.number}')
  spent = 0.0 if arrays is None else float(arrays['seconds'])
  started = time.perf_counter() - spent
  first = 0 if resumed is None else resumed.number + 1
  jobs.try_to_write(
    job.workdir, lambda: folder.mkdir(parents=True, exist_ok=True)
  )
  log = metrics_log.MetricsLog(folder, title, 1, first)

  def store(state: rule_rounds.RuleRound) -> None:
    rates = state.rates(entry.level)
    calls = sum(len(scored.z) for scored in state.pool.values())
    values = {f'rate_{name}': rate for name, rate in rates.items()}
    log.write(state.number + 1, {'rule_calls': float(calls)} | values, 'train')
    log.sync()
    pool = {
      f'pool/{name}/{field}': array
      for name, scored in state.pool.items()
      for field, array in scored._asdict().items()
    }
    files.write_npz(
      folder / FILE,
      **{_KEY: key, 'round': np.array(state.number)},
      **{'pool': np.array(list(state.pool)), **pool},
      **_flat(state.params, 'params'),
      **_flat(state.noised_params, 'noised'),
      seconds=np.array(time.perf_counter() - started),
    )

  try:
    found = learn_rule.learn_rule(
      inputs.model,
      entry.make(),
      build.stage_key(seed, f'rules/{entry.name}'),
      source=inputs.source,
      start=_make_start(inputs, section.start_components, seed),
      name=entry.name,
      level=entry.level,
      noised=True,
      progress=jax.process_index() == 0,
      resume=resumed,
      on_round=store,
      **{key: section[key] for key in section if key != 'start_components'},
    )
    report = found.report
    assert report is not None
    values = {
      'rule_calls': report.calls,
      'threshold': float(found.threshold),
      'precision': report.precision,
      'satisfied': report.satisfied,
      **{f'precision_at_{at}': share for at, share in report.levels.items()},
    }
    log.write(section.rounds + 2, values, 'validation')
  finally:
    log.close()
  arrays = {
    _KEY: key,
    'report': np.array(json.dumps(report._asdict())),
    'threshold': np.array(float(found.threshold)),
    'seconds': np.array(time.perf_counter() - started),
    **_flat(found.params, 'params'),
    **_flat(found.noised_params, 'noised'),
  }
  files.write_npz(folder / FILE, **arrays)
  _write_report(job, replicate, entry, arrays)
  print(
    f'{title}: {report.calls} calls, threshold {float(found.threshold):g}, '
    f'{report.satisfied:.0%} of held-out moved samples obey'
  )


def _write_report(
  job: jobs.Job,
  replicate: int,
  entry: rule_entries.Entry,
  arrays: Mapping[str, np.ndarray],
) -> None:
  """The numbers of a finished file, for people and fingerprints."""
  learned = _constraint(arrays, entry)
  folder = rule_entries.folder_of(job.workdir, replicate, entry.name)
  files.write_json(
    folder / rule_entries.REPORT,
    {
      **json.loads(str(arrays['report'])),
      'threshold': float(arrays['threshold']),
      'seconds': float(arrays['seconds']),
      'parameters': checkpoints.parameters_digest(
        (learned.params, learned.noised_params, learned.threshold)
      ),
      _KEY: json.loads(str(arrays[_KEY])),
    },
  )

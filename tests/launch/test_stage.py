"""What a training's result follows from, and what it does not."""

import contextlib
import functools
import json

import pytest
from etils import epath

from configs import base, digits
from launch import startup
from lcjax import errors
from lcjax import keys as keys_lib
from lcjax.experiment import (
  compare_wants,
  fingerprint,
  jobs,
  results,
  stage,
  trainers,
  training_parts,
)
from lcjax.training import checkpoints, provenance


def config_with(**changes):
  config = base.get_config()
  config.actor_critic.update(changes)
  return config


def test_a_further_actor_differs_from_a_main_one_in_nothing_but_its_folder():
  config = config_with(distance_weight=0.0, more_distance_weights=(0.1,))
  assert list(stage.actors(config)) == ['actor', 'actor_lambda_0.1']
  further = stage.actors(config)['actor_lambda_0.1']
  assert further.name == 'actor_critic_lambda_0.1'
  main = config_with(distance_weight=0.1)
  assert fingerprint.settings(config, further, 0) == fingerprint.settings(
    main, stage.ACTOR_CRITIC, 0
  )
  assert stage.distance_weights(config)['actor_lambda_0.1'] == 0.1
  assert config.actor_critic.distance_weight == 0.0


def test_no_training_depends_on_which_others_there_are():
  alone, more = config_with(), config_with(more_distance_weights=(0.1, 2))
  for one in stage.trainings(alone):
    for replicate in (0, 1):
      assert fingerprint.settings(
        alone, one, replicate
      ) == fingerprint.settings(more, one, replicate)


def test_a_result_depends_on_which_actors_there_are_by_their_trainings(
  tmp_path,
):
  keys = [
    results.result_key(
      jobs.Job(config, epath.Path(tmp_path)), stage.COMPARISON, 0
    )
    for config in (config_with(), config_with(more_distance_weights=(0.1,)))
  ]
  # So that the result is made again, without being refused before.
  assert keys[0]['config'] == keys[1]['config']
  added = set(keys[1]['trainings']) - set(keys[0]['trainings'])
  assert added == {'actor_critic_lambda_0.1'}


@pytest.mark.parametrize(
  'text', ['', '{}', '[]', '3', '{"trainings": {}, "config": 3}']
)
def test_what_is_no_result_is_named(tmp_path, text):
  job = jobs.Job(config_with(), epath.Path(tmp_path))
  path = epath.Path(tmp_path) / '0.json'
  path.write_text(text)
  key = {'config': {}, 'trainings': {}}
  with pytest.raises(
    errors.UserError, match=r'0\.json is not a result of a run'
  ):
    results.stored(job, path, key)
  again = job._replace(overwrite=True)
  assert results.stored(again, path, key) is None


def test_a_missing_training_is_named_with_its_folder(tmp_path):
  job = jobs.Job(config_with(), epath.Path(tmp_path), arguments='--flag')
  where = str(tmp_path / 'seeds' / '1' / 'vae')
  with pytest.raises(errors.UserError) as raised:
    training_parts.load(job, stage.VAE, 1, lambda: {})
  assert str(raised.value) == (
    f'vae has not been trained in {where}: run python -m launch.train_vae '
    '--flag'
  )


def test_housekeeping_and_places_are_no_dependency():
  config = config_with()
  before = fingerprint.settings(config, stage.ACTOR_CRITIC, 0)
  config.data.dir = '/elsewhere'
  config.actor_critic.train.keep = 7
  assert fingerprint.settings(config, stage.ACTOR_CRITIC, 0) == before
  config.actor_critic.train.batch_size = 7
  assert fingerprint.settings(config, stage.ACTOR_CRITIC, 0) != before


def test_every_section_belongs_to_a_node():
  own = (
    'alternatives', 'compare', 'edit', 'figures', 'generate', 'inpaint',
  )  # fmt: skip
  sections = {*stage.result(*own, both_judges=True).sections}
  sections |= {*compare_wants.NODE.sections}
  for one in stage.trainings(base.get_config()):
    assert sections.issuperset(one.sections)
  # A result has those of its model and of its alternatives.
  sections |= {one.section for one in stage.MODEL_STAGES}
  scalars = {'seed', 'num_seeds', 'parallel'}
  # Each rule of `constraints` has its values, which `train_rules` compares.
  assert sections | scalars | {'rules'} == {*base.get_config()}


@pytest.mark.parametrize(
  'key', ['retry.accept_quantile', 'walk.eta', 'mixture.narrow']
)
def test_a_search_follows_from_what_it_asks(key):
  config = base.get_config()
  before = fingerprint.settings(config, stage.WALKS, 0)
  value = (1.0,) if key == 'mixture.narrow' else 0.125
  config.update_from_flattened_dict({key: value})
  assert fingerprint.settings(config, stage.WALKS, 0) != before


def test_the_background_matters_to_data_that_may_be_transparent():
  for name, matters in (('folder', True), ('digits', False)):
    config = config_with()
    config.data.name = name
    before = fingerprint.settings(config, stage.VAE, 0)
    config.data.background = 'white'
    assert (fingerprint.settings(config, stage.VAE, 0) != before) == matters


def test_the_mover_optimizer_g_trains_nothing_again():
  config = config_with()
  every = stage.trainings(config)
  before = [fingerprint.settings(config, one, 0) for one in every]
  config.optimize.update(max_steps=4, attribute_weight=7.0)
  config.optimize.optimizer.learning_rate = 0.3
  assert [fingerprint.settings(config, one, 0) for one in every] == before
  config.latent_critics.inner.attribute_weight = 7.0
  after = [fingerprint.settings(config, one, 0) for one in every]
  assert [a != b for a, b in zip(after, before, strict=True)] == [
    one is stage.LATENT_CRITICS for one in every
  ]


def two_steps(folder):
  config = digits.get_config()
  config.vae.hidden_sizes = (4,)
  config.vae.train.update(num_steps=2, steps_per_call=1, batch_size=8)
  return jobs.Job(config, epath.Path(folder))


def test_a_signal_during_the_last_step_stops_the_launcher(tmp_path, capsys):
  job = two_steps(tmp_path)
  asked = []

  @contextlib.contextmanager
  def stop_after_two_steps():
    yield lambda: asked.append(None) or len(asked) > 2

  stopped = job._replace(stop_on_signal=stop_after_two_steps)
  with pytest.raises(errors.Interrupted, match='vae is finished'):
    trainers.train_all(stopped, 'vae')
  trainers.train_all(job, 'vae')
  assert 'finished before' in capsys.readouterr().out


def test_a_signal_while_a_checkpoint_is_read_is_no_damage(
  tmp_path, monkeypatch
):
  job = two_steps(tmp_path)
  trainers.train_all(job, 'vae')

  def interrupt(*arguments):
    raise errors.Interrupted

  with monkeypatch.context() as patch:
    patch.setattr(checkpoints, 'restore', interrupt)
    with pytest.raises(errors.Interrupted):
      trainers.train_all(job, 'vae')


def test_lost_checkpoints_are_spoken_of(tmp_path, capsys):
  job = two_steps(tmp_path)
  trainers.train_all(job, 'vae')
  assert 'no checkpoint' not in capsys.readouterr().out
  checkpoints.delete(tmp_path / 'vae' / 'checkpoints')
  trainers.train_all(job, 'vae')
  assert 'no checkpoint found, restarting at step 0' in capsys.readouterr().out


def without(found, *keys):
  """A nested config without some dotted keys."""
  found = json.loads(json.dumps(found))
  for key in keys:
    *path, last = key.split('.')
    del functools.reduce(dict.__getitem__, path, found)[last]
  return found


def test_a_key_added_later_with_its_default_refuses_no_training():
  config = digits.get_config()
  job = jobs.Job(config, epath.Path('w'), defaults=startup.defaults())
  for which in stage.trainings(config):
    now = fingerprint.settings(config, which, 0)
    keys = [k for k in keys_lib.flatten(now) if k in startup.defaults()]
    unchanged = [
      key
      for key in keys
      if json.loads(json.dumps(keys_lib.flatten(now)[key]))
      == startup.defaults()[key]
    ]
    assert len(unchanged) > 5
    for key in unchanged:
      stored = without(now, key)
      advice = fingerprint.advice(job, 0)
      assert provenance.refusal('w', stored, now, advice) is None, key
  section = now['denoiser']  # the last one
  assert section['num_blocks'] != startup.defaults()['denoiser.num_blocks']
  stored = without(now, 'denoiser.num_blocks')
  refused = provenance.refusal('w', stored, now, fingerprint.advice(job, 0))
  assert 'denoiser.num_blocks' in str(refused)


def test_critics_from_before_they_had_an_inner_section_are_known():
  config = config_with()
  now = fingerprint.settings(config, stage.LATENT_CRITICS, 0)
  stored = json.loads(json.dumps(now))
  inner = stored['latent_critics'].pop('inner')
  stored['latent_critics']['inner_steps'] = inner.pop('max_steps')
  stored['optimize'] = inner | {'max_steps': 100}
  advice = fingerprint.advice(
    jobs.Job(config, epath.Path('w'), defaults=startup.defaults()), 0
  )
  assert provenance.refusal('w', stored, now, advice) is None
  stored['optimize']['attribute_weight'] = 7.0
  refused = provenance.refusal('w', stored, now, advice)
  assert 'latent_critics.inner.attribute_weight=7.0' in str(refused)


def test_edits_from_before_they_had_a_section_of_optimizer_g_are_known():
  config = config_with()
  now = {'edit': config.edit.to_dict()}
  stored = json.loads(json.dumps(now))
  stored['edit'] |= stored['edit'].pop('optimize')
  advice = fingerprint.advice(
    jobs.Job(config, epath.Path('w'), defaults=startup.defaults()), 0
  )
  assert provenance.refusal('w', stored, now, advice) is None


def test_trainings_are_told_apart_by_content(tmp_path):
  """The same numbers again are the same training; a later one is another."""
  jobs = [two_steps(tmp_path / name) for name in ('a', 'b')]
  for job in jobs:
    trainers.train_all(job, 'vae')
  first, again = (
    fingerprint.parameters(job, ['vae'], 0)['vae'] for job in jobs
  )
  assert first == again
  other = two_steps(tmp_path / 'c')
  other.config.seed = 1
  trainers.train_all(other, 'vae')
  assert fingerprint.parameters(other, ['vae'], 0)['vae'] != first

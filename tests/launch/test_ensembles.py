"""Groups of trainings: who is in them, and that each ends as if alone."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from etils import epath

from configs import base, digits
from launch.benchmarks import seed_ensemble
from lcjax import errors
from lcjax.experiment import (
  build,
  ensembles,
  jobs,
  stage,
  tasks,
  training_parts,
)
from lcjax.training import checkpoints, ensemble, metrics_log, runner, steps

SECTIONS = (
  'vae', 'classifier', 'second_classifier', 'latent_critics', 'actor_critic',
  'denoiser',
)  # fmt: skip


def tiny(**changes):
  config = digits.get_config()
  for name in SECTIONS:
    config[name].train.update(
      num_steps=6, steps_per_call=2, log_every=2, batch_size=8
    )
  config.vae.update(latent_size=4, hidden_sizes=(8,))
  config.classifier.hidden_sizes = (8,)
  config.second_classifier.update(conv_channels=(2, 2), head_sizes=())
  config.actor_critic.update(
    actor_hidden_sizes=(8,), critic_hidden_sizes=(8,), label_size=4
  )
  config.latent_critics.update(hidden_sizes=(8,))
  config.latent_critics.inner.max_steps = 2
  config.denoiser.update(
    width=8, num_blocks=1, attribute_width=8, attribute_blocks=1
  )
  for key, value in changes.items():
    base.ablate(config, {'one': {key.replace('__', '.'): value}}, 'one')
  config.lock()
  return config


def task(name='a', which=stage.ACTOR_CRITIC, replicate=0, where='w', **changes):
  job = jobs.Job(tiny(**changes), epath.Path(where) / name)
  return tasks.Task(name, job, which, replicate)


def test_what_differs_in_numbers_alone_trains_together():
  default = task('default')
  further = dataclasses.replace(
    stage.ACTOR_CRITIC,
    name='actor_critic_lambda_2',
    changes=(('actor_critic.distance_weight', 2.0),),
  )
  joint = [
    default,
    task('seed', replicate=1),
    task('weight', actor_critic__distance_weight=0.0),
    task('r1', actor_critic__r1_weight=0.5),
    task('rate', actor_critic__actor_optimizer__learning_rate=0.5),
    task('decay', actor_critic__average_decay=0.5),
    task('vae', vae__hidden_sizes=(9,)),  # it sees encodings of either
    task('lambda', which=further),
  ]
  apart = [
    task('no_average', actor_critic__average_decay=0.0),
    task('width', actor_critic__actor_hidden_sizes=(9,)),
    task('latents', vae__latent_size=5),
    task('flag', actor_critic__actor_on_encodings=False),
    task('steps', actor_critic__train__num_steps=7),
    task('log', actor_critic__train__log_every=3),
    task('hinge', actor_critic__divergence='hinge'),
    task('denoiser', which=stage.DENOISER),
  ]
  found = tasks.groups([*joint, *apart], limit=64)
  assert found == [joint, *([one] for one in apart)]
  assert [len(group) for group in tasks.groups(joint, 3)] == [3, 3, 2]
  judges = [
    task('default', which=stage.CLASSIFIER),
    task('judge', which=stage.CLASSIFIER, classifier__seed=2),
    task('default', which=stage.SECOND_CLASSIFIER),
  ]
  assert tasks.groups(judges, 64) == [judges[:2], judges[2:]]
  assert tasks.numbers(joint).keys() == {
    'actor_critic.distance_weight',
    'actor_critic.r1_weight',
    'actor_critic.actor_optimizer.learning_rate',
    'actor_critic.average_decay',
  }
  np.testing.assert_allclose(
    tasks.numbers(joint)['actor_critic.distance_weight'],
    [0.1, 0.1, 0.0, 0.1, 0.1, 0.1, 0.1, 2.0],
  )


# All numbers of an ablation that a step reads, and a weight of 0 among them.
CASES = {
  'vae': (
    stage.VAE,
    {
      'vae__sigma_x': 0.3,
      'vae__beta': 0.5,
      'vae__optimizer__learning_rate': 0.01,
      'vae__optimizer__final_learning_rate': 0.001,
      'vae__optimizer__b1': 0.5,
    },
    {'vae__optimizer__schedule': 'log_linear'},
  ),
  'classifier': (
    stage.CLASSIFIER,
    {
      'classifier__seed': 7,  # its own key, state and batches
      'classifier__pixel_noise': 0.0,
      'classifier__optimizer__b2': 0.9,
    },
    {},
  ),
  'second_classifier': (
    stage.SECOND_CLASSIFIER,
    {'second_classifier__seed': 7, 'second_classifier__pixel_noise': 0.0},
    {},
  ),
  'latent_critics': (
    stage.LATENT_CRITICS,
    {
      'latent_critics__prior_weight': 0.0,
      'latent_critics__gradient_penalty_weight': 0.2,
      'latent_critics__r2_weight': 0.3,
      'optimize__optimizer__learning_rate': 0.3,
      'optimize__realism_threshold': 0.1,
      'optimize__attribute_tolerance': 0.5,
      'optimize__distance_weight': 0.1,
    },
    {},
  ),
  'actor_critic': (
    stage.ACTOR_CRITIC,
    {
      'actor_critic__distance_weight': 0.0,
      'actor_critic__mismatched_weight': 0.0,
      'actor_critic__gradient_penalty_weight': 0.0,
      'actor_critic__r1_weight': 0.3,
      'actor_critic__average_decay': 0.5,
    },
    {'actor_critic__critic_steps_per_actor_step': 2},
  ),
  'denoiser': (
    stage.DENOISER,
    {'denoiser__velocity_optimizer__learning_rate': 0.01},
    {},
  ),
}


def alone(config, trainings):
  """States that trainings of one config end in, each by itself."""

  @jax.jit
  def step_fn(state, batches, key, constants):
    step = trainings[0].make_step(config, constants, None)
    return steps.scan_steps(step)(state, batches, key)

  for one in trainings:
    state = one.make_state()
    for step in (0, 2):
      batches = one.make_batches(step, 2)
      state, _ = step_fn(state, batches, one.key, one.constants)
    yield state


@pytest.mark.parametrize('kind', CASES)
def test_members_end_as_if_alone(kind):
  which, changes, shared = CASES[kind]
  configs = tiny(**shared), tiny(**shared, **changes)
  # The judges are the same for all seeds.
  num_seeds = 1 if which in stage.JUDGES else 2
  made = [seed_ensemble.untrained(one, which, num_seeds) for one in configs]
  group = [one for tasks_, _ in made for one in tasks_]
  trainings = [one for _, parts in made for one in parts]
  compiled = ensembles.compile_group(group, trainings)
  make_batches = ensembles.make_batches(trainings, compiled.rows)
  packed = compiled.pack(
    ensemble.stack([one.make_state() for one in trainings])
  )
  for step in (0, 2):
    packed, _ = compiled.step(packed, make_batches(step, 2), trainings[0].key)
  found = compiled.unpack(packed)
  expected = [
    state
    for config, (_, parts) in zip(configs, made, strict=True)
    for state in alone(config, parts)
  ]
  # The numbers tell: members of two configs end elsewhere.
  first, last = (jax.tree.leaves(expected[i]) for i in (0, num_seeds))
  assert any(not np.allclose(a, b) for a, b in zip(first, last, strict=True))
  for index, state in enumerate(expected):
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
      ensemble.member(found, index),
      state,
    )


def counted(trainings, calls):
  def make_training(one):
    calls.append((one.name, one.replicate))
    return trainings[one.replicate]

  return make_training


def final(one):
  log = (one.folder / 'metrics.jsonl').read_text()
  job, which, replicate = one.job, one.which, one.replicate
  _, trainings = seed_ensemble.untrained(job.config, which, replicate + 1)
  make = trainings[replicate].make_state
  return log, training_parts.load(job, which, replicate, make).state


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """Two ablations that have their VAEs in common, trained."""
  root = tmp_path_factory.mktemp('finished')
  wanted = [task(name, stage.VAE, r, root) for name in 'ab' for r in (0, 1)]
  _, trainings = seed_ensemble.untrained(tiny(), stage.VAE, 2)
  calls = []
  make_training = counted(trainings, calls)
  ensembles.train(epath.Path(root / 'groups'), wanted, make_training, 64)
  return root, wanted, trainings, calls


def test_what_ablations_have_in_common_is_trained_once(finished):
  root, wanted, trainings, calls = finished
  assert calls == [('a', 0), ('a', 1)]
  assert not list((root / 'groups').iterdir())
  for one, other in zip(wanted[:2], wanted[2:], strict=True):
    assert final(one)[0] == final(other)[0]
    assert one.folder != other.folder
    last = metrics_log.read(other.folder)[-1]
    assert last['step'] == 6
    assert 'validation/elbo_nats' in last
  # Again, nothing is to be done.
  make_training = counted(trainings, calls)
  ensembles.train(epath.Path(root / 'groups'), wanted, make_training, 64)
  assert len(calls) == 2


def test_a_stopped_group_goes_on_and_ends_the_same(
  finished, tmp_path, monkeypatch
):
  _, wanted, trainings, _ = finished
  again = [task('a', stage.VAE, r, tmp_path) for r in (0, 1)]
  groups, calls = epath.Path(tmp_path / 'groups'), []
  make_training = counted(trainings, calls)
  real_train = runner.loop.train

  def stopped(*arguments):
    asked = iter([False, True, True])
    return real_train(*arguments[:-1], lambda: next(asked))

  with monkeypatch.context() as patch:
    patch.setattr(runner.loop, 'train', stopped)
    with pytest.raises(errors.Interrupted, match='at step 2'):
      ensembles.train(groups, again, make_training, 64)
  assert not again[0].folder.exists()

  def killed(one, *arguments):
    if one.replicate == 1:
      raise KeyboardInterrupt
    hand_out(one, *arguments)

  # Then killed for good, between the folders of two members.
  hand_out = ensembles._hand_out
  with monkeypatch.context() as patch:
    patch.setattr(ensembles, '_hand_out', killed)
    with pytest.raises(KeyboardInterrupt):
      ensembles.train(groups, again, make_training, 64)
  assert again[0].folder.exists() and not again[1].folder.exists()
  steps_taken = []
  with monkeypatch.context() as patch:
    patch.setattr(
      runner.loop,
      'train',
      lambda *a: steps_taken.append(int(a[1].step)) or real_train(*a),
    )
    ensembles.train(groups, again, make_training, 64)
  assert steps_taken == [6]  # at its end, not from the start
  for one, other in zip(again, wanted, strict=False):
    (log, state), (expected_log, expected) = final(one), final(other)
    assert log == expected_log
    jax.tree.map(np.testing.assert_array_equal, state, expected)


@pytest.fixture
def stopped(finished, tmp_path, monkeypatch):
  """Two seeds of a VAE, stopped at step 2: groups, tasks, make_training."""
  wanted = [task('a', stage.VAE, r, tmp_path) for r in (0, 1)]
  groups = epath.Path(tmp_path / 'groups')
  make_training = counted(finished[2], [])
  real_train = runner.loop.train

  def stop(*arguments):
    asked = iter([False, True, True])
    return real_train(*arguments[:-1], lambda: next(asked))

  with monkeypatch.context() as patch:
    patch.setattr(runner.loop, 'train', stop)
    with pytest.raises(errors.Interrupted):
      ensembles.train(groups, wanted, make_training, 64)
  return groups, wanted, make_training


def test_a_stopped_group_does_not_go_on_with_other_images(
  stopped, monkeypatch, capsys
):
  groups, wanted, make_training = stopped
  real = build.digests

  def changed(*arguments):
    found = json.loads(json.dumps(real(*arguments)))
    found['train']['images']['digest'] = 'another'
    return found

  monkeypatch.setattr(build, 'digests', changed)
  with pytest.raises(errors.UserError, match='other images of the train split'):
    ensembles.train(groups, wanted, make_training, 64)
  assert len(list(groups.iterdir())) == 1
  again = [one._replace(job=one.job._replace(overwrite=True)) for one in wanted]
  ensembles.train(groups, again, make_training, 64)
  assert 'resuming' not in capsys.readouterr().out
  assert all(tasks.is_finished(one) for one in wanted)


def test_a_stopped_group_without_digests_goes_on(stopped, capsys):
  groups, wanted, make_training = stopped
  for path in groups.glob('*/checkpoints/*/meta/metadata'):
    meta = json.loads(path.read_text())
    for member in meta['config']['members']:
      del member['read']
    path.write_text(json.dumps(meta))
    (path.parent.parent / 'seal.json').unlink()
  ensembles.train(groups, wanted, make_training, 64)
  assert 'resuming from step 2' in capsys.readouterr().out
  for one in wanted:
    assert tasks.is_finished(one)
    _, meta = checkpoints.latest_meta(one.folder)
    assert 'read' not in meta['config']  # unknown it remains


def test_trainings_on_other_data_share_nothing(monkeypatch):
  monkeypatch.setattr(
    build,
    'digests',
    lambda job, *_: {'train': {'images': {'digest': job.config.data.dir}}},
  )
  here, there = task('a'), task('b', data__dir='elsewhere')
  assert here.identity != there.identity
  assert tasks.groups([here, there], 64) == [[here], [there]]


def test_a_stored_member_is_found_by_its_data_where_configs_are_equal(
  monkeypatch,
):
  job = jobs.Job(tiny(), epath.Path('w'))
  first, second = (tasks.Task(name, job, stage.VAE, 0) for name in 'ab')
  depends = {
    task.name: first.follows_from | {'read': {'train': task.name}}
    for task in (first, second)
  }
  monkeypatch.setattr(
    tasks.Task, 'follows_from', property(lambda task: depends[task.name])
  )
  for task in (first, second):
    found = ensembles._with_same_config(depends[task.name], [first, second])
    assert found is task
  other = depends['a'] | {'read': {'train': 'c'}}
  assert ensembles._with_same_config(other, [first, second]) is first

"""States of trainings from their logs to terminal and reports; their keys."""

import json

import jax
import numpy as np
import pytest
from etils import epath

import lcjax
from configs import digits, instabilities
from launch import ablate
from lcjax import errors
from lcjax.constraints import attributes
from lcjax.evaluation import reports, watch_plots
from lcjax.experiment import (
  ablation_report,
  build,
  jobs,
  stage,
  train_actor_critic,
  watched,
)
from lcjax.generators import latent_model
from lcjax.training import latent_steps, remedies, watch
from tests.launch.test_divergences import (
  LABELS,
  config_with,
  encoded,
  networks_of,
)
from tests.training.test_watch import records

NOISE = {
  'critic_dropout': 0.5,
  'label_noise': 0.1,
  'label_smoothing': 0.2,
  'instance_noise': 0.3,
}


def write_log(workdir, replicate=0, **curves):
  folder = stage.folder_of(workdir, stage.ACTOR_CRITIC, replicate)
  folder.mkdir(parents=True)
  lines = [json.dumps(one) + '\n' for one in records(**curves)]
  (folder / 'metrics.jsonl').write_text(''.join(lines))
  return folder


def job_at(folder, num_seeds=1):
  config = digits.get_config()
  config.num_seeds = num_seeds
  return jobs.Job(config, epath.Path(folder))


def test_told_in_one_line(tmp_path, capsys):
  folder = write_log(epath.Path(tmp_path), varied=0.1)
  watched.tell('actor_critic', folder)
  (line,) = capsys.readouterr().out.splitlines()
  assert line.startswith('actor_critic: collapse: variance of moved rows')
  watched.tell('vae', epath.Path(tmp_path) / 'vae')  # it has none
  assert capsys.readouterr().out == ''


def test_states_of_all_seeds(tmp_path):
  job = job_at(tmp_path, num_seeds=2)
  write_log(job.workdir)
  write_log(job.workdir, 1, right=0.9, won=0.1)
  found = watched.states(job)
  assert [(one['name'], one['seed'], one['state']) for one in found] == [
    ('actor_critic', 0, watch.HEALTHY),
    ('actor_critic', 1, watch.CRITIC_DOMINATES),
  ]
  page = reports.render_html({'adversarial': found})
  for one in found:
    assert one['state'] in page
    assert one['evidence'] in page
  (_, sentence) = reports.adversarial(found)
  assert sentence.startswith(
    'Training actor_critic, seed 1: critic dominates: discriminator score 0.90'
  )


def test_states_of_ablations_without_a_comparison(tmp_path, capsys):
  named = {name: job_at(tmp_path / name) for name in ('good', 'bad')}
  write_log(named['good'].workdir)
  write_log(named['bad'].workdir, varied=0.1)
  assert list(watched.logs(named)) == ['good', 'bad']
  ablation_report.write_states(epath.Path(tmp_path), named, 'the command')
  text = (tmp_path / 'states.md').read_text()
  assert '| good | 0 | healthy | ' in text
  assert '| bad | 0 | collapse | ' in text
  assert text.endswith('    the command\n')
  assert text in capsys.readouterr().out
  png = (tmp_path / 'states.png').read_bytes()
  assert png == watch_plots.adversarial(watched.logs(named))
  # The picture shows the curves.
  other = watch_plots.adversarial(
    {'good': records(), 'bad': records(varied=0.2)}
  )
  assert other != png


def test_stages_are_sections_of_trainings():
  known = ['vae', 'actor_critic']
  ablate.check_stages(['vae', 'actor_critic'], known)
  with pytest.raises(errors.UserError, match='did you mean actor_critic'):
    ablate.check_stages(['vae', 'actor_critics'], known)


def latents_of(config):
  return train_actor_critic.LatentData(
    networks_of(config), encoded(0), encoded(1), LABELS, seed=0
  )


def test_an_actor_is_measured():
  config = config_with()
  parts = train_actor_critic.make_actor_training(config, latents_of(config))
  found = parts.evaluate(parts.make_state())
  assert {'diversity', 'label_diversity', 'gap', 'real_above_moved'} <= set(
    found
  )
  assert all(np.isfinite(value) for value in found.values())


def test_keys_reach_the_step(monkeypatch):
  config = config_with()
  config.actor_critic.update(NOISE)
  config.actor_critic.actor_steps_per_critic_step = 4
  parts = train_actor_critic.make_actor_training(config, latents_of(config))
  monkeypatch.setattr(
    latent_steps, 'make_actor_critic_step', lambda *_, **options: options
  )
  given = parts.make_step(config, parts.constants, None)
  assert given['actor_steps_per_critic_step'] == 4
  steps = config.actor_critic.train.num_steps
  assert given['remedy'] == remedies.Remedies(*NOISE.values(), steps)


@pytest.mark.parametrize('name', NOISE)
def test_each_remedy_changes_the_updates(name):
  def updated(**changes):
    config = config_with()
    config.actor_critic.update(changes)
    parts = train_actor_critic.make_actor_training(config, latents_of(config))
    step = parts.make_step(config, parts.constants, None)
    batch = jax.tree.map(lambda leaf: leaf[0], parts.make_batches(0, 1))
    new, _ = step(parts.make_state(), batch, jax.random.key(0))
    return jax.tree.leaves(new['critic'].params)

  changed = [
    bool((a != b).any())
    for a, b in zip(updated(), updated(**{name: 0.45}), strict=True)
  ]
  assert any(changed)


def test_what_has_no_meaning_is_refused():
  config = digits.get_config('pairing')
  config.actor_critic.label_smoothing = 0.1
  with pytest.raises(
    errors.UserError,
    match=r'config\.actor_critic\.label_smoothing=0\.1 has no meaning for '
    r"config\.actor_critic\.divergence='pairing'",
  ):
    build.check_divergences(config, ['actor_critic'])
  config = digits.get_config()
  config.actor_critic.update(
    critic_steps_per_actor_step=2, actor_steps_per_critic_step=3
  )
  with pytest.raises(errors.UserError, match='would update neither'):
    build.check_divergences(config, ['actor_critic'])
  build.check_divergences(config, ['latent_critics'])


def test_an_adversary_has_remedies(monkeypatch):
  class Stop(Exception):
    pass

  given = {}

  def make(*arguments, **options):
    given.update(options)
    raise Stop

  monkeypatch.setattr(latent_steps, 'make_actor_critic_step', make)
  data = latent_model.LatentData(encoded(0), LABELS)
  want = attributes.Attributes(None, 0.1, lambda params, z: z, LABELS)

  def learn(**values):
    lcjax.learn_actor(
      want,
      data,
      jax.random.key(0),
      adversary=lcjax.Adversary(**values),
      num_steps=7,
      progress=False,
    )

  with pytest.raises(errors.UserError, match=r'label_smoothing=0\.1 has no'):
    learn(label_smoothing=0.1, divergence='pairing')
  with pytest.raises(Stop):
    learn(dropout=0.5, label_noise=0.1, label_smoothing=0.2, instance_noise=0.3)
  assert given['remedy'] == remedies.Remedies(0.5, 0.1, 0.2, 0.3, 7)


def test_every_remedy_is_beside_its_failure():
  names = list(instabilities.ABLATIONS)
  failures = {
    'collapse',
    'critic_dominates',
    'mover_dominates',
    'critic_rests',
    'oscillation',
  }
  assert failures < set(names)
  for name in names:
    if name not in failures | {'healthy'}:
      failure = max(
        (one for one in failures if name.startswith(f'{one}_')), key=len
      )
      changed = instabilities.ABLATIONS[failure]
      own = instabilities.ABLATIONS[name]
      assert own != changed
      assert set(changed) <= set(own)

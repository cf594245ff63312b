"""The arithmetic of rounds, what is written, and a peer that is no other."""

import builtins
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import celeba, digits
from launch import benchmark
from launch.benchmarks import (
  data_memory,
  host,
  ours,
  rounds,
  torch_latents,
  torch_peer,
  train_steps,
)
from lcjax import errors, types
from lcjax.experiment import (
  architectures,
  build,
  jobs,
  train_actor_critic,
)
from lcjax.losses import divergences, elbo
from lcjax.movers import optimizer
from lcjax.training import latent_steps

needs_torch = pytest.mark.skipif(
  not benchmark._installed('torch'), reason='needs PyTorch: extra bench'
)


def make_setting(tmp_path, config=None, num_rounds=1):
  config = config or digits.get_config()
  return ours.Options(jobs.Job(config, tmp_path), num_rounds, 0.0)


def small_digits():
  config = digits.get_config()
  config.vae.hidden_sizes = (16,)
  config.vae.train.batch_size = 16
  config.vae.train.steps_per_call = 2
  return config


# Rounds.


def test_turns_alternate_and_seconds_are_of_a_unit(monkeypatch):
  clock, turns = [0.0], []
  monkeypatch.setattr(rounds.time, 'perf_counter', lambda: clock[0])

  def contender(name, seconds, unit):
    def advance(count):
      turns.append((name, count))
      clock[0] += seconds * count

    return rounds.Contender(advance, unit)

  taken = rounds.interleave(
    {'a': contender('a', 0.5, 4), 'b': contender('b', 1.0, 1)}, 3, seconds=3.0
  )
  assert taken == {'a': [0.5] * 3, 'b': [1.0] * 3}
  # Three units to warm up and to be timed, then about as long for either.
  assert turns[:6] == [('a', 4)] * 3 + [('b', 1)] * 3
  a, b = ('a', 8), ('b', 3)
  assert turns[6:] == [a, b, b, a, a, b]


def test_ratios_are_of_the_same_round():
  # Another program doubles the time of both in the second round.
  taken = {'ours': [1.0, 2.0, 1.0], 'x': [3.0, 6.0, 3.0], 'y': [2.0, 4.0, 9.0]}
  bars = {'x': 2.5, 'y': None}
  x, y, best = rounds.against(taken, bars, best_bar=2.5)
  assert x.values == (3.0, 3.0, 3.0) and rounds.meets(x)
  assert y.values == (2.0, 2.0, 9.0) and rounds.meets(y) is None
  assert best.values == x.values and '(x)' in best.what
  assert best.details == {'ours_seconds': 1.0, 'x_seconds': 3.0, 'y_seconds': 4}


def test_bars_hold_of_the_median():
  values = (0.1, 0.4, 5.0)
  assert rounds.meets(rounds.Measurement('', values, 0.4))
  assert not rounds.meets(rounds.Measurement('', values, 0.5))
  assert rounds.meets(rounds.Measurement('', values, 0.4, at_least=False))
  assert not rounds.meets(rounds.Measurement('', values, 0.3, at_least=False))
  assert rounds.quartiles(range(5)) == (1.0, 2.0, 3.0)


# The launcher.


def test_results_are_written_and_others_stay(tmp_path, capsys):
  def steady(setting):
    return [rounds.Measurement('x', (2.0, 4.0, 3.0), 2.5)]

  def lacking(setting):
    raise errors.UserError('needs a thing')

  setting = make_setting(tmp_path)
  benchmark.measure_all(setting, {'first': steady})
  with pytest.raises(errors.UserError, match='second, third: needs a thing'):
    benchmark.measure_all(
      setting, {'second': lacking, 'third': lacking, 'fourth': steady}
    )
  stored = json.loads((tmp_path / 'benchmark/benchmark.json').read_text())
  assert set(stored) == {'first', 'fourth'}
  (measurement,) = stored['first']['measurements']
  assert measurement['values'] == [2.0, 4.0, 3.0]
  assert (measurement['median'], measurement['met']) == (3.0, True)
  assert '--workload=first' in stored['first']['command']
  picture = (tmp_path / 'benchmark/benchmark.png').read_bytes()
  assert picture.startswith(b'\x89PNG')
  assert 'met' in capsys.readouterr().out


@pytest.mark.parametrize(
  'text', ['', '{"first', '[1]', '{"first": 1}', '{"first": {}}']
)
def test_a_damaged_file_is_named_before_anything_is_measured(tmp_path, text):
  def never(setting):
    raise AssertionError('measured')

  (tmp_path / 'benchmark').mkdir()
  path = tmp_path / 'benchmark' / 'benchmark.json'
  path.write_text(text)
  with pytest.raises(errors.UserError, match=f'{path} is damaged'):
    benchmark.measure_all(make_setting(tmp_path), {'second': never})


def test_a_misspelt_workload_is_named():
  with pytest.raises(errors.UserError, match='did you mean vae_step'):
    benchmark.chosen(['vea_step'])
  assert list(benchmark.chosen([])) == list(benchmark.WORKLOADS)


@pytest.mark.parametrize('name', ['vae_step', 'actor_critic_step'])
def test_without_torch_one_line_says_what_to_install(
  name, tmp_path, monkeypatch
):
  real = builtins.__import__

  def refuse(module, *arguments, **keywords):
    if module == 'torch':
      raise ImportError('no torch here')
    return real(module, *arguments, **keywords)

  monkeypatch.setattr(builtins, '__import__', refuse)
  with pytest.raises(errors.UserError, match=r'pip install -e \.\[bench\]'):
    benchmark.WORKLOADS[name](make_setting(tmp_path))


def test_optimizer_g_names_the_training_that_is_missing(tmp_path):
  with pytest.raises(errors.UserError, match='has not been trained'):
    benchmark.WORKLOADS['optimizer_g'](make_setting(tmp_path))


# The workloads that need no peer.


def test_input_stall_of_a_tiny_training(tmp_path):
  config = small_digits()
  saved, idle = host.input_stall(make_setting(tmp_path, config, 2))
  assert len(saved.values) == len(idle.values) == 2
  assert max(saved.values) < 1 and 0 <= min(idle.values) <= max(idle.values) < 1


def test_products_of_a_step():
  config = small_digits()
  config.vae.hidden_sizes = (7, 5)
  networks = build.build_networks(config, ours.noise_images((2, 3, 1)))
  params = jax.eval_shape(
    networks.vae.init, jax.random.key(0), np.zeros((1, 2, 3, 1))
  )
  encoder = (3 * 7 * 5 + 2 * 6 * 7) + 3 * 5 * 32
  decoder = 3 * (16 * 5 + 5 * 7 + 7 * 6)
  assert train_steps.matmul_flops(params, 4) == 2 * 4 * (encoder + decoder)


def test_memory_of_an_array():
  before = data_memory.resident()
  kept = np.ones(1 << 28, np.uint8)  # far more than all else in between
  grown = {k: v - before[k] for k, v in data_memory.resident().items()}
  for name in ('rss', 'pss'):
    assert 0.9 * kept.nbytes < grown[name] < 1.5 * kept.nbytes


# The peer.


def draw(*shape):
  return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


@needs_torch
@pytest.mark.parametrize('architecture', ['mlp', 'conv'])
def test_the_peers_vae_has_our_loss(architecture):
  torch = torch_peer.torch_module(1)
  config = celeba.get_config()
  section = config.vae
  section.latent_size, section.conv_channels = 3, (4, 5)
  section.conv_kernels, section.hidden_sizes = (4, 4), (6, 7)
  section.architecture = architecture
  images = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3), np.uint8)
  module = architectures.build_vae(section, (8, 12, 3))
  params = module.init(jax.random.key(0), np.zeros((1, 8, 12, 3)))
  # Biases begin at zero, which would hide where they went.
  params = jax.tree.map(lambda p: p + 0.1 * draw(*p.shape), params)
  encoder, decoder = torch_peer.vae(params, section, (8, 12, 3))
  eps = draw(2, 3)
  units = torch.from_numpy(images).permute(0, 3, 1, 2) / 255.0
  found = torch_peer.vae_loss(
    encoder, decoder, units, torch.from_numpy(eps), 0.3, 0.7
  )
  mean, scale = module.apply(params, images / 255.0, method='encode')
  logits = module.apply(params, mean + scale * eps, method='decode')
  log_likelihood = elbo.gaussian_log_likelihood(
    images / 255.0, jax.nn.sigmoid(logits), 0.3
  )
  kl = elbo.gaussian_kl(mean, scale)
  expected = jnp.mean(elbo.negative_elbo(log_likelihood, kl, 0.7))
  np.testing.assert_allclose(found.item(), expected, rtol=1e-5)
  peers = decoder(torch.from_numpy(eps)).permute(0, 2, 3, 1).detach().numpy()
  ours_ = module.apply(params, eps, method='decode')
  np.testing.assert_allclose(peers, ours_, rtol=1e-4, atol=1e-5)


def latent_networks(size=4):
  config = digits.get_config()
  config.vae.latent_size = size
  config.actor_critic.actor_hidden_sizes = (8, 8)
  config.actor_critic.critic_hidden_sizes = (8, 9)
  config.latent_critics.hidden_sizes = (8, 8)
  networks = build.build_networks(config, ours.noise_images((8, 8, 1)))
  return config, networks


@needs_torch
def test_the_peers_actor_and_critic_are_ours():
  torch = torch_peer.torch_module(1)
  _, networks = latent_networks()
  z, y = draw(3, 4), np.eye(10, dtype=np.float32)[:3]
  key = jax.random.key(0)
  actor_params = networks.actor.init(key, z, y)
  critic_params = networks.critic.init(key, z, y)
  rows = {
    'real': z,
    'prior': draw(3, 4) - 1.0,
    'moved': np.array(networks.actor.apply(actor_params, z, y)),
    'attributes': y,
    'other_attributes': np.roll(y, 1, 0),
    'mix': np.array([0.1, 0.5, 0.7], np.float32),
  }
  tensors = {
    name: torch.from_numpy(np.array(array)) for name, array in rows.items()
  }
  actor_fn, _ = torch_latents.actor(actor_params, 'silu')
  moved = actor_fn(tensors['real'], tensors['attributes']).detach().numpy()
  np.testing.assert_allclose(moved, rows['moved'], rtol=1e-4, atol=1e-6)
  critic_fn, _ = torch_latents.critic(critic_params, 'silu')
  weights = latent_steps.CriticWeights(1.0, 0.2, 0.4, 0.3)
  found = torch_latents.critic_loss(critic_fn, tensors, weights)
  expected, _ = latent_steps.critic_loss(
    lambda z, y: networks.critic.apply(critic_params, z, y),
    rows,
    weights,
    divergences.GAN,
  )
  np.testing.assert_allclose(found.item(), expected, rtol=1e-5)


@needs_torch
def test_the_peers_optimizer_g_goes_where_ours_does():
  torch_peer.torch_module(1)
  config, networks = latent_networks()
  section = config.optimize
  section.attribute_tolerance, section.distance_weight = 0.8, 0.1
  start, y = draw(6, 4), np.eye(10, dtype=np.float32)[:6]
  key = jax.random.key(1)
  attribute = networks.attribute_critic.init(key, start)
  realism = networks.realism_critic.init(key, start)
  mean_scale = np.linspace(0.1, 0.4, 4, dtype=np.float32)
  labels = types.Classes(tuple(map(str, range(10))))
  want = build.make_constraint(section, networks, mean_scale, labels)
  mover = optimizer.Optimizer(
    want(attribute, realism),
    12,
    build.configured(section.optimizer, 12, 'optimize.optimizer'),
  )
  expected = mover(start, {'attributes': y})
  peer = torch_latents.optimizer_g(
    attribute, realism, 'silu', section, mean_scale, labels
  )
  z, satisfied = peer(start, y, 12)
  np.testing.assert_allclose(z, expected.z, rtol=1e-3, atol=1e-4)
  np.testing.assert_array_equal(satisfied, expected.satisfied)
  assert 0 < satisfied.sum() < 6  # rows that converge and rows that do not


@needs_torch
def test_the_peers_vae_learns():
  torch_peer.torch_module(1)
  config, image_shape = small_digits(), (8, 8, 1)
  data = ours.noise_images(image_shape)
  networks = build.build_networks(config, data)
  params = networks.vae.init(jax.random.key(0), np.zeros((1, *image_shape)))
  step = torch_peer.vae_step(params, config.vae, image_shape, fused=True)
  losses = [step(data.images[:16]).item() for _ in range(20)]
  assert losses[-1] < losses[0]


@needs_torch
def test_the_peers_critic_learns():
  torch_peer.torch_module(1)
  config, networks = latent_networks()
  train = ours.noise_encodings(4)
  training = ours.actor_critic_training(config, networks, train)
  start, section = training.make_state(), config.actor_critic
  step = torch_latents.actor_critic_step(
    start['actor'].params,
    start['critic'].params,
    section,
    train.mean_scale,
    train_actor_critic.critic_weights(section),
  )
  stacked = training.make_batches(0, 1)
  batch = {name: array[0] for name, array in stacked.items()}
  losses = [step(batch)[0].item() for _ in range(20)]
  assert losses[-1] < losses[0]

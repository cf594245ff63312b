"""Exact round trips, and one line for everything that cannot be restored."""

import functools
import resource
import shutil
import signal

import chex
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lcjax import errors
from lcjax.training import checkpoints, parallel
from lcjax.training import state as state_lib
from tests.training import one_network

TX = optax.adam(0.1)
CONFIG = {'vae': {'sizes': (4, 4), 'beta': 1.0}, 'seed': 0}


def make_state(size=3):
  w = np.random.default_rng(0).normal(size=(size, 2))
  params = {'w': jnp.array(w, jnp.float32), 'b': jnp.zeros(2)}
  return one_network.create(params, TX, average=True)


def loss(params, batch, key):
  noise = jax.random.normal(key, (2,))
  return jnp.mean((batch['x'] @ params['w'] - params['b'][None]) ** 2) + (
    jnp.sum(noise * params['b'])
  ), {}


make_step = functools.partial(one_network.make_step, loss, TX, 0.9)
BATCHES = {'x': np.random.default_rng(1).normal(size=(2, 8, 3))}


def save(folder, *numbers, state=None, config=CONFIG, keep=5):
  state = make_state() if state is None else state
  with checkpoints.open_manager(folder, keep) as manager:
    for number in numbers:
      checkpoints.save(manager, number, state, config, 1.5 * number)


def meta_file(folder, number):
  return folder / 'checkpoints' / str(number) / 'meta' / 'metadata'


@pytest.mark.parametrize('mode', parallel.MODES)
def test_round_trip_is_exact(tmp_path, mode):
  step = parallel.compile_step(lambda axis: make_step(axis_name=axis), mode)
  first = parallel.on_all_devices(make_state())
  state, _ = step(first, BATCHES, jax.random.key(0))
  save(tmp_path, 2, state=state)
  number, meta = checkpoints.check_same_config(tmp_path, CONFIG)
  assert (number, meta['seconds']) == (2, 3.0)
  template = jax.eval_shape(make_state)
  restored = checkpoints.restore(tmp_path, template, number, meta)
  chex.assert_trees_all_equal(restored, state)
  chex.assert_trees_all_equal_shapes_and_dtypes(restored, state)
  assert restored.step == 2
  assert np.any(one_network.network(restored).opt_state[0].nu['w'] != 0)
  assert np.any(one_network.network(restored).average['b'] != 0)
  # Ready for the next step, which treats it as it does the one that was saved.
  both = [step(s, BATCHES, jax.random.key(0))[0] for s in (restored, state)]
  chex.assert_trees_all_equal(*both)


def test_a_save_under_way_does_not_see_the_steps_that_follow(tmp_path):
  @functools.partial(jax.jit, donate_argnums=0)
  def add(state):
    return jax.tree.map(lambda leaf: leaf + 1, state)

  state = {'w': jnp.zeros((500, 1000)), 'step': jnp.int32(0)}
  with checkpoints.open_manager(tmp_path, keep=5) as manager:
    for number in range(3):
      checkpoints.save(manager, number, state, CONFIG, 0.0)
      for _ in range(5):
        state = add(state)
  template = jax.eval_shape(lambda: state)
  _, meta = checkpoints.latest_meta(tmp_path)
  for number in range(3):
    found = checkpoints.restore(tmp_path, template, number, meta)
    np.testing.assert_array_equal(found['w'], 5.0 * number)


def test_only_the_newest_are_kept(tmp_path):
  save(tmp_path, 10, 20, 30, keep=2)
  found = sorted(int(p.name) for p in (tmp_path / 'checkpoints').iterdir())
  assert found == [20, 30]
  assert checkpoints.latest_meta(tmp_path)[0] == 30


def test_some_are_kept_for_good(tmp_path):
  with checkpoints.open_manager(tmp_path, 1, keep_every=20) as manager:
    for number in (10, 20, 30, 40, 50):
      checkpoints.save(manager, number, make_state(), CONFIG, 0.0)
  found = sorted(int(p.name) for p in (tmp_path / 'checkpoints').iterdir())
  assert found == [20, 40, 50]


def test_saving_a_step_again_changes_nothing(tmp_path):
  save(tmp_path, 10)
  save(tmp_path, 10)
  found = checkpoints.restore(
    tmp_path, make_state(), *checkpoints.latest_meta(tmp_path)
  )
  chex.assert_trees_all_equal(found, make_state())


def test_nothing_saved(tmp_path):
  assert checkpoints.latest_meta(tmp_path / 'none') is None
  assert checkpoints.check_same_config(tmp_path, CONFIG) is None
  with checkpoints.open_manager(tmp_path, keep=1):
    pass  # interrupted before the first
  assert checkpoints.latest_meta(tmp_path) is None


@pytest.mark.parametrize(
  'change, message',
  [
    ({'vae': {'sizes': (4, 4), 'beta': 2.0}}, r'config\.vae\.beta=1\.0.* 2\.0'),
    ({'vae': {'sizes': (4,), 'beta': 1.0}}, r'vae\.sizes=\[4, 4\].* \[4\]'),
    ({'vae': {'sizes': (4, 4)}}, r'config\.vae\.beta=1\.0.*\(absent\)'),
    ({'extra': 3}, r"config\.extra='\(absent\)'.* 3:"),
    ({'seed': None}, r'config\.seed=0.* None'),
  ],
)
def test_foreign_config(tmp_path, change, message):
  save(tmp_path, 10)
  with pytest.raises(errors.UserError, match=message) as raised:
    checkpoints.check_same_config(tmp_path, CONFIG | change)
  assert str(tmp_path) in str(raised.value)


def test_other_shapes(tmp_path):
  save(tmp_path, 10)
  number, meta = checkpoints.latest_meta(tmp_path)
  template = jax.eval_shape(lambda: make_state(size=7))
  with pytest.raises(errors.UserError) as raised:
    checkpoints.restore(tmp_path, template, number, meta)
  message = str(raised.value)
  assert '.average.w' in message and '[3, 2]' in message and '[7, 2]' in message


def test_missing_leaves_are_neither_skipped_nor_invented(tmp_path):
  save(tmp_path, 10)
  number, meta = checkpoints.latest_meta(tmp_path)
  network = one_network.network(make_state()).replace(average=None)
  without = state_lib.create({one_network.NAME: network})
  with pytest.raises(errors.UserError, match=r'average.*\(absent\)'):
    checkpoints.restore(tmp_path, without, number, meta)
  save(tmp_path, 20, state=without)
  number, meta = checkpoints.latest_meta(tmp_path)
  with pytest.raises(errors.UserError, match=r'average.*\(absent\)'):
    checkpoints.restore(tmp_path, make_state(), number, meta)


def harm(path, damage):
  data = bytearray(path.read_bytes())
  if damage == 'removed':
    path.unlink()
  elif damage == 'flipped':
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
  else:
    path.write_bytes(data[: len(data) // 2] if damage == 'cut' else b'')


def state_file(folder, number):
  """The file with the numbers themselves."""
  paths = (folder / 'checkpoints' / str(number) / 'state').rglob('*')
  return max((p for p in paths if p.is_file()), key=lambda p: p.stat().st_size)


@pytest.mark.parametrize('damage', ['cut', 'flipped', 'emptied', 'removed'])
@pytest.mark.parametrize('file', [meta_file, state_file])
def test_damaged_checkpoints_are_passed_over(tmp_path, caplog, file, damage):
  template = jax.eval_shape(make_state)
  save(tmp_path, 10, 20)
  harm(file(tmp_path, 20), damage)
  number, meta = checkpoints.check_same_config(tmp_path, CONFIG)
  assert (number, meta['seconds']) == (10, 15.0)
  found = checkpoints.restore_newest(tmp_path, template, CONFIG)
  assert found.step == 10
  chex.assert_trees_all_equal(found.state, make_state())
  assert f'{tmp_path}/checkpoints/20: ' in caplog.text
  harm(file(tmp_path, 10), damage)
  for restore in (
    lambda: checkpoints.latest_meta(tmp_path),
    lambda: checkpoints.restore_newest(tmp_path, template, CONFIG),
  ):
    with pytest.raises(errors.UserError, match='none of the 2 checkpoints'):
      restore()


def test_damage_is_noticed_without_a_seal(tmp_path, caplog):
  save(tmp_path, 10, 20)
  for number in (10, 20):  # killed before they were sealed
    (tmp_path / 'checkpoints' / str(number) / checkpoints.SEAL).unlink()
  template = jax.eval_shape(make_state)
  found = checkpoints.restore_newest(tmp_path, template, CONFIG)
  assert (found.step, caplog.text) == (20, '')
  harm(state_file(tmp_path, 20), 'cut')
  found = checkpoints.restore_newest(tmp_path, template, CONFIG)
  assert found.step == 10
  assert 'Skipping checkpoint 20' in caplog.text


def test_a_damaged_seal_does_not_count(tmp_path):
  save(tmp_path, 10, 20)
  (tmp_path / 'checkpoints' / '20' / checkpoints.SEAL).write_text('{')
  assert checkpoints.latest_meta(tmp_path)[0] == 10


def test_a_full_disk_is_one_line_and_nothing_lost(tmp_path, monkeypatch):
  save(tmp_path, 10)
  usage = shutil.disk_usage(tmp_path)
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=50))
  with pytest.raises(
    errors.UserError, match=r'needs .* MiB, but 0\.0 MiB are free'
  ):
    save(tmp_path, 20)
  assert checkpoints.latest_meta(tmp_path)[0] == 10


@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_a_write_that_fails_midway_is_one_line(tmp_path):
  state = {'w': jnp.asarray(np.random.default_rng(0).normal(size=400_000))}
  save(tmp_path, 10)
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    with pytest.raises(
      errors.UserError, match='no checkpoint could be written'
    ):
      save(tmp_path, 20, state=state)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)
  assert checkpoints.latest_meta(tmp_path)[0] == 10


@pytest.mark.parametrize('number', [13, 20, 27])
def test_a_damaged_checkpoint_stands_in_no_way(tmp_path, number):
  save(tmp_path, 10, 20)
  meta_file(tmp_path, 20).write_text('')
  first = checkpoints.latest_meta(tmp_path)[0]
  assert first == 10
  # A resumed run saves below it, where it is interrupted, or at its step.
  with checkpoints.open_manager(tmp_path, keep=5, step=first) as manager:
    checkpoints.save(manager, number, make_state(), CONFIG, 0.0)
  found = checkpoints.restore_newest(tmp_path, make_state(), CONFIG)
  assert found.step == number


def test_an_unsealed_checkpoint_that_cannot_be_restored_is_not_sealed(tmp_path):
  save(tmp_path, 10, 20)
  seals = [
    tmp_path / 'checkpoints' / n / checkpoints.SEAL for n in ('10', '20')
  ]
  for path in seals:  # killed before they were sealed
    path.unlink()
  harm(state_file(tmp_path, 20), 'cut')
  first = checkpoints.restore_newest(tmp_path, make_state(), CONFIG).step
  with checkpoints.open_manager(tmp_path, keep=5, step=first) as manager:
    checkpoints.save(manager, 20, make_state(), CONFIG, 0.0)
  found = checkpoints.restore_newest(tmp_path, make_state(), CONFIG)
  assert found.step == 20
  assert all(path.exists() for path in seals)


def test_a_checkpoint_is_sealed_where_the_training_is_interrupted(tmp_path):
  with (
    pytest.raises(KeyboardInterrupt),
    checkpoints.open_manager(tmp_path, keep=5) as manager,
  ):
    checkpoints.save(manager, 10, make_state(), CONFIG, 0.0)
    raise KeyboardInterrupt
  assert (tmp_path / 'checkpoints' / '10' / checkpoints.SEAL).exists()


def test_a_seal_half_written_does_no_harm(tmp_path):
  save(tmp_path, 10)
  path = tmp_path / 'checkpoints' / '10' / checkpoints.SEAL
  path.rename(path.with_name(f'{checkpoints.SEAL}.tmp'))
  save(tmp_path, 20)
  assert path.exists()
  harm(meta_file(tmp_path, 20), 'cut')
  assert checkpoints.latest_meta(tmp_path)[0] == 10


def test_a_backup_by_its_old_name_is_found(tmp_path):
  folder = tmp_path / 'vae'
  assert checkpoints.backup(folder).name == 'vae.backup'
  (tmp_path / 'vae.former').mkdir()
  assert checkpoints.backup(folder).name == 'vae.former'


def test_the_backup_outlives_unfinished_replacements(tmp_path):
  folder = tmp_path / 'vae'
  for number in (10, 20, 30):  # finished; then two that replace it
    save(folder, number)
    checkpoints.move_to_backup(folder)
  assert checkpoints.latest_meta(checkpoints.backup(folder))[0] == 10
  assert not folder.exists()


def test_unfinished_saves_do_not_count(tmp_path):
  save(tmp_path, 10)
  temporary = tmp_path / 'checkpoints' / '20.orbax-checkpoint-tmp-7'
  temporary.mkdir()
  assert checkpoints.latest_meta(tmp_path)[0] == 10


def test_a_state_that_is_not_finite_is_refused():
  state = make_state()
  checkpoints.check_state_finite('vae', 7, state)
  for value in (np.nan, np.inf, -np.inf):
    network = one_network.network(state)
    w = network.params['w'].at[1, 0].set(value)
    network = network.replace(params=network.params | {'w': w})
    broken = state.replace(networks={one_network.NAME: network})
    with pytest.raises(errors.UserError, match=r'vae: .*not finite at step 7'):
      checkpoints.check_state_finite('vae', 7, broken)
  network = one_network.network(state)
  moments = network.opt_state[0]._replace(nu={'w': jnp.array([np.nan])})
  network = network.replace(opt_state=moments)
  broken = state.replace(networks={one_network.NAME: network})
  with pytest.raises(errors.UserError):
    checkpoints.check_state_finite('vae', 7, broken)


@flax.struct.dataclass
class _Pair:
  """The state of two networks as it was up to version 0.1."""

  step: jax.Array
  actor: state_lib.NetworkState
  critic: state_lib.NetworkState


@pytest.mark.parametrize('num_networks', [1, 2])
def test_checkpoints_of_the_old_layout_are_read(tmp_path, num_networks):
  network = one_network.network(make_state())
  network = network.replace(step=jnp.int32(10))
  other = jax.tree.map(lambda leaf: leaf + 1, network)
  if num_networks == 1:
    old, networks = network, {one_network.NAME: network}
  else:
    old = _Pair(jnp.int32(10), network, other)
    networks = {'actor': network, 'critic': other}
  with checkpoints.open_manager(tmp_path, keep=2) as manager:
    checkpoints.save(manager, 10, old, CONFIG, 3.0)
  now = state_lib.TrainState(jnp.int32(10), networks)
  found = checkpoints.restore_newest(
    tmp_path, jax.eval_shape(lambda: now), CONFIG
  )
  chex.assert_trees_all_equal(found.state, now)
  wider = jax.tree.map(lambda leaf: jnp.zeros((*leaf.shape, 2)), now)
  with pytest.raises(errors.UserError, match='of shape'):
    checkpoints.restore_newest(tmp_path, wider, CONFIG)


def test_delete(tmp_path):
  save(tmp_path / 'vae', 10)
  checkpoints.delete(tmp_path / 'vae')
  checkpoints.delete(tmp_path / 'vae')  # nothing left to remove
  assert not (tmp_path / 'vae').exists()

"""metrics.jsonl: one call late, exact under resume, NaN refused."""

import errno
import json
import os

import jax.numpy as jnp
import pytest

from lcjax import errors
from lcjax.training import metrics_log


def lines(folder):
  text = (folder / 'metrics.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def run(folder, first, last, every=1, stride=1):
  """Calls the hook after every `stride` steps; metrics follow from the step."""
  log = metrics_log.MetricsLog(folder, 'vae', every, first)
  for step in range(first + stride, last + 1, stride):
    log(step, None, {'loss': jnp.float32(1 / step), 'b': jnp.float32(step)})
  log.close()


def test_lines_are_written_one_call_late(tmp_path):
  log = metrics_log.MetricsLog(tmp_path, 'vae', every=1, step=0)
  for step in (1, 2, 3):
    log(step, None, {'loss': jnp.float32(step)})
    assert [line['step'] for line in lines(tmp_path)] == list(range(1, step))
  log.write(3, {'kl_nats': 0.5}, 'validation')
  log.close()
  assert lines(tmp_path) == [
    {'step': 1, 'train/loss': 1.0},
    {'step': 2, 'train/loss': 2.0},
    {'step': 3, 'validation/kl_nats': 0.5},
    {'step': 3, 'train/loss': 3.0},
  ]
  assert log.latest == {'train/loss': 3.0, 'validation/kl_nats': 0.5}
  assert list(tmp_path.glob('events.*'))


def test_flush_writes_what_is_noted_once(tmp_path):
  log = metrics_log.MetricsLog(tmp_path, 'vae', every=1, step=0)
  log(1, None, {'loss': jnp.float32(2.0)})
  log.flush()
  log.flush()
  assert lines(tmp_path) == [{'step': 1, 'train/loss': 2.0}]
  log.close()
  assert len(lines(tmp_path)) == 1


def test_period(tmp_path):
  run(tmp_path, 0, 40, every=10, stride=4)
  assert [line['step'] for line in lines(tmp_path)] == [12, 20, 32, 40]


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_what_is_not_finite_is_an_error_and_no_line(tmp_path, value):
  log = metrics_log.MetricsLog(tmp_path, 'vae', every=1, step=0)
  log(7, None, {'loss': jnp.float32(1.0), 'kl': jnp.float32(value)})
  with pytest.raises(errors.UserError, match=f'vae: kl is {value} at step 7'):
    log(8, None, {'loss': jnp.float32(1.0), 'kl': jnp.float32(1.0)})
  log.close()
  assert lines(tmp_path) == []


def test_resumed_log_equals_an_uninterrupted_one(tmp_path):
  for name in ('whole', 'parts'):
    (tmp_path / name).mkdir()
  run(tmp_path / 'whole', 0, 24, every=6, stride=2)
  run(tmp_path / 'parts', 0, 16, every=6, stride=2)
  run(tmp_path / 'parts', 8, 24, every=6, stride=2)  # checkpoint 8 is left
  whole, parts = (
    (tmp_path / name / 'metrics.jsonl').read_bytes()
    for name in ('whole', 'parts')
  )
  assert parts == whole
  assert [line['step'] for line in lines(tmp_path / 'parts')] == [6, 12, 18, 24]


def test_unfinished_last_line_is_dropped(tmp_path):
  run(tmp_path, 0, 3)
  path = tmp_path / 'metrics.jsonl'
  path.write_text(path.read_text()[:-5])
  assert [r['step'] for r in metrics_log.read(tmp_path)] == [1, 2]
  run(tmp_path, 2, 4)
  assert [line['step'] for line in lines(tmp_path)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
  'line',
  [
    b'{"step"', b'7', b'{}', b'{"a": "\xff"}', b'{"step": "2"}', b'[' * 100_000,
    b'{"step": 2, "train/loss": "low"}', b'{"step": 2, "train/loss": null}',
  ],
)  # fmt: skip
def test_a_damaged_line_before_the_last_is_named(tmp_path, line):
  run(tmp_path, 0, 3)
  path = tmp_path / 'metrics.jsonl'
  first, _, last = path.read_bytes().splitlines()
  path.write_bytes(b'\n'.join([first, line, last, b'']))
  with pytest.raises(errors.UserError, match=r'line 2 of .*is damaged'):
    metrics_log.read(tmp_path)


def test_a_log_that_cannot_be_read_is_named(tmp_path):
  (tmp_path / 'metrics.jsonl').mkdir()
  with pytest.raises(errors.UserError, match=r'metrics\.jsonl cannot be read'):
    metrics_log.read(tmp_path)


def test_a_log_that_cannot_be_appended_to_is_whole_at_every_sync(
  tmp_path, monkeypatch
):
  (tmp_path / 'appended').mkdir()
  run(tmp_path / 'appended', 0, 6)
  monkeypatch.setattr(metrics_log, '_appends', lambda path: False)
  folder = tmp_path / 'replaced'
  folder.mkdir()
  run(folder, 0, 3)
  log = metrics_log.MetricsLog(folder, 'vae', every=1, step=3)
  log.write(4, {'loss': 1.0}, 'train')
  assert [line['step'] for line in lines(folder)] == [1, 2, 3]
  log.sync()
  assert [line['step'] for line in lines(folder)] == [1, 2, 3, 4]
  log.close()
  run(folder, 3, 6)
  path = tmp_path / 'appended' / 'metrics.jsonl'
  assert (folder / 'metrics.jsonl').read_bytes() == path.read_bytes()


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
  log = metrics_log.MetricsLog(tmp_path, 'vae', every=1, step=0)
  log.write(1, {'loss': 1.0}, 'train')

  def full(number):
    raise OSError(errno.ENOSPC, 'No space left on device')

  with monkeypatch.context() as patch:
    patch.setattr(os, 'fsync', full)
    with pytest.raises(errors.UserError, match=r'metrics\.jsonl cannot be'):
      log.sync()
  log.close()


def test_nothing_to_read(tmp_path):
  assert metrics_log.read(tmp_path) == []


def test_skipped_steps_leave_out_what_was_never_finite(tmp_path):
  log = metrics_log.MetricsLog(tmp_path, 'vae', 1, 0, skip_nonfinite=True)
  metrics = {'loss': jnp.float32(jnp.nan), 'nonfinite_gradients': jnp.int32(3)}
  log(1, None, metrics)
  log.close()
  assert lines(tmp_path) == [{'step': 1, 'train/nonfinite_gradients': 3.0}]

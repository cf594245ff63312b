"""Runs a training, or an ensemble of trainings, to its end.

Adds to the loop of compiled steps: checkpoints, logs, validation, a progress
bar, and a stop with a checkpoint when a signal arrives.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm
from etils import epath

from lcjax import errors
from lcjax.training import checkpoints, loop, metrics_log, parallel, steps


class Schedule(NamedTuple):
  """The length of a training and the periods of its hooks, in steps.

  Attributes:
    num_steps: of the complete training.
    steps_per_call: in one dispatch.
    log_every: between lines of metrics.jsonl.
    evaluate_every: between validations.
    checkpoint_every: between checkpoints.
    keep: how many of the newest checkpoints to keep.
    keep_every: also keeps checkpoints at multiples of this step, if not 0.
    nonfinite: what to do about gradients that are not finite. 'skip' skips the
      update; 'stop' applies it, and training stops at the next metric or
      checkpoint that is not finite.
  """

  num_steps: int
  steps_per_call: int
  log_every: int
  evaluate_every: int
  checkpoint_every: int
  keep: int
  keep_every: int
  nonfinite: str

  @property
  def skips(self) -> bool:
    """Whether updates that are not finite are skipped."""
    return self.nonfinite == 'skip'


class Program(NamedTuple):
  """Compiled steps of one training, or of an ensemble.

  Attributes:
    step: `(state, batches, key) -> (state, metrics)`.
    pack: converts a state to the layout that the step takes.
    unpack: the inverse, to the layout that checkpoints store.
    members: an unpacked state -> the states of all members.
    metrics: metrics of the step -> those of all members.
  """

  step: steps.Step
  pack: Callable[[Any], Any]
  unpack: Callable[[Any], Any]
  members: Callable[[Any], Sequence[Any]]
  metrics: Callable[[steps.Metrics], Sequence[steps.Metrics]]


def alone(step: steps.Step) -> Program:
  """The program of a single training; `step` is from `compile_step`."""
  return Program(
    step,
    pack=parallel.on_all_devices,
    unpack=parallel.on_all_devices,
    members=lambda state: [state],
    metrics=lambda metrics: [metrics],
  )


class Member(NamedTuple):
  """One of the trainings of a program.

  Attributes:
    title: for errors.
    folder: of its log; created if it does not exist.
    evaluate: state -> validation values.
  """

  title: str
  folder: epath.Path
  evaluate: Callable[[Any], dict[str, float]]


class _Logs:
  """Splits metrics over the members' logs, with one transfer per call.

  Passes them on one call late, so that the device is never idle; the logs
  themselves write one call later still.
  """

  def __init__(
    self,
    logs: Sequence[metrics_log.MetricsLog],
    split: Callable[[steps.Metrics], Sequence[steps.Metrics]],
  ):
    self._logs, self._split = logs, split
    self._pending: tuple[int, steps.Metrics] | None = None

  def __call__(self, step: int, state: Any, metrics: steps.Metrics) -> None:
    del state
    self._pass_on()
    self._pending = step, metrics

  def _pass_on(self) -> None:
    if self._pending is None:
      return
    step, metrics = self._pending
    self._pending = None
    per_member = self._split(jax.device_get(metrics))
    for log, values in zip(self._logs, per_member, strict=True):
      log(step, None, values)

  def flush(self) -> None:
    """Writes what is pending."""
    self._pass_on()
    for log in self._logs:
      log.flush()

  def sync(self) -> None:
    """Writes what is pending and syncs the files to disk."""
    self._pass_on()
    for log in self._logs:
      log.sync()

  def close(self) -> None:
    self._pass_on()
    for log in self._logs:
      log.close()


class Run(NamedTuple):
  """A training or an ensemble to run, from a fresh or restored state.

  Attributes:
    title: for the progress bar and the message of a stop.
    folder: of the checkpoints.
    schedule: of the training.
    follows_from: inputs that determine the result, as JSON stores them;
      compared before a resume.
    members: all trainings of the program.
    state: to start or resume from, unpacked.
    seconds: training time up to that state.
    started: `time.perf_counter()` when this process began to work on it.
    shown: metrics in the progress bar, of the first member, such as
      'train/loss'.
  """

  title: str
  folder: epath.Path
  schedule: Schedule
  follows_from: Mapping[str, Any]
  members: Sequence[Member]
  state: Any
  seconds: float
  started: float
  shown: Sequence[str] = ()


def train(
  run: Run,
  program: Program,
  make_batches: Callable[[int, int], dict[str, np.ndarray]],
  key: jax.Array,
  should_stop: Callable[[], bool],
) -> Any:
  """Trains up to `num_steps`; takes no step if `run.state` is there already.

  Args:
    run: what to train.
    program: its compiled steps.
    make_batches: (first step, K) -> stacked batches, as the program takes them.
    key: of the complete run, the same at every step.
    should_stop: checked before every call.

  Returns:
    The final state, unpacked.

  Raises:
    UserError: a metric or a state is not finite, or a file cannot be written.
    Interrupted: `should_stop` returned True; the state has been checkpointed.
  """
  schedule, first = run.schedule, int(run.state.step)
  for member in run.members:
    member.folder.mkdir(parents=True, exist_ok=True)
  logs = [
    metrics_log.MetricsLog(
      member.folder, member.title, schedule.log_every, first, schedule.skips
    )
    for member in run.members
  ]
  log = _Logs(logs, program.metrics)
  previous = first
  with (
    checkpoints.open_manager(
      run.folder, schedule.keep, schedule.keep_every, first
    ) as manager,
    tqdm.tqdm(
      mininterval=0.1 if sys.stderr.isatty() else 10.0,
      disable=jax.process_index() != 0,
      total=schedule.num_steps,
      initial=first,
      desc=run.title,
      unit='step',
    ) as bar,
  ):

    def show(step: int, state: Any, metrics: steps.Metrics) -> None:
      del state, metrics
      bar.set_postfix(_shown(logs[0].latest, run.shown), refresh=False)
      bar.update(step - bar.n)

    def save(step: int, state: Any) -> None:
      log.sync()  # first, so that no checkpoint is ahead of the logs
      whole = program.unpack(state)
      states = program.members(whole)
      for member, one in zip(run.members, states, strict=True):
        checkpoints.check_state_finite(member.title, step, one)
      seconds = run.seconds + time.perf_counter() - run.started
      checkpoints.save(manager, step, whole, run.follows_from, seconds)

    def evaluate(step: int, state: Any) -> None:
      log.flush()
      states = program.members(program.unpack(state))
      for member, one, its_log in zip(run.members, states, logs, strict=True):
        values = member.evaluate(one)
        loop.check_finite(member.title, step, values)
        its_log.write(step, values, 'validation')

    def periodic(step: int, state: Any, metrics: steps.Metrics) -> None:
      nonlocal previous
      count, previous = step - previous, step
      ends = step == schedule.num_steps
      if loop.crossed(step, count, schedule.evaluate_every) or ends:
        evaluate(step, state)
      if loop.crossed(step, count, schedule.checkpoint_every) or ends:
        # Most metrics are not logged, hence not checked: check them here. A
        # skipped update leaves a metric that is not finite, but a finite state.
        if not schedule.skips:
          per_member = program.metrics(jax.device_get(metrics))
          for member, values in zip(run.members, per_member, strict=True):
            scalars = {name: float(v) for name, v in values.items()}
            loop.check_finite(member.title, step, scalars)
        save(step, state)

    try:
      state = loop.train(
        program.step,
        program.pack(run.state),
        make_batches,
        key,
        schedule.num_steps,
        schedule.steps_per_call,
        [log, periodic, show],
        lambda: parallel.any_process(should_stop()),
      )
      reached = int(state.step)
      if reached < schedule.num_steps:
        save(reached, state)
        checkpoints.finish(manager)  # raises if the write failed
        raise errors.Interrupted(
          f'{run.title} is checkpointed at step {reached}'
        )
      if parallel.any_process(should_stop()):  # signalled in the last steps
        checkpoints.finish(manager)
        raise errors.Interrupted(f'{run.title} is finished')
    finally:
      log.close()
  return program.unpack(state)


def _shown(latest: Mapping[str, float], names: Sequence[str]) -> dict[str, str]:
  """Formats the metrics in `names` for the progress bar."""
  return {
    name.replace('validation/', 'val/').replace('train/', ''): f'{value:.4g}'
    for name, value in latest.items()
    if name in names
  }

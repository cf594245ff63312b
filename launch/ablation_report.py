"""What `launch.ablate` says at its end: one table, and curves."""

import json
from collections.abc import Mapping
from typing import Any

from etils import epath

from launch import compare_report, files, stage, startup, tasks
from lcjax.evaluation import ablations, plots
from lcjax.training import metrics_log


def curves(
  jobs: Mapping[str, startup.Job],
) -> dict[str, dict[str, dict[str, ablations.Line]]]:
  """Mean curves over seeds: stage -> metric -> ablations -> line.

  Ablations that share a training share a line.
  """
  lines: dict[str, dict[str, tuple[list[str], dict[str, ablations.Line]]]] = {}
  for name, job in jobs.items():
    for which in stage.trainings(job.config):
      repeats = range(1 if which is stage.CLASSIFIER else job.config.num_seeds)
      key = tasks.identity(tasks.Task(name, job, which, 0))
      own = lines.setdefault(which.name, {})
      if key not in own:
        folders = [stage.folder_of(job.workdir, which, r) for r in repeats]
        seeds = [metrics_log.read(folder) for folder in folders]
        own[key] = [], ablations.mean_curves(seeds)
      own[key][0].append(name)
  found: dict[str, dict[str, dict[str, ablations.Line]]] = {}
  for stage_name, own in lines.items():
    panels = found.setdefault(stage_name, {})
    for names, curves_of in own.values():
      label = ablations.all_or_some(names, jobs)
      for metric, line in curves_of.items():
        panels.setdefault(metric, {})[label] = line
  return found


def write(
  workdir: epath.Path,
  jobs: Mapping[str, startup.Job],
  changes: Mapping[str, Mapping[str, Any]],
  command: str,
) -> None:
  """Writes WORKDIR/compare: metrics.json, report.md, report.html, curves.

  Args:
    workdir: of the whole.
    jobs: of the ablations, compared already.
    changes: ablation -> dotted key -> value.
    command: that made all this.
  """
  found = {
    name: json.loads((job.workdir / 'compare' / 'metrics.json').read_text())
    for name, job in jobs.items()
  }
  first = next(iter(found.values()))
  exclusive, num_seeds = first['exclusive'], first['num_seeds']
  scores = {name: report['rows'] for name, report in found.items()}
  metrics = compare_report.readme_metrics(exclusive)
  table = ablations.table(scores, metrics, exclusive)
  notes = ablations.references(scores, metrics)
  folder = workdir / 'compare'
  figures = []
  for stage_name, panels in curves(jobs).items():
    drawn = plots.compared_curves(panels)
    files.write(folder / f'curves_{stage_name}.png', drawn)
    figures.append((stage_name, drawn))
  facts = {
    'command': command,
    'seeds': num_seeds,
    'hardware': first['hardware'],
    'versions': first['versions'],
  }
  title = f'Ablations of {", ".join(jobs)}: {first["config"]["data"]["name"]}'
  text = ablations.markdown(table, notes)
  files.write(folder / 'report.md', text)
  files.write(
    folder / 'report.html',
    ablations.render_html(title, table, changes, figures, facts, notes),
  )
  files.write_json(
    folder / 'metrics.json',
    {'title': title, 'baseline': table.columns[-1], 'exclusive': exclusive}
    | facts
    | {
      'ablations': {
        name: {'changes': changes[name], 'rows': scores[name]} for name in jobs
      }
    },
  )
  print(text, end='')
  print(f'report: {folder / "report.html"}')

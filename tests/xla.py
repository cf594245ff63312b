"""Flags of XLA for all processes of the tests: programs compile fast.

In these tests, compiling takes longer than running. Without XLA's newer
emitters of fused operations it takes half as long; and the tests themselves
keep all cores busy.
"""

FLAGS = ' '.join(
  (
    '--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters',
    '--xla_cpu_parallel_codegen_split_count=1',
  )
)

"""The workloads of `launch.benchmark`, one function each."""

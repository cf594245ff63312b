"""What `launch.benchmark` measures: one function for every workload."""

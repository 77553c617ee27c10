"""The two sides of ``benchmarks/grpo_step.py``, each a process that takes one step when told to."""

"""A launch that would quietly train with fewer processes than were asked for."""

from __future__ import annotations

from collections.abc import Mapping


def check_launch(environment: Mapping[str, str]) -> None:
    """Refuse what ``accelerate launch --cpu --num_processes 2`` starts without MPI: one process.

    accelerate then sets the address to meet at, but neither a rank nor a world size; without this check the
    run would go on alone, with the right result at half of the speed.

    Raises:
        ValueError: ``environment`` is that of such a process.
    """
    on_cpu = environment.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    sized = "WORLD_SIZE" in environment or any(
        name in environment for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
    )
    if on_cpu and "MASTER_PORT" in environment and not sized:
        raise ValueError(
            "several CPU processes were asked for, but 'accelerate launch --cpu' starts one unless MPI does "
            "it; use: ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes 2 ... "
            "(or leave --num_processes out)"
        )

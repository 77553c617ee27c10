"""FLOOR 4: supervised fine-tuning and reinforcement fine-tuning on ``accelerate``."""

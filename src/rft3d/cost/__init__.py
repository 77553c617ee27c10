"""What a recipe costs, known before it runs: parameters, memory by part, FLOPs by stage (``rft3d estimate``)."""

from rft3d.cost.price import Estimate, estimate_recipe

__all__ = ["Estimate", "estimate_recipe"]

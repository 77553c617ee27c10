"""What a recipe costs, known before it runs: parameters, memory by part, FLOPs by stage (``rft3d estimate``)."""

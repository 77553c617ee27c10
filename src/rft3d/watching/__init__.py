"""FLOOR 3: what a stage's answers look like apart from their reward, and the alarms for reward hacking."""

"""The whole story on a small machine: rooms, encoders, SFT, RFT, scores, report.

Stands between the roof and everything else: it may use all floors, only ``cli`` uses it.
"""

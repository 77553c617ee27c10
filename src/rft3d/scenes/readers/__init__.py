"""Readers of published data sets, listed in :mod:`rft3d.scenes.sources`.

Every reader streams (one record in memory at a time, except where a pickle is one value), reads records by
:mod:`rft3d.typed`, and says where the layout is documented and what of it could not be verified.
"""

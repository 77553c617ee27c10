"""Readers of published data sets, one file each; ``SOURCES`` and ``RECORDS`` of :mod:`rft3d.scenes.sources`
list them.

Every reader streams (one record in memory at a time, except where a pickle is one value), checks what it
reads, names file, record, field, value and fix in its errors, and says in its first lines where the layout
is documented and what of it could not be verified.
"""

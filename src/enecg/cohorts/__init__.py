"""Cohorts: tables of recordings with labels, split by subject.

To add a data set that comes as a folder of its own layout, write `enecg/cohorts/<name>.py` with two functions and
name it in `LAYOUTS`; `Cohort.load` then takes its folder where it takes a manifest:

- `recognises(folder) -> bool`: does this folder hold the data set?
- `table(folder) -> DataFrame`: one row a recording, with the columns of a manifest (`enecg.cohorts.manifest`).
"""

from typing import Final

LAYOUTS: Final = ("ptbxl",)

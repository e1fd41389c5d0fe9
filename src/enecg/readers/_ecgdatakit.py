"""From what the package ecgdatakit makes of a hospital's file to a `Recording`; the readers of its formats share it."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from enecg.errors import DAMAGE, ReadError, require
from enecg.readers.common import (
    age_in_years,
    caught_warnings,
    choose_leads,
    common_amplitude,
    first_line,
    sex_of,
    stated_or_given,
)
from enecg.recording import Recording, Subject

DEEPEST: Final = 64  # elements within each other; the files of the two makers have about ten

# What ecgdatakit warns of and reads on; for a measurement that is damage.
_DAMAGE_WARNED: Final = re.compile(r"truncated|CRC32 mismatch in lead \S+ \(rhythm\)|gaps between data records")


def read_with(parser: str, path: Path, rate: float | None, unit: str | None) -> Recording:
    """Read a file with one of ecgdatakit's parsers.

    A sample is stored x resolution + offset, in the unit that the file states. Checksums that do not fit, data records
    that are missing and records with gaps between them are refused: a measurement with holes would look whole.

    Args:
        parser: `module.Class` in `ecgdatakit.parsing.parsers`.
        path: the file.
        rate: Hz, for a file that does not state it.
        unit: of the amplitude, for a file that does not state it.
    """
    package = require("ecgdatakit", "formats", "reading MUSE XML, Philips XML and EDF")
    module, _, name = parser.rpartition(".")
    make = getattr(import_module(f"ecgdatakit.parsing.parsers.{module}"), name)
    where = str(path)
    try:
        with caught_warnings() as caught:
            found = make().parse(path)
    except (package.ECGDataKitError, *DAMAGE) as error:
        raise ReadError(f"{where}: damaged file: {first_line(error)}".replace(f" in {where}", "")) from error
    for warning in caught:
        told = str(warning.message)
        if _DAMAGE_WARNED.search(told):
            raise ReadError(f"{where}: damaged file: {told.split(' of ')[0].split(';')[0]}; export it again")
    return _recording(found, rate, unit, where)


def _recording(found: Any, rate: float | None, unit: str | None, where: str) -> Recording:
    rows, notes = choose_leads([lead.label for lead in found.leads])
    leads = [found.leads[row] for row in rows]
    names = [lead.label for lead in leads]
    if not leads:
        raise ReadError(f"{where}: there is no signal in it")
    exact = found.raw_metadata.get("exact_sampling_rates", {})  # of EDF, where it is no whole number
    rates = {float(exact.get(lead.label, lead.sampling_rate)) for lead in leads}
    counts = {len(lead.samples) for lead in leads}
    if len(rates) > 1 or len(counts) > 1:
        raise ReadError(f"{where}: its leads differ in rate or length; export them at one rate")
    units = [stated_or_given(lead.resolution_unit or None, unit, "unit", f"{where}, lead {lead.label}")
             for lead in leads]  # fmt: skip
    factors, amplitude = common_amplitude(units, names, where)
    signal = np.stack([(lead.samples * lead.resolution + lead.offset) * factor
                       for lead, factor in zip(leads, factors, strict=True)])  # fmt: skip
    filters, patient, day = found.recording.acquisition.filters, found.patient, found.recording.date
    known = filters.highpass is not None and filters.lowpass is not None
    return Recording(
        signal=signal,
        rate=stated_or_given(rates.pop(), rate, "rate", where),
        leads=tuple(names),
        amplitude=amplitude,
        subject=Subject(patient.patient_id or None, age_in_years(_text(patient.age)), sex_of(patient.sex)),
        source=where,
        band=(filters.highpass, filters.lowpass) if known else None,
        notes=notes,
        facts={"recorded": f"{day:%Y-%m-%d}"} if day else {},
    )


def check_xml(path: Path) -> None:
    """Raise `ReadError` for XML that declares entities, refers to others' or is nested without end.

    A DOCTYPE is allowed and not followed: GE's files have one. Text that is no XML is left to its parser.
    """
    require("defusedxml", "formats", "reading XML")
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    depth = 0
    try:
        for event, element in iterparse(path, events=("start", "end")):
            depth += 1 if event == "start" else -1
            if depth > DEEPEST:
                break
            if event == "end":
                element.clear()
    except DefusedXmlException as error:
        raise ReadError(f"{path}: its XML declares entities, which are not read; export it without them") from error
    except (ParseError, ValueError, LookupError):  # such as an encoding that is not as it says
        return
    if depth:
        raise ReadError(f"{path}: XML nested over {DEEPEST} deep; this is not a recording")


def _text(age: float | None) -> str | None:
    return None if age is None else str(age)

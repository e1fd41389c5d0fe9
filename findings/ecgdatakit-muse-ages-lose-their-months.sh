#!/usr/bin/env bash
# Guess: a MUSE file that says PatientAge 18, AgeUnits MONTHS gives an age of 1.5 years, or 18 with its unit beside it.
# Seen (ecgdatakit 2.0.3): the age comes as a whole number of years without a unit: 18 months are 1, 8 months and 45 weeks are 0,
#   60 hours are 0. Nothing is said. Norms of the heart rate differ by tens of beats between these ages.
# Who meets it: children's wards, and every cohort that filters by age.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv env >/dev/null; env/bin/pip install --quiet --disable-pip-version-check ecgdatakit==2.0.3 defusedxml==0.7.1
env/bin/python -W error - <<'PY'
import base64, pathlib
import numpy as np
from ecgdatakit.parsing.parsers.ge_muse_xml import GEMuseXMLParser as parser
samples = base64.b64encode((200 * np.sin(np.arange(2500) / 20)).astype("<i2").tobytes()).decode()
lead = ("<LeadData><LeadByteCountTotal>5000</LeadByteCountTotal><LeadTimeOffset>0</LeadTimeOffset>"
        "<LeadSampleCountTotal>2500</LeadSampleCountTotal><LeadAmplitudeUnitsPerBit>4.88</LeadAmplitudeUnitsPerBit>"
        "<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><LeadID>{}</LeadID><LeadSampleSize>2</LeadSampleSize>"
        f"<WaveFormData>{samples}</WaveFormData></LeadData>")
leads = "".join(lead.format(name) for name in ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"))
seen = {}
for number, unit in ((18, "MONTHS"), (8, "MONTHS"), (45, "WEEKS"), (60, "HOURS"), (30, "YEARS")):
    pathlib.Path("m.xml").write_text(
        "<?xml version='1.0' encoding='UTF-8'?><RestingECG><MuseInfo><MuseVersion>9.0</MuseVersion></MuseInfo>"
        f"<PatientDemographics><PatientID>X</PatientID><PatientAge>{number}</PatientAge><AgeUnits>{unit}</AgeUnits>"
        "<Gender>FEMALE</Gender></PatientDemographics><TestDemographics><AcquisitionDate>01-02-2020</AcquisitionDate>"
        "<AcquisitionTime>10:00:00</AcquisitionTime></TestDemographics><Waveform><WaveformType>Rhythm</WaveformType>"
        "<NumberofLeads>8</NumberofLeads><SampleBase>250</SampleBase><SampleExponent>0</SampleExponent>"
        f"{leads}</Waveform></RestingECG>")
    found = parser().parse(pathlib.Path("m.xml"))
    seen[number, unit] = found.patient.age
    print(number, unit, "->", found.patient.age)
assert seen[30, "YEARS"] == 30 and seen[18, "MONTHS"] == 1 and seen[8, "MONTHS"] == 0
PY

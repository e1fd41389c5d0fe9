"""From a table of recordings to answers, in Python: generate a small cohort, fit, evaluate, predict.

The cohort is generated, so that this runs anywhere; with your own, start at `enecg.fit("manifest.csv", ...)`.
"""

from pathlib import Path

import enecg
from enecg.simulation import make_cohort

folder = Path("quickstart")
manifest = make_cohort(folder / "cohort", n_subjects=120, seed=1)

bundle = enecg.fit(
    manifest,
    tasks="rr_interval,age,sex",
    experts="rhythm,beat",  # "offline" takes all experts that need no download
    store=folder / "store",
    where="fold <= 8",
)
bundle.save(folder / "bundle")

results = enecg.evaluate(bundle, manifest, store=folder / "store", where="fold > 8", replicates=200)
for name, task in results.document["tasks"].items():
    scored = task["ensemble"][task["metric"]]
    print(
        f"{name}: {task['metric']} {scored['value']:.3g} [{scored['low']:.3g}, {scored['high']:.3g}], n = {task['n']}"
    )

recording = next((folder / "cohort" / "records").glob("*.hea"))
answer = enecg.predict(folder / "bundle", recording)
age = answer["predictions"][0]["tasks"]["age"]
print(f"age {age['value']:.0f} years (90 % interval {age['low']:.0f} to {age['high']:.0f}), trusted: {age['weights']}")
print(answer["notice"])

"""The UNet compiled with changed recipes; for the scripts of this folder."""

import json
import os
import re
import subprocess
import tempfile

MODEL, SAMPLES = "testdata/patterns-sd2/opset17-fp32", "testdata/patterns-sd2/samples"
# What names nothing in this model is an error in a recipe file; only built-in recipes may describe many models.
ABSENT = r"pos_embed|add_emb|time_text_emb|quant_conv|text_encoder|vae_|up_blocks\.3"


def builtin(name):
    """The text of a built-in recipe, without what this model lacks."""
    with open(f"compiler/recipe/builtin/{name}.yaml") as file:
        lines = file.read().split("\n")
    return "\n".join(line for line in lines if not re.search(ABSENT, line)).replace("modules:\n", "")


class Unet:
    """Calibrates once."""

    def __init__(self, build="build", model=MODEL, samples=SAMPLES, flags=()):
        self.folder = tempfile.TemporaryDirectory()
        folder = self.folder.name
        self.command = [f"{build}/bin/sdopt-compile", model, "--modules", "unet", "--recipe", f"{folder}/r.yaml", "--samples", samples,
                        "-o", f"{folder}/u.sdnpu", "--report", folder, "--quiet", *flags]
        self.statistics = ["--statistics-out", folder]

    def report(self, recipe):
        """What the report says of the module with a recipe of this text."""
        folder = self.folder.name
        with open(f"{folder}/r.yaml", "w") as file:
            file.write(recipe)
        subprocess.run(self.command + self.statistics, check=True, stdout=subprocess.DEVNULL)
        self.statistics = ["--statistics", f"{folder}/unet.pb"]
        with open(f"{folder}/report.json") as file:
            return json.load(file)["modules"][0]


class Results:
    """What was measured of recipes, one to a line of a file; what is there is not measured again."""

    FIELDS = ("weight_bits", "psnr", "worst_psnr", "guided_psnr")

    def __init__(self, path, build, model=MODEL, samples=SAMPLES):
        self.path, self.known, self.units, self.unet = path, {}, {}, (build, model, samples)
        if os.path.exists(path):
            with open(path) as file:
                self.known = {entry["recipe"]: entry for entry in map(json.loads, file)}

    def of(self, recipe):
        if recipe not in self.known:
            # Statistics are of the function as it is pruned.
            pruning = str(re.findall(r"prune\w*: \w+|sparsity: [\d.:]+", recipe))
            if pruning not in self.units:
                self.units[pruning] = Unet(*self.unet, flags=("--sensitivity", f"{self.path}.sensitivity" + re.sub(r"\W+", "-", pruning)))
            report = self.units[pruning].report(recipe)
            self.known[recipe] = {"recipe": recipe, **{field: report[field] for field in self.FIELDS}}
            with open(self.path, "a") as file:
                file.write(json.dumps(self.known[recipe]) + "\n")
        return self.known[recipe]

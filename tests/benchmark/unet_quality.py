"""The UNet compiled with changed recipes; for the scripts of this folder."""

import json
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

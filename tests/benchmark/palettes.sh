#!/bin/sh
# PSNR of the UNet against bytes for its weights: uniform codes, palettes, coded palettes, pruned and searched forms, as a Markdown
# table and a curve.
#   tests/benchmark/palettes.sh [BUILD_FOLDER [CURVE.svg [RESULTS [known]]]]     exit code 1 if palettes lose at equal bytes
# RESULTS (default: BUILD_FOLDER/palettes.jsonl) keeps a line for each setting that was measured, those of 3 and 4 bits first; what it
# has is not measured again. "known": nothing is measured, the table and the curve are of what RESULTS has.
# But for searched forms all layers of the UNet have the form of their row, so that nothing but the form decides.
cd "$(dirname "$0")/../.." && PYTHONPATH=tests/benchmark exec python3 -B - "$@" <<'PYTHON'
import json
import os
import sys
from unet_quality import Unet

build, curve, kept, known = (sys.argv[1:5] + ["build", "docs/palettes.svg", "", ""][len(sys.argv) - 1:])[:4]
kept = kept or f"{build}/palettes.jsonl"
groups = "group_size: 64, weight_symmetric: false"
layer = "weight_coding: palette"
coded = layer + ", storage: entropy, weight_bits: 7, coded_bits: {}"
half = "prune: sparsegpt, sparsity: 0.5, prune_update: least_squares, "
width = "weight_bits: {}, "
# name, colour, settings, values of {}, roundings
forms = [("uniform, groups of 64", "#c62828", width + groups, (2, 3, 4, 5, 6, 7), ("gptq", "nearest")),
         ("uniform, one scale a channel", "#ef6c00", width + "group_size: 0", (3, 4, 5, 6, 8), ("gptq",)),
         ("palette of a layer", "#1565c0", width + layer, (1, 2, 3, 4, 5, 6), ("gptq", "nearest")),
         ("palettes of 8 channels", "#2e7d32", width + layer + ", palette_outputs: 8", (2, 3, 4, 5), ("gptq",)),
         ("palette of a channel", "#6a1b9a", width + layer + ", palette_outputs: 1", (2, 3, 4, 5), ("gptq",)),
         ("coded palette of a layer", "#00838f", coded, (1.5, 2, 2.5, 3, 3.5, 4, 5, 6), ("gptq", "nearest")),
         ("half zero, uniform", "#9e9d24", half + width + groups, (3, 4, 6), ("gptq",)),
         ("half zero, coded palette", "#5d4037", half + coded, (1.5, 2, 3, 4), ("gptq",)),
         ("searched: uniform", "#ad1457", "budget", (3.5, 4, 5), ("gptq",)),
         ("searched: coded palettes", "#000000", "budget", (2, 2.5, 3, 4, 5), ("gptq",)),
         ("searched: coded palettes, half zero or not", "#757575", "budget", (2, 2.5, 3, 4), ("gptq",))]
searched = {"searched: uniform": width.format(4) + groups, "searched: coded palettes": coded.format(4),
            "searched: coded palettes, half zero or not": half + coded.format(4)}


def recipe(name, settings, value, rounding):
    head = f"budget: {value}bit\n" if settings == "budget" else ""
    settings = searched[name] if head else settings.format(value)
    return f"version: 1\nname: r\n{head}global: {{{settings}, rounding: {rounding}, activation_bits: 16}}\n"


class Results:
    """Measured bytes a weight and PSNR of recipes."""

    def __init__(self, path):
        self.path, self.known, self.units = path, {}, {}
        if os.path.exists(path):
            with open(path) as file:
                for line in file:
                    entry = json.loads(line)
                    self.known[entry["recipe"]] = entry["bytes"], entry["psnr"]

    def measure(self, text):
        if text not in self.known:
            # Statistics are of the function as it is pruned; errors of layers serve all budgets.
            key = text.split("prune: ")[-1].split(", weight")[0] if "prune: " in text else ""
            if key not in self.units:
                self.units[key] = Unet(build)
                self.units[key].command += ["--sensitivity", f"{self.path}.sensitivity-{len(self.units)}-{os.getpid()}"]
            report = self.units[key].report(text)
            self.known[text] = report["weight_bits"] / 8, report["psnr"]
            with open(self.path, "a") as file:
                file.write(json.dumps({"recipe": text, "bytes": self.known[text][0], "psnr": self.known[text][1]}) + "\n")
        return self.known[text]


def at(points, size):
    """PSNR at a size, between the measured ones; the last one's beyond them."""
    points = sorted(points)
    for (x, y), (u, v) in zip(points, points[1:]):
        if x <= size <= u:
            return y + (v - y) * (size - x) / (u - x)
    return points[-1][1] if size > points[-1][0] else float("-inf")


def draw(path, series):
    width, height, left, bottom = 720, 440, 50, 40
    xs = [x for _, points in series.values() for x, _ in points]
    ys = [y for _, points in series.values() for _, y in points]
    low, high, wide = int(min(ys) / 5) * 5, int(max(ys) / 5 + 1) * 5, max(xs) * 1.05
    place = lambda x, y: (left + x / wide * (width - left - 10), height - bottom - (y - low) / (high - low) * (height - bottom - 20))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
             '<rect width="100%" height="100%" fill="white"/>',
             f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">bytes a weight in the package, scales and palettes included</text>',
             '<text x="8" y="14">PSNR of one step, dB</text>']
    for y in range(low, high + 1, 5):
        ax, ay = place(0, y)
        parts.append(f'<line x1="{ax:.1f}" y1="{ay:.1f}" x2="{width - 10}" y2="{ay:.1f}" stroke="#ddd"/><text x="{ax - 6:.1f}" y="{ay + 4:.1f}" text-anchor="end">{y}</text>')
    for tenth in range(0, int(wide * 10) + 1):
        px, py = place(tenth / 10, low)
        parts.append(f'<text x="{px:.1f}" y="{py + 16:.1f}" text-anchor="middle">{tenth / 10:g}</text>')
    top = height - bottom - 14 * len(series)
    for index, (name, (colour, points)) in enumerate(series.items()):
        dashes = ' stroke-dasharray="4 3"' if name.endswith("nearest") else ""
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in sorted(points)))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}"{dashes}/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in (place(*point) for point in points)]
        parts.append(f'<line x1="{width - 310}" y1="{top + 14 * index}" x2="{width - 280}" y2="{top + 14 * index}" stroke="{colour}"{dashes}/>')
        parts.append(f'<text x="{width - 274}" y="{top + 4 + 14 * index}">{name}</text>')
    with open(path, "w") as file:
        file.write("\n".join(parts + ["</svg>"]) + "\n")


results = Results(kept)
rows = [(name, colour, recipe(name, settings, value, rounding), value, rounding)
        for name, colour, settings, values, roundings in forms for rounding in roundings for value in values]
for _, _, text, value, _ in sorted(rows, key=lambda row: (row[3] not in (3, 4), "budget" in row[2])):
    if not known:
        results.measure(text)
series = {}
print("| weights | bits | rounding | bytes a weight | PSNR |\n|---|---|---|---|---|")
for name, colour, text, value, rounding in rows:
    if text in results.known:
        size, psnr = results.known[text]
        series.setdefault(name + (", nearest" if rounding == "nearest" else ""), (colour, {}))[1][value] = size, psnr
        print(f"| {name} | {value} | {rounding} | {size:.4f} | {psnr:.1f} |")
draw(curve, {name: (colour, list(points.values())) for name, (colour, points) in series.items()})
missed = False
for end in ("", ", nearest"):
    for bits, allowed in ((3, 0), (4, 0.3)):
        size, uniform = series[forms[0][0] + end][1][bits]
        found = {name: at(points.values(), size) for name, (_, points) in series.items()
                 if "palette" in name and name[0] in "pc" and name.endswith("nearest") == bool(end)}
        best = max(found, key=found.get)
        print(f"\n{bits} bits{end}, {size:.4f} bytes a weight: uniform {uniform:.2f} dB, {best} {found[best]:.2f} dB", end="")
        missed |= found[best] < uniform - allowed
print()
sys.exit(missed)
PYTHON

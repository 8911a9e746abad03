#!/bin/sh
# PSNR of the UNet against bytes for its weights: uniform codes, palettes, coded palettes, pruned and searched forms, as a Markdown
# table and a curve.
#   tests/benchmark/palettes.sh [BUILD_FOLDER [CURVE.svg [RESULTS [known]]]]     exit code 1 if palettes lose at equal bytes
# RESULTS (default: BUILD_FOLDER/palettes.jsonl) keeps a line for each setting that was measured, those of 3 and 4 bits first; what it
# has is not measured again. "known": nothing is measured, the table and the curve are of what RESULTS has.
# But for searched forms all layers of the UNet have the form of their row, so that nothing but the form decides.
cd "$(dirname "$0")/../.." && PYTHONPATH=tests/benchmark exec python3 -B - "$@" <<'PYTHON'
import re
import sys
from unet_quality import Results, builtin

build, curve, kept, known = (sys.argv[1:5] + ["build", "docs/palettes.svg", "", ""][len(sys.argv) - 1:])[:4]
kept = kept or f"{build}/palettes.jsonl"
groups = "group_size: 64, weight_symmetric: false"
layer = "weight_coding: palette"
coded = layer + ", storage: entropy, weight_bits: 7, coded_bits: {}"
half = "prune: sparsegpt, sparsity: 0.5, prune_update: least_squares, "
width = "weight_bits: {}, "
# name, colour, settings, values of {} with gptq, with nearest codes
forms = [("uniform, groups of 64", "#c62828", width + groups, (2, 3, 4, 5, 6), (3, 4, 5)),
         ("uniform, groups of 64, coded", "#f48fb1", width + groups + ", storage: entropy", (3, 4), (3, 4)),
         ("uniform, one scale a channel", "#ef6c00", width + "group_size: 0", (3, 4, 5, 6, 8), ()),
         ("uniform, one scale a channel, coded", "#ffb300", width + "group_size: 0, storage: entropy", (4, 5, 6), ()),
         ("palette of a layer", "#1565c0", width + layer, (1, 2, 3, 4, 5, 6), (3, 4, 5)),
         ("palettes of 8 channels", "#2e7d32", width + layer + ", palette_outputs: 8", (2, 3, 4, 5), ()),
         ("palette of a channel", "#6a1b9a", width + layer + ", palette_outputs: 1", (3, 4), ()),
         ("coded palette of a layer", "#00838f", coded, (1.5, 2, 2.5, 3, 3.5, 4, 5, 6), (3, 3.5, 4, 5)),
         ("half zero, uniform", "#9e9d24", half + width + groups, (3, 4, 6), ()),
         ("half zero, coded palette", "#5d4037", half + coded, (1.5, 2, 3, 4), ()),
         ("searched: uniform", "#ad1457", "budget", (3.5, 4, 5), ()),
         ("searched: coded palettes (`palette-mixed`)", "#000000", "palette-mixed", (2, 2.5, 3, 4, 5), ()),
         ("searched: coded palettes, half zero or not (`deep-compression`)", "#757575", "deep-compression", (2, 2.5, 3, 4), ())]


def recipe(settings, value, rounding):
    if "-" in settings:
        return re.sub("budget: .*bit", f"budget: {value}bit", builtin(settings))
    head = f"budget: {value}bit\n" if settings == "budget" else ""
    settings = width.format(4) + groups if head else settings.format(value)
    return f"version: 1\nname: r\n{head}global: {{{settings}, rounding: {rounding}, activation_bits: 16}}\n"


def at(points, size):
    """PSNR at a size, between the measured ones; the last one's beyond them."""
    points = sorted(points)
    for (x, y), (u, v) in zip(points, points[1:]):
        if x <= size <= u:
            return y + (v - y) * (size - x) / (u - x)
    return points[-1][1] if size > points[-1][0] else float("-inf")


def draw(path, series):
    width, height, left, right, bottom = 960, 480, 50, 390, 40  # the legend is at the right
    xs = [x for _, points in series.values() for x, _ in points]
    ys = [y for _, points in series.values() for _, y in points]
    low, high = int(min(ys) / 5) * 5, int(max(ys) / 5 + 1) * 5
    narrow, wide = int(min(xs) * 10) / 10, int(max(xs) * 10 + 1) / 10
    place = lambda x, y: (left + (x - narrow) / (wide - narrow) * (width - left - right), height - bottom - (y - low) / (high - low) * (height - bottom - 20))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
             '<rect width="100%" height="100%" fill="white"/>',
             f'<text x="{(left + width - right) / 2}" y="{height - 8}" text-anchor="middle">bytes a weight in the package, scales and palettes included</text>',
             '<text x="8" y="14">PSNR of one step, dB</text>']
    for y in range(low, high + 1, 5):
        ax, ay = place(narrow, y)
        parts.append(f'<line x1="{ax:.1f}" y1="{ay:.1f}" x2="{width - right}" y2="{ay:.1f}" stroke="#ddd"/><text x="{ax - 6:.1f}" y="{ay + 4:.1f}" text-anchor="end">{y}</text>')
    for tenth in range(round(narrow * 10), round(wide * 10) + 1):
        px, py = place(tenth / 10, low)
        parts.append(f'<line x1="{px:.1f}" y1="20" x2="{px:.1f}" y2="{py:.1f}" stroke="#eee"/><text x="{px:.1f}" y="{py + 16:.1f}" text-anchor="middle">{tenth / 10:g}</text>')
    for index, (name, (colour, points)) in enumerate(series.items()):
        dashes = ' stroke-dasharray="4 3"' if name.endswith("nearest") else ""
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in sorted(points)))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}"{dashes}/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in (place(*point) for point in points)]
        at, key = 24 + 16 * index, width - right + 20
        parts.append(f'<line x1="{key}" y1="{at}" x2="{key + 30}" y2="{at}" stroke="{colour}"{dashes}/>')
        parts.append(f'<text x="{key + 36}" y="{at + 4}">{name.replace("`", "")}</text>')
    with open(path, "w") as file:
        file.write("\n".join(parts + ["</svg>"]) + "\n")


results = Results(kept, build)
rows = [(name, colour, recipe(settings, value, rounding), value, rounding) for name, colour, settings, *values in forms
        for rounding, some in zip(("gptq", "nearest"), values) for value in some]
for _, _, text, value, _ in sorted(rows, key=lambda row: ("budget" in row[2], row[3] not in (3, 4))):
    if not known:
        results.of(text)
series = {}
print("| weights | bits | rounding | bytes a weight | PSNR |\n|---|---|---|---|---|")
for name, colour, text, value, rounding in rows:
    if text in results.known:
        size, psnr = results.known[text]["weight_bits"] / 8, results.known[text]["psnr"]
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

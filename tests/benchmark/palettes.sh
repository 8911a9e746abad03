#!/bin/sh
# PSNR of the UNet against bytes for its weights: palettes beside uniform codes, as a Markdown table and a curve.
#   tests/benchmark/palettes.sh [BUILD_FOLDER [CURVE.svg]]     exit code 1 if palettes lose at equal bytes
# All layers of the UNet have the form of their row, so that nothing but the form decides.
cd "$(dirname "$0")/../.." && PYTHONPATH=tests/benchmark exec python3 -B - "$@" <<'PYTHON'
import sys
from unet_quality import Unet

build, curve = (sys.argv[1:] + ["build", "docs/palettes.svg"][len(sys.argv) - 1:])[:2]
unet = Unet(build)
groups = "group_size: 64, weight_symmetric: false"
forms = [("uniform, groups of 64", groups, (2, 3, 4, 5, 6)),
         ("uniform, one scale a channel", "group_size: 0", (3, 4, 5, 6)),
         ("palette of a layer", "weight_coding: palette", (1, 2, 3, 4, 5, 6)),
         ("palettes of 8 channels", "weight_coding: palette, palette_outputs: 8", (2, 3, 4, 5)),
         ("palette of a channel", "weight_coding: palette, palette_outputs: 1", (2, 3, 4, 5))]
colours = ["#c62828", "#ef6c00", "#1565c0", "#2e7d32", "#6a1b9a"]


def measure(settings, bits, rounding):
    report = unet.report(f"version: 1\nname: r\nglobal: {{weight_bits: {bits}, rounding: {rounding}, activation_bits: 16, {settings}}}\n")
    return report["weight_bits"] / 8, report["psnr"]


def at(points, size):
    """PSNR at a size, between the measured ones; the last one's beyond them."""
    points = sorted(points)
    for (x, y), (u, v) in zip(points, points[1:]):
        if x <= size <= u:
            return y + (v - y) * (size - x) / (u - x)
    return points[-1][1] if size > points[-1][0] else float("-inf")


def draw(path, series):
    width, height, left, bottom = 640, 400, 50, 40
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    low, high, wide = int(min(ys) / 5) * 5, int(max(ys) / 5 + 1) * 5, max(xs) * 1.05
    place = lambda x, y: (left + x / wide * (width - left - 10), height - bottom - (y - low) / (high - low) * (height - bottom - 20))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
             '<rect width="100%" height="100%" fill="white"/>',
             f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">bytes a weight, scales and palettes included</text>',
             '<text x="8" y="14">PSNR of one step, dB</text>']
    for y in range(low, high + 1, 5):
        ax, ay = place(0, y)
        parts.append(f'<line x1="{ax:.1f}" y1="{ay:.1f}" x2="{width - 10}" y2="{ay:.1f}" stroke="#ddd"/><text x="{ax - 6:.1f}" y="{ay + 4:.1f}" text-anchor="end">{y}</text>')
    for tenth in range(0, int(wide * 10) + 1):
        px, py = place(tenth / 10, low)
        parts.append(f'<text x="{px:.1f}" y="{py + 16:.1f}" text-anchor="middle">{tenth / 10:g}</text>')
    for index, (name, points) in enumerate(series.items()):
        colour, dashes = colours[index // 2], ' stroke-dasharray="4 3"' if name.endswith("nearest") else ""
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in sorted(points)))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}"{dashes}/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in (place(*point) for point in points)]
        parts.append(f'<line x1="{width - 250}" y1="{height - 200 + 14 * index}" x2="{width - 220}" y2="{height - 200 + 14 * index}" stroke="{colour}"{dashes}/>')
        parts.append(f'<text x="{width - 214}" y="{height - 196 + 14 * index}">{name}</text>')
    with open(path, "w") as file:
        file.write("\n".join(parts + ["</svg>"]) + "\n")


series = {}
print("| weights | bits | bytes a weight | PSNR, nearest | PSNR, gptq |\n|---|---|---|---|---|")
for name, settings, widths in forms:
    for bits in widths:
        results = []
        for rounding in ("nearest", "gptq"):
            size, psnr = measure(settings, bits, rounding)
            series.setdefault(f"{name}, {rounding}", []).append((size, psnr))
            results.append(psnr)
        print(f"| {name} | {bits} | {size:.4f} | {results[0]:.1f} | {results[1]:.1f} |", flush=True)
draw(curve, series)
missed = False
for rounding in ("nearest", "gptq"):
    for bits, allowed in ((3, 0), (4, 0.3)):
        size, uniform = series[f"{forms[0][0]}, {rounding}"][forms[0][2].index(bits)]
        best = max(at(series[f"{name}, {rounding}"], size) for name, _, _ in forms if name.startswith("palette"))
        print(f"\n{bits} bits, {rounding}, {size:.4f} bytes a weight: uniform {uniform:.2f} dB, palettes {best:.2f} dB", end="")
        missed |= best < uniform - allowed
print()
sys.exit(missed)
PYTHON

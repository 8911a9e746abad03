#!/bin/sh
# DRAM traffic of the layers of SD 2.1 at int8 by size of SRAM, against the reference of the traffic bound and fixed loop orders.
#   tests/benchmark/traffic.sh [BUILD_FOLDER [PICTURE.svg]]
# Fails if a bar is missed or a layer takes longer than 10 ms to tile.
cd "$(dirname "$0")/../.." && exec python3 - "$@" <<'PYTHON'
import math, subprocess, sys

build, picture = (sys.argv[1:] + ["build", ""][len(sys.argv) - 1:])[:2]
run = subprocess.run([f"{build}/tests/bin/traffic"], text=True, stdout=subprocess.PIPE)
print(run.stdout, end="")
if not picture or run.returncode not in (0, 1):
    sys.exit(run.returncode)

width, height, left, top, base = 430, 300, 56, 34, 250
curves = [("reference", "#888", "4 3"), ("ours", "#1565c0", ""), ("only A", "#2e7d32", ""), ("only B", "#ef6c00", ""),
          ("only C", "#8e24aa", ""), ("floor", "#000", "1 3")]


def tables(text):
    """Title and rows of each table, a row as a dictionary by heading."""
    title, headings, rows = "", None, []
    for line in text.splitlines() + [""]:
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if headings is None:
                headings = cells
            elif set(cells[0]) != {"-"}:
                rows.append(dict(zip(headings, cells)))
        elif line:
            title = line
        elif headings:
            yield title, rows
            headings, rows = None, []


def panel(x, title, rows):
    most = max(float(row[name]) for row in rows for name, _, _ in curves)
    step = 10 ** math.floor(math.log10(most))
    step = next(s for s in (step / 2, step, 2 * step) if most / s <= 6)
    limit = step * math.ceil(most / step)
    place = lambda i, mb: (x + left + i * (width - left - 24) / (len(rows) - 1), base - mb / limit * (base - top))
    yield f'<text x="{x + width / 2:.0f}" y="20" text-anchor="middle" font-weight="bold">{title}</text>'
    for i in range(round(limit / step) + 1):
        (ax, y), (bx, _) = place(0, i * step), place(len(rows) - 1, i * step)
        yield f'<line x1="{ax:.1f}" y1="{y:.1f}" x2="{bx:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{ax - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{i * step:g}</text>'
    for i, row in enumerate(rows):
        kib = int(row["SRAM KiB"])
        label = f"{kib // 1024} MiB" if kib >= 1024 else f"{kib} K"
        yield f'<text x="{place(i, 0)[0]:.1f}" y="{base + 16}" text-anchor="middle">{label}</text>'
    for name, colour, dashes in reversed(curves):
        points = " ".join("{:.1f},{:.1f}".format(*place(i, float(row[name]))) for i, row in enumerate(rows))
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>'


parts = [part for i, (title, rows) in enumerate(list(tables(run.stdout))[:2]) for part in panel(i * width, title, rows)]
for i, (name, colour, dashes) in enumerate(curves):
    parts.append(f'<line x1="{60 + i * 130}" y1="284" x2="{86 + i * 130}" y2="284" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>')
    parts.append(f'<text x="{92 + i * 130}" y="288">{name}</text>')
with open(picture, "w") as file:
    file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * width} {height}" font-family="sans-serif" font-size="12">\n'
               f'<rect width="{2 * width}" height="{height}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n")
sys.exit(run.returncode)
PYTHON

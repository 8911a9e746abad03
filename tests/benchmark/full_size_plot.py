"""Cost against size as SVG: seconds and peak memory against weights, calibration against samples."""

WIDTH, HEIGHT, MARGIN = 360, 260, 54


def nice_limit(value):
    """The next of 1, 2, 5, 10, 20, ... that is not below `value`."""
    step = 1e-6
    while True:
        for factor in (1, 2, 5):
            if step * factor >= value:
                return step * factor
        step *= 10


def panel(left, title, x_title, points):
    """Points with a straight line from the first to the last: what linear growth would be."""
    right, top = nice_limit(max(x for x, _ in points)), nice_limit(max(y for _, y in points))
    place = lambda x, y: (left + MARGIN + x / right * (WIDTH - MARGIN - 16), HEIGHT - MARGIN - y / top * (HEIGHT - MARGIN - 40))
    parts = [f'<text x="{left + WIDTH / 2:.0f}" y="20" text-anchor="middle" font-weight="bold">{title}</text>']
    parts.append(f'<text x="{left + WIDTH / 2:.0f}" y="{HEIGHT - 14}" text-anchor="middle">{x_title}</text>')
    for i in range(5):
        x, y = right * i / 4, top * i / 4
        (ax, ay), (bx, by) = place(0, y), place(right, y)
        parts.append(f'<line x1="{ax:.1f}" y1="{ay:.1f}" x2="{bx:.1f}" y2="{by:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{ax - 6:.1f}" y="{ay + 4:.1f}" text-anchor="end">{y:g}</text>')
        px, py = place(x, 0)
        parts.append(f'<text x="{px:.1f}" y="{py + 16:.1f}" text-anchor="middle">{x:g}</text>')
    (ax, ay), (bx, by) = place(*points[0]), place(*points[-1])
    parts.append(f'<line x1="{ax:.1f}" y1="{ay:.1f}" x2="{bx:.1f}" y2="{by:.1f}" stroke="#888" stroke-dasharray="4 3"/>')
    for x, y in points:
        px, py = place(x, y)
        parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4" fill="#1565c0"><title>{x:g}: {y:.3g}</title></circle>')
    return parts


def write_plot(path, rows):
    sized = sorted((row for row in rows if "weight_bytes" in row), key=lambda row: row["weight_bytes"])
    samples = [row for row in rows if row["name"].startswith("sdopt calibration, ")]
    panels = []
    if len(sized) > 1:
        weights = "weights of the model, GB in fp32"
        panels.append(("weight-only INT8, seconds", weights, [(row["weight_bytes"] / 1e9, row["seconds"]) for row in sized]))
        panels.append(("weight-only INT8, peak MB", weights, [(row["weight_bytes"] / 1e9, row["peak_bytes"] / 1e6) for row in sized]))
    if len(samples) > 1:
        panels.append(("calibration, seconds", "samples", [(i + 1, row["seconds"]) for i, row in enumerate(samples)]))
    parts = []
    for index, (title, x_title, points) in enumerate(panels):
        parts += panel(index * WIDTH, title, x_title, points)
    size = f'width="{max(1, len(panels)) * WIDTH}" height="{HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
    path.write_text("\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>"]) + "\n")

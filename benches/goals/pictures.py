"""Curves as SVG, drawn from measured points without a library."""

import math

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 46, 54
# Colours that can be told apart by those who see red and green alike (Okabe and Ito).
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"]


def shortened(value):
    """1,500 as 1.5k."""
    for size, name in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{name}"
    return f"{value:g}"


class Axis:
    """Values to pixels; ticks at 1, 2 and 5 of each power of ten that is within the values."""

    def __init__(self, values, start, length):
        low, high = min(values), max(values)
        if low == high:
            low, high = low / 2, high * 2
        self.low, self.high = math.log10(low / 1.15), math.log10(high * 1.15)
        self.start, self.length = start, length

    def place(self, value):
        return self.start + (math.log10(value) - self.low) / (self.high - self.low) * self.length

    def ticks(self):
        steps = (1, 2, 5) if self.high - self.low < 3 else (1,)
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        values = [step * 10.0**power for power in powers for step in steps]
        return [value for value in values if self.low <= math.log10(value) <= self.high]


def text(x, y, words, anchor="middle", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{words}</text>'


def grid(across, up):
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for value in across.ticks():
        x = across.place(value)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(text(x, bottom + 18, shortened(value)))
    for value in up.ticks():
        y = up.place(value)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(text(LEFT - 8, y + 4, shortened(value), "end"))
    return parts


def curve(number, name, points, across, up):
    colour = COLOURS[number % len(COLOURS)]
    places = [(across.place(x), up.place(y)) for x, y in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    y = TOP + 8 + number * 20
    parts = [f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>']
    parts += [f'<circle cx="{x:.1f}" cy="{y_:.1f}" r="3" fill="{colour}"/>' for x, y_ in places]
    x = WIDTH - RIGHT + 14
    parts.append(
        f'<line x1="{x}" y1="{y}" x2="{x + 18}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
    )
    parts.append(text(x + 24, y + 4, name, "start"))
    return parts


def picture(title, label_x, label_y, curves, footer):
    """An SVG of curves: names with their points, all above zero. Both axes are logarithmic."""
    curves = {name: points for name, points in curves.items() if points}
    points = [point for all_ in curves.values() for point in all_]
    across = Axis([x for x, _ in points], LEFT, WIDTH - LEFT - RIGHT)
    up = Axis([y for _, y in points], HEIGHT - BOTTOM, TOP + BOTTOM - HEIGHT)
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    turned = f'transform="rotate(-90 18 {HEIGHT / 2})"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        text(middle, 24, title, extra='font-size="15" font-weight="bold"'),
        *grid(across, up),
        text(middle, HEIGHT - 20, label_x),
        text(18, HEIGHT / 2, label_y, extra=turned),
        text(LEFT, HEIGHT - 4, footer, "start", 'font-size="9" fill="#666"'),
    ]
    for number, (name, own) in enumerate(curves.items()):
        parts += curve(number, name, own, across, up)
    return "\n".join([*parts, "</svg>"]) + "\n"

"""Every mark and every word of a page stands out from what it lies on, in light and in dark: contrast by WCAG 2.2."""

from __future__ import annotations

import re

import pytest

from publishers import pages


def _colours(scheme: str) -> dict[str, str]:
    style = pages.static_files()["static/style.css"].decode()
    light, dark = re.findall(r":root \{([^}]*)\}", style)[:2]
    found = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", light))
    return found | (dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", dark)) if scheme == "dark" else {})


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["ground", "wash", "gone"])
@pytest.mark.parametrize("mark", ["fine", "soft", "part", "stale", "late", "failed"])
def test_every_mark_stands_out_from_every_ground(scheme: str, ground: str, mark: str) -> None:
    colours = _colours(scheme)
    high, low = sorted((_luminance(colours[mark]), _luminance(colours[ground])), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 3, "WCAG 2.2, 1.4.11"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["ground", "wash", "new", "gone"])
@pytest.mark.parametrize("text", ["ink", "soft", "accent"])
def test_every_text_stands_out_from_every_ground(scheme: str, ground: str, text: str) -> None:
    colours = _colours(scheme)
    high, low = sorted((_luminance(colours[text]), _luminance(colours[ground])), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_day_can_be_read_on_every_shade_of_a_calendar(scheme: str) -> None:
    colours = _colours(scheme)
    style = pages.static_files()["static/style.css"].decode()
    shares = [int(n) for n in re.findall(r"\.shade-\d { background: color-mix\(in srgb, var\(--accent\) (\d+)%", style)]
    assert len(shares) == 3
    for share in shares:
        pairs = [(int(colours["accent"][i : i + 2], 16), int(colours["ground"][i : i + 2], 16)) for i in (1, 3, 5)]
        mixed = "#" + "".join(f"{round((over * share + under * (100 - share)) / 100):02x}" for over, under in pairs)
        high, low = sorted((_luminance(colours["ink"]), _luminance(mixed)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5

"""README.md beside this file: one section a benchmark, each with its own day and machine."""

import datetime
import os
import platform
import re
from pathlib import Path

from reclab import fetch

PATH = Path(__file__).with_name("README.md")
HEAD = """# Benchmarks

Written by `make bench`, one section after the other. Where two sides are compared, their runs alternate in one
session and times are medians; only ratios travel to other machines. Numbers of real data are scored on the test
questions, with settings that were chosen on others.
"""


def write(title: str, body: str) -> None:
    """Put a section into README.md, in place of the one of that title or at the end, and print it."""
    text = PATH.read_text(encoding="utf-8") if PATH.is_file() else HEAD
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    sections[title] = f"\n{datetime.date.today()}, {machine()}.\n\n{body.strip()}"
    whole = HEAD + "\n" + "".join(f"## {name}\n{content.rstrip()}\n\n" for name, content in sections.items())
    fetch.write(PATH, whole.rstrip() + "\n")
    print(f"## {title}\n{sections[title]}")


def table(columns: list[str], rows: list[list]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def machine() -> str:
    flags, model = set(), platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).is_file():
        for line in info.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "flags":
                flags = set(value.split())
            if name.strip() == "model name":
                model = value.strip()
    wide = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return f"{os.cpu_count()} cores ({model}; {', '.join(wide) or 'no AVX'}), Python {platform.python_version()}"

"""Runs the benchmarks and holds their figures against the aims: a table, and a list of rows as JSON.

    table.py FOLDER [--json FILE] [--figures FILE] [--quick] [--runs N] [--only NAME ...] [--journal]
             [--incumbent [INSTALLATION]]

FOLDER holds the programs. Every row tells what was measured, the aim, the figure (the median of the runs, with least
and most) and the verdict, `met` or `missed`; a row whose program failed has no figure, is missed and tells its trouble.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

KIB = 1024
SMALL = 2 * KIB
LARGE = [32 * KIB, 128 * KIB, 512 * KIB, 2048 * KIB]
MOST_GROWTH = 16  # MiB over a scan: the noise of an allocator, not a byte per event


def size_text(size):
    return f"{size // KIB} KiB" if size < KIB * KIB else f"{size // KIB // KIB} MiB"


class Aim:
    """`least` or `most` that a figure is to be."""

    def __init__(self, least=None, most=None, unit=""):
        self.least, self.most, self.unit = least, most, unit

    def text(self):
        parts = []
        if self.least is not None:
            parts.append(f">= {self.least:g}")
        if self.most is not None:
            parts.append(f"<= {self.most:g}")
        return " and ".join(parts) + (f" {self.unit}" if self.unit else "")

    def met(self, figure):
        return (self.least is None or figure >= self.least) and (self.most is None or figure <= self.most)


def row(what, aim, values):
    figure = median_of(values)
    return {"what": what, "aim": aim.text(), "figure": figure, "min": min(values), "median": figure,
            "max": max(values), "unit": aim.unit, "runs": len(values), "values": values,
            "verdict": "met" if aim.met(figure) else "missed"}


def median_of(values):
    """As the programs have it: the upper of the two in the middle."""
    return sorted(values)[len(values) // 2]


def missing(what, aim, trouble):
    return {"what": what, "aim": aim.text(), "figure": None, "min": None, "median": None, "max": None,
            "unit": aim.unit, "runs": 0, "values": [], "verdict": "missed", "trouble": trouble}


class Benchmark:
    """A program, its options, and the rows that its figures make: (what, aim, values of its JSON)."""

    def __init__(self, name, command, rows, quick=(), journal=True):
        self.name, self.command, self.rows, self.quick, self.journal = name, command, rows, quick, journal

    def run(self, folder, options):
        rows = [(short(what) if options.quick else what, aim, values) for what, aim, values in self.rows]
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "figures.json"
            program, *arguments = self.command
            command = [str(folder / program), *arguments, "--runs", str(options.runs), "--json", str(file)]
            command += self.quick if options.quick else []
            command += ["--journal"] if options.journal and self.journal else []
            print("$", *command, file=sys.stderr, flush=True)
            done = subprocess.run(command, stdout=sys.stderr, check=False)
            if done.returncode != 0:
                trouble = f"{program} ended with status {done.returncode}"
                return [missing(what, aim, trouble) for what, aim, _ in rows], None
            figures = json.loads(file.read_text())
        return [row(what, aim, values(figures)) for what, aim, values in rows], figures


def short(what):
    """What a quick run measures is said of no more than it is."""
    return what.replace("10 million", "1 million")


def ratios(size, what):
    """The values of a row of `throughput`."""

    def values(figures):
        return next(f["ratios"] for f in figures if f["bytes"] == size and f["what"] == what)

    return values


def throughput_rows(place, beside, small, large):
    nothing = [(f"{place}, worker gives nothing, {size_text(SMALL)}: events/s against {beside}", Aim(least=small),
                ratios(SMALL, "worker gives nothing"))]
    return nothing + [(f"{place}, worker gives nothing, {size_text(size)}: GB/s against {beside}", Aim(least=large),
                       ratios(size, "worker gives nothing")) for size in LARGE]


def more_than_bare(what, figure):
    """The values of a row of `latency`: us beyond bare ZeroMQ in the same turn."""

    def values(figures):
        return next(f["more_than_bare_us"] for f in figures if f["what"] == what and f["figure"] == figure)

    return values


def worst_growth(figures):
    """Of the process that grows most, for each scan."""
    return [max(p["growth_mib"] for p in scan["processes"].values()) for scan in figures]


def growth_of(role):
    return lambda figures: [scan["processes"][role]["growth_mib"] for scan in figures]


ONE = "one process"
EACH = "a process per role"

BENCHMARKS = [
    Benchmark("throughput", ["throughput"],
              throughput_rows(ONE, "bare libzmq", 0.9, 0.95)
              + [(f"{ONE}, worker gives a map, {size_text(SMALL)}: events/s against bare libzmq", Aim(least=0.8),
                  ratios(SMALL, "worker gives a map"))],
              quick=["--scale", "0.5"]),
    Benchmark("processes", ["throughput", "--processes"],
              throughput_rows(EACH, "two hops of bare libzmq", 0.6, 0.8),
              quick=["--scale", "0.5"]),
    Benchmark("streams", ["throughput", "--streams", "8"],
              [(f"{ONE}, 8 streams of 128 KiB: frames/s in total against 1 stream", Aim(least=1),
                ratios(128 * KIB, "8 streams"))],
              quick=["--scale", "0.5"]),
    Benchmark("latency", ["latency", "--processes"],
              [(f"{ONE}, 1 kHz of {size_text(SMALL)}, stamp to fold: p50 beyond bare ZeroMQ", Aim(most=150, unit="us"),
                more_than_bare(ONE, "p50")),
               (f"{ONE}, 1 kHz of {size_text(SMALL)}, stamp to fold: p99 beyond bare ZeroMQ",
                Aim(most=1000, unit="us"), more_than_bare(ONE, "p99")),
               (f"{EACH}, 1 kHz of {size_text(SMALL)}, stamp to fold: p50 beyond bare ZeroMQ",
                Aim(most=400, unit="us"), more_than_bare(EACH, "p50"))],
              quick=["--frames", "2000"]),
    Benchmark("assignment", ["assignment"],
              [("10 million events, 8 streams, 64 workers: cost of an event, last tenth over first",
                Aim(least=0.9, most=1.1), lambda figures: figures["last_over_first"]),
               ("10 million events, 8 streams, 64 workers: controller's CPU per event and stream",
                Aim(most=500, unit="ns"), lambda figures: figures["ns_per_event_and_stream"]),
               ("10 million events, 8 streams, 64 workers: controller's memory, last tenth over second",
                Aim(most=MOST_GROWTH, unit="MiB more"), lambda figures: figures["growth_mib"])],
              quick=["--events", "1000000"], journal=False),
    Benchmark("memory", ["memory"],
              [(f"10 million events of {size_text(SMALL)}, {EACH}: memory of the one that grows most, last tenth "
                "over second", Aim(most=MOST_GROWTH, unit="MiB more"), worst_growth)],
              quick=["--events", "1000000"]),
    Benchmark("memory_all", ["memory", "--all"],
              [(f"10 million events of {size_text(SMALL)}, {ONE}: memory, last tenth over second",
                Aim(most=MOST_GROWTH, unit="MiB more"), growth_of("all"))],
              quick=["--events", "1000000"]),
]


def events_per_second(figures, size):
    """Of the pipeline in one process, by run."""
    return next(f["events_per_second"] for f in figures["throughput"]
                if f["bytes"] == size and f["what"] == "worker gives nothing")


def beside_incumbent(ours, theirs):
    """Run by run."""
    return [o / t for o, t in zip(ours, theirs)]


def incumbent_rows(options, measured):
    """The pipeline in one process beside the incumbent, where that can be installed: else nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "figures.json"
        command = [sys.executable, Path(__file__).with_name("incumbent.py"), options.folder, options.incumbent,
                   "--runs", str(options.runs), "--json", file]
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        if done.returncode != 0:
            print("the incumbent is left out", file=sys.stderr)
            return []
        theirs = measured["incumbent"] = json.loads(file.read_text())
    rows = []
    if measured.get("throughput"):
        ours = events_per_second(measured, SMALL)
        rows.append(row(f"{ONE}, {size_text(SMALL)}: events/s against the incumbent at its fastest", Aim(least=100),
                        beside_incumbent(ours, theirs["small_events_per_second"])))
        rows.append(row(f"{ONE}, {size_text(SMALL)}: events/s against the incumbent, both with a constraint per event",
                        Aim(least=100), beside_incumbent(ours, theirs["small_one_constraint"])))
        large = 512 * KIB
        ours = [rate * large * 1e-9 for rate in events_per_second(measured, large)]
        rows.append(row(f"{ONE}, {size_text(large)}: GB/s against the incumbent", Aim(least=4),
                        beside_incumbent(ours, theirs["large_gigabytes_per_second"])))
    if measured.get("latency"):
        ours = next(f["us"] for f in measured["latency"] if f["what"] == ONE and f["figure"] == "p50")
        rows.append(row(f"{ONE}, {size_text(SMALL)}, stamp to fold: p50 against the incumbent", Aim(most=0.1),
                        beside_incumbent(ours, theirs["latency_us"])))
    return rows


def figure_text(entry):
    if entry["figure"] is None:
        return entry["trouble"]
    digits = 0 if entry["unit"] in ("us", "ns") else 2 if not entry["unit"] else 1
    return " / ".join(f"{entry[key]:.{digits}f}" for key in ("min", "median", "max"))


def print_table(rows):
    wide = max(len(r["what"]) for r in rows)
    aims = max(len(r["aim"]) for r in rows)
    figures = max(len(figure_text(r)) for r in rows)
    print(f"{'what':<{wide}}  {'aim':<{aims}}  {'min / median / max':<{figures}}  verdict")
    for r in rows:
        print(f"{r['what']:<{wide}}  {r['aim']:<{aims}}  {figure_text(r):<{figures}}  {r['verdict']}")


def parse_arguments():
    parser = argparse.ArgumentParser(description="runs the benchmarks and holds their figures against the aims")
    names = [b.name for b in BENCHMARKS]
    parser.add_argument("folder", type=Path, help="of the programs")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--figures", type=Path, help="write all that was measured to this file")
    parser.add_argument("--runs", type=int, default=0, help="of each kind; default 5, with --quick 1")
    parser.add_argument("--quick", action="store_true", help="one short run of each: a first look, no proof")
    parser.add_argument("--only", action="append", choices=names, help="this part of it; may be repeated")
    parser.add_argument("--journal", action="store_true", help="the pipeline keeps a journal")
    parser.add_argument("--incumbent", type=Path, nargs="?", const=Path("build/incumbent"), metavar="INSTALLATION",
                        help="also beside the incumbent, installed in this folder if it is not there")
    options = parser.parse_args()
    options.runs = options.runs or (1 if options.quick else 5)
    return options


def write(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1) + "\n")


def main():
    options = parse_arguments()
    rows, measured = [], {}

    def keep():
        # A run that is broken off leaves what it has.
        if options.json:
            write(options.json, rows)
        if options.figures:
            write(options.figures, measured)

    for benchmark in BENCHMARKS:
        if options.only and benchmark.name not in options.only:
            continue
        more, measured[benchmark.name] = benchmark.run(options.folder, options)
        rows += more
        keep()
    if options.incumbent:
        rows += incumbent_rows(options, measured)
        keep()
    print_table(rows)
    return 1 if any("trouble" in r for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Pictures of what the suite and the peers' measurements wrote, by gnuplot.

    taskset -c 1 build/bench/bench/posenc_bench --benchmark_out=bench.json --benchmark_out_format=json
    taskset -c 1 build/peers/bin/python bench/peers/measure.py --out peers.json
    bench/plot/plot.py --suite bench.json --peers peers.json --to docs

Writes ratios.svg (each row as a share of its limit), peers.svg, error.svg (exactness against position) and growth.svg
(time against length), whichever the given files hold rows for.
"""
import argparse
import json
import pathlib
import re
import statistics
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def rows_of(path):
    """Median over repetitions of each counter of each row."""
    values = {}
    for run in json.loads(pathlib.Path(path).read_text())["benchmarks"]:
        if run.get("run_type") != "iteration":
            continue
        name = re.sub(r"/(manual_time|iterations:\d+|repeats:\d+)", "", run["name"])
        for key, value in run.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                values.setdefault(name, {}).setdefault(key, []).append(value)
    return {name: {key: statistics.median(all_of) for key, all_of in row.items()} for name, row in values.items()}


def draw(script, data, to):
    """Runs a gnuplot script of this folder over a table."""
    if not data:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as table:
        table.write("\n".join("\t".join(str(field) for field in line) for line in data) + "\n")
        table.flush()
        picture = to / f"{script}.svg"
        subprocess.run(["gnuplot", "-e", f"data='{table.name}'; picture='{picture}'", HERE / f"{script}.gp"], check=True)
        print(picture)


def ratios(rows):
    wanted = re.compile(r"rotate_(by_rows|one_token)<float|attention<|decode_f32<|backward/|add_|rotate_into_cache")
    out = []
    for name, row in sorted(rows.items()):
        share = next((value for key, value in row.items() if key.startswith("of_")), None)
        if share is not None and wanted.search(name):
            limit = next(key[3:] for key in row if key.startswith("of_"))
            out.append((f'"{name} (of {limit})"'.replace("_", " "), share))
    return out


def errors(rows):
    found = {}
    for name, row in rows.items():
        match = re.fullmatch(r"error_of_(\w+)/position:(\d+)", name)
        if match:
            found.setdefault(int(match[2]), {})[match[1]] = max(row["radians"], 1e-9)
    return [(p, of.get("posenc", "?"), of.get("posenc_with_float32_angles", "?"), of.get("float32", "?"))
            for p, of in sorted(found.items())]


def growth(rows):
    series = ("attention_grows/full", "attention_grows/causal", "attention_grows/window_of_256", "decoding_grows",
              "rotation_grows")
    lengths = sorted({int(key[3:]) for name in series for key in rows.get(name, {}) if key.startswith("us_")})
    return [(n, *(rows.get(name, {}).get(f"us_{n}", "?") for name in series)) for n in lengths]


def peers(path):
    """The questions that a picture has room for: float, at a length where setting up no longer counts."""
    wanted = re.compile(r"rotate (512|4096) tokens f32 half|(attention|backward) n=2048 d=128 .* f32|ALiBi n=2048|decode|flex")
    rows = [row for row in json.loads(pathlib.Path(path).read_text())["rows"] if "of_limit" in row]
    return [(f'"{row["group"]}: {row["name"]}"'.replace("_", " "), row["of_limit"], int(row["name"].startswith("posenc")))
            for row in rows if not row["name"].startswith("limit") and wanted.match(row["group"])]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite")
    parser.add_argument("--peers")
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("."))
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    if arguments.suite:
        rows = rows_of(arguments.suite)
        draw("ratios", ratios(rows), arguments.to)
        draw("error", errors(rows), arguments.to)
        draw("growth", growth(rows), arguments.to)
    if arguments.peers:
        draw("peers", peers(arguments.peers), arguments.to)


if __name__ == "__main__":
    main()

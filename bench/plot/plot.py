#!/usr/bin/env python3
"""Pictures of what the suite and the peers' measurements wrote, by gnuplot.

    taskset -c 1 build/bench/bench/posenc_bench --benchmark_out=bench.json --benchmark_out_format=json
    taskset -c 1 build/peers/bin/python bench/peers/measure.py --compile --out peers.json
    bench/plot/plot.py --suite bench.json --peers peers.json --to bench/plot

Writes ratios.svg (each row as a share of its limit), roofline.svg, peers.svg, error.svg (exactness against position) and
growth.svg (time against length), whichever the given files hold rows for.
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


def draw(script, data, to, **variables):
    """Runs a gnuplot script of this folder over a table, with numbers and texts as variables."""
    if not data:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as table:
        table.write("\n".join("\t".join(str(field) for field in line) for line in data) + "\n")
        table.flush()
        picture = to / f"{script}.svg"
        variables = {"data": table.name, "picture": str(picture), **variables}
        assignments = "; ".join(f"{name}={json.dumps(value)}" for name, value in variables.items())
        subprocess.run(["gnuplot", "-e", assignments, HERE / f"{script}.gp"], check=True)
        print(picture)


def ratios(rows):
    """A bar for each limit of a row."""
    wanted = re.compile(r"rotate_(by_rows|one_token)<float|attention<|decode_f32<|backward/|add_|rotate_into_cache")
    return [(f'"{name} (of {key[3:]})"'.replace("_", " "), share)
            for name, row in sorted(rows.items()) if wanted.search(name)
            for key, share in sorted(row.items()) if key.startswith("of_")]


# Of each row: what the picture calls it, flops a byte that is moved, and flops in what its rate counts.
ROOFLINE = {
    # A pair of floats is 16 bytes read and written, and takes four products and two sums.
    "rotate_by_rows<float, pairing::half>/bytes:16384/heads:32": ("rotation, L1", 6 / 16, 6 / 16),
    "rotate_by_rows<float, pairing::half>/bytes:268435456/heads:32": ("rotation, memory", 6 / 16, 6 / 16),
    "rotate_by_rows<bf16, pairing::half>/bytes:268435456/heads:32": ("rotation of bf16, memory", 6 / 8, 6 / 8),
    # Three floats are moved for a sum.
    "add_learned_rows/bytes:100663296": ("x += rows, memory", 1 / 12, 1 / 12),
    # Four heads multiply and add each number of the cache; the rate is that of as many floats.
    "decode_f32<layout::by_head>/num_keys:32768": ("decoding", 2, 2),
    "decode_narrow<bf16, layout::by_head>/num_keys:32768": ("decoding, bf16", 4, 2),
    "decode_narrow<std::int8_t, layout::by_head>/num_keys:32768": ("decoding, int8", 8 * 128 / 132, 2),
    # 4 n^2 head_dim flops for 4 n head_dim numbers, or half as many.
    "attention<float>/tokens:2048/head_dim:128/causal:1": ("attention, causal", 2048 / 8, 1),
    "attention<float>/tokens:2048/head_dim:128/causal:0": ("attention", 2048 / 4, 1),
    "attention<bf16>/tokens:2048/head_dim:128/causal:0": ("attention, bf16", 2048 / 2, 1),
}


def roofline(rows):
    return [(f'"{name}"', flops_a_byte, rows[row]["rate"] * flops / 1e9)
            for row, (name, flops_a_byte, flops) in ROOFLINE.items() if row in rows]


def roofs(rows):
    """Bytes a second of scaling in place, near and far, and of reading; the peak of multiply-adds, of float and of bf16
    in the matrix unit (0 where there is none); in 1e9."""
    peak = rows["attention<float>/tokens:2048/head_dim:128/causal:0"]
    return {"l1": rows["limit_of_scale/bytes:24576"]["rate"] / 1e9,
            "memory": rows["limit_of_scale/bytes:402653184"]["rate"] / 1e9,
            "reading": rows["limit_of_reading/bytes:402653184"]["rate"] / 1e9,
            "peak": peak["rate"] / peak["of_peak"] / 1e9,
            "matrix": rows.get("limit_of_matrix_peak", {"rate": 0})["rate"] / 1e9}


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


def peers(rows):
    """The questions that a picture has room for: float, at a length where setting up no longer counts."""
    wanted = re.compile(r"rotate (512|4096) tokens f32 half|(attention|backward) n=2048 d=128 .* f32|ALiBi n=2048|decode|flex")
    return [(f'"{row["group"]}: {row["name"]}"'.replace("_", " "), row["of_limit"], int(row["name"].startswith("posenc")))
            for row in rows if "of_limit" in row and not row["name"].startswith("limit") and wanted.match(row["group"])]


def what_was_measured(result):
    """The machine, and the version of each library that was there."""
    known = [(name, version) for name, version in result["versions"].items() if not version.startswith("missing")]
    return f"{result['machine']}: " + "; ".join(f"{name} {version}" for name, version in known)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite")
    parser.add_argument("--peers", type=pathlib.Path)
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("."))
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    if arguments.suite:
        rows = rows_of(arguments.suite)
        draw("ratios", ratios(rows), arguments.to)
        if points := roofline(rows):
            draw("roofline", points, arguments.to, **roofs(rows))
        draw("error", errors(rows), arguments.to)
        draw("growth", growth(rows), arguments.to)
    if arguments.peers:
        result = json.loads(arguments.peers.read_text())
        draw("peers", peers(result["rows"]), arguments.to, caption=what_was_measured(result))


if __name__ == "__main__":
    main()

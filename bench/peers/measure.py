#!/usr/bin/env python3
"""posenc beside the libraries that people use instead, in one process: same data, same threads, same rounds, and the
machine's limits between them. What a library computes is compared with float64 before it is timed.

    cmake --workflow --preset bench                                          once: posenc as a shared library
    bench/peers/setup.sh                                                     once: the others, into build/peers
    taskset -c 1 build/peers/bin/python bench/peers/measure.py               all questions, one thread
    taskset -c 1 build/peers/bin/python bench/peers/measure.py --question rotate,decode --out peers.json

Believe ratios at the minimum of one-thread runs. A peer that is missing is left out and said so; one that fails or
differs from the reference is a row with its error.
"""
import argparse
import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--question", default="", help="some of questions.py's, separated by commas; default: all")
    parser.add_argument("--peers", default="torch,onnx,openvino,ggml")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=0, help="0: each question's own number")
    parser.add_argument("--longest", type=int, default=2048, help="longest sequence of attention")
    parser.add_argument("--compile", action="store_true", help="also torch.compile and FlexAttention (minutes)")
    parser.add_argument("--lib", default=str(ROOT / "build/bench/bench/peers/libposenc_candidate.so"))
    parser.add_argument("--out", default="")
    return parser.parse_args()


def cpu_model():
    found = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def packages():
    """Versions of what setup.sh installs."""
    found = {}
    for name in ("numpy", "torch", "transformers", "onnx", "onnxruntime", "openvino", "llama-cpp-python"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def load(arguments):
    """posenc, and whichever peers are installed."""
    from libraries.posenc import Posenc
    posenc = Posenc(arguments.lib, arguments.threads)
    peers, versions = [], {"posenc": posenc.version()}
    kinds = {
        "torch": lambda: __import__("libraries.pytorch", fromlist=["x"]).Torch(arguments.threads, arguments.compile),
        "onnx": lambda: __import__("libraries.onnx", fromlist=["x"]).Onnx(arguments.threads),
        "openvino": lambda: __import__("libraries.vino", fromlist=["x"]).OpenVino(arguments.threads),
        "ggml": lambda: __import__("libraries.ggml", fromlist=["x"]).Ggml(arguments.threads),
    }
    for name in arguments.peers.split(","):
        try:
            peers.append(kinds[name]())
            versions[name] = peers[-1].version()
        except Exception as wrong:  # not installed, or not loadable: said, not fatal
            versions[name] = f"missing ({type(wrong).__name__}: {wrong})"
            print(f"{name}: {versions[name]}", file=sys.stderr)
    return posenc, peers, versions


def main():
    arguments = parse()
    os.environ.setdefault("OMP_NUM_THREADS", str(arguments.threads))  # before any library starts its pool
    import questions
    posenc, peers, versions = load(arguments)
    rows = []
    for name in arguments.question.split(",") if arguments.question else questions.ALL:
        for group in questions.ALL[name](arguments, posenc, peers):
            rows += group.measure()
            if arguments.out:
                result = {"machine": cpu_model(), "versions": versions, "packages": packages(), "rows": rows}
                pathlib.Path(arguments.out).write_text(json.dumps(result, indent=1))
    print("versions:", versions)


if __name__ == "__main__":
    main()

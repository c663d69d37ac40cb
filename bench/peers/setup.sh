#!/bin/sh
# Installs the libraries that measure.py times, as their users get them: packages of the registry, ggml built for this CPU.
set -e
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${1:-$root/build/peers}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet numpy onnx onnxruntime openvino torch transformers cmake ninja
CMAKE_ARGS=-DGGML_NATIVE=ON "$venv/bin/pip" install --quiet --no-binary llama-cpp-python llama-cpp-python
echo "ready: $venv"

#!/usr/bin/env bash
# Stable Diffusion 1.5, 2 inpainting, XL and 3 at true size with random weights: import, normalize, quantize, tile, emit and --verify, as one command.
#   tests/benchmark/architectures.sh [ARCHITECTURE...] [--tiny] ...     (--help lists everything; about an hour on two cores)
exec python3 -B "$(dirname "$0")/architectures.py" "$@"

#!/usr/bin/env bash
# sdopt against its peers on this machine: a full-size Stable Diffusion 2 inpainting pipeline, 512x512, on two cores.
#   tests/benchmark/full-size.sh [MODEL_FOLDER] [--peers none|ort|all] [--tiny] ...     (--help lists everything)
exec python3 -B "$(dirname "$0")/full-size.py" "$@"

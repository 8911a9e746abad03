#!/bin/sh
# With the statistics given, a package does not depend on the vector instructions of the machine.
# usage: instruction-sets.sh SDOPT-COMPILE TESTDATA
set -eu
compile=$1
samples=$2/patterns-sd2/samples
model=$2/patterns-sd2/opset17-fp32
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$compile" "$model" --modules text_encoder,vae_encoder --quiet --samples "$samples" \
  --statistics-out "$folder/statistics" -o "$folder/calibrated.sdnpu"
for isa in SSE41 AVX2 ALL; do
  ONEDNN_MAX_CPU_ISA=$isa "$compile" "$model" --modules text_encoder,vae_encoder --quiet \
    --statistics "$folder/statistics/text_encoder.pb" \
    --statistics "$folder/statistics/vae_encoder.pb" -o "$folder/$isa.sdnpu"
  cmp "$folder/calibrated.sdnpu" "$folder/$isa.sdnpu"
done

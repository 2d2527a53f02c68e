#!/bin/sh
# DSO-NAS on the handwritten digits at a quarter, a half and three quarters of the complete network's 1,368,896
# multiply-adds, each with 2 random networks of equal cost. Results: dso_digits.md. Run it again to continue it.
set -e
for share in 25 50 75; do
    sparsenas run --space dso --space.width 8 --space.depth 1 --method dso --budget "flops<=$((1368896 * share / 100))" \
        --search.epochs 24 --retrain.epochs 20 --baselines 2 --threads 1 --out "runs/dso_digits_$share" --resume
done

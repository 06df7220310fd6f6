"""The goals of speed, P0 to P18, measured side by side in one run: what tools/bench is made of."""

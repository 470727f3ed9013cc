"""Each check catches its own planted fault, and is silent on healthy models."""

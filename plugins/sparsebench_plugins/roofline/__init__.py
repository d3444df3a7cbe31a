"""How fast this machine could do what a kernel does: `probes` measure, `model` counts."""

"""How right the alerts are: a simulated world, the real pipeline, the real watcher, and labels to compare with."""

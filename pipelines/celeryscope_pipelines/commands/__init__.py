"""The sub-commands of `celeryscope` that the extra ``[pipelines]`` brings."""

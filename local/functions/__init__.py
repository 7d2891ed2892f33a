"""Lambda on a laptop: AWS's runtime client, in processes that serve one invocation at a time."""

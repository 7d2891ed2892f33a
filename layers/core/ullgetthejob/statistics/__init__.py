"""What became of applications: the funnel, time to answer, applications without an answer, CSV."""

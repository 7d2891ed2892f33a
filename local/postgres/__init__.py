"""An embedded Postgres, with its binaries from a wheel and its data in the data folder."""

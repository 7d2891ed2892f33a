"""An embedded Postgres: installed with the packages, kept in the data folder."""

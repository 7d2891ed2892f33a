"""Security gates (make gates): what the templates, the code, its secrets and its packages are
checked for, by tools that are installed into an environment of their own."""

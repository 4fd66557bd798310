"""The command line. Thin: each command reads its arguments, asks one function, prints."""

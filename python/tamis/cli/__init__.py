"""The command line: parse, call the library, return an exit code."""

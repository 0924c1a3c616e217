"""From a table of your own to a measured, exported and described model: chapter 25 as a
program, the same as `python -m ftlib project`.

    python recipes/project.py reviews.csv --text review --label stars
    python recipes/project.py patients.csv --label diagnosis      # numbers, no texts

ftlib/course/project holds the steps.
"""

import sys

from ftlib.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["project", *sys.argv[1:]]))

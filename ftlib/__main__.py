"""`python -m ftlib`: a project from a table of your own, and what belongs to it.

python -m ftlib project reviews.csv --text review --label stars
python -m ftlib predict projects/reviews new.csv --text review > answers.csv
python -m ftlib doctor
"""

import argparse
import sys


def main(arguments=None):
    """Run one command -> its exit status. A fault of the input is one sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m ftlib",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    # what a command needs is imported when it runs: --help answers at once
    project = commands.add_parser("project", help="from a table to a measured model")
    predict = commands.add_parser("predict", help="answers of a project's model")
    predict.add_argument("folder", help="of the project")
    predict.add_argument("file", help="a .csv, .tsv or .jsonl table")
    predict.add_argument("--text", default="text", help="the column of texts")
    commands.add_parser("doctor", help="is this machine ready?")
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["doctor"]:
        from ftlib.course import doctor

        return 0 if doctor.report() else 1
    from ftlib.course.project import run

    run.options_of(project)
    options = parser.parse_args(words)
    try:
        if options.command == "predict":
            run.predict(options)
        else:
            run.Project(options).run()
    except (ValueError, OSError) as error:
        print(f"ftlib: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nftlib: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

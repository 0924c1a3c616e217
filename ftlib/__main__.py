"""`python -m ftlib`: a project from a table of your own, and what belongs to it.

python -m ftlib project reviews.csv --text review --label stars
python -m ftlib project --example breast-cancer
python -m ftlib rubric projects/reviews
python -m ftlib predict projects/reviews new.csv > answers.csv
python -m ftlib serve projects/reviews --port 8000
python -m ftlib doctor
"""

import argparse
import sys


def parser_of(project_options):
    """The commands; project_options(parser) adds those of `project`."""
    parser = argparse.ArgumentParser(
        prog="python -m ftlib",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    project_options(
        commands.add_parser("project", help="from a table to a measured model")
    )
    predict = commands.add_parser("predict", help="answers of a project's model")
    predict.add_argument("folder", help="of the project")
    predict.add_argument("file", help="a .csv, .tsv or .jsonl table")
    predict.add_argument("--text", help="the column of texts; else the project's")
    rubric = commands.add_parser("rubric", help="is a project finished?")
    rubric.add_argument("folder", help="of the project")
    serve = commands.add_parser(
        "serve", help="a project's model over HTTP; more options: of deploy/serve.py"
    )
    serve.add_argument("folder", help="of the project")
    commands.add_parser("doctor", help="is this machine ready?")
    return parser


def main(arguments=None):
    """Run one command -> its exit status. A fault of the input is one sentence."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["doctor"]:
        from ftlib.course import doctor

        return 0 if doctor.report() else 1
    # what takes seconds to import comes here: `doctor` answers at once
    from ftlib.course.project import rubric, run, served

    options, more = parser_of(run.options_of).parse_known_args(words)
    if more and options.command != "serve":
        parser_of(run.options_of).error(f"unknown: {' '.join(more)}")
    try:
        if options.command == "predict":
            served.predict(options)
        elif options.command == "serve":
            served.serve(options.folder, more)
        elif options.command == "rubric":
            return 0 if rubric.report(options.folder) else 1
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

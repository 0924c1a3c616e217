"""From a table of your own to a model that is measured, exported and described:
`python -m ftlib project reviews.csv --text review --label stars`.

    reading      the file, what is wrong with it, three parts that share no text
    candidates   counted words, a frozen encoder, the same encoder fine-tuned
    judging      the test set, read once: intervals, slices, calibration, mistakes
    page         one HTML file that stands alone, a model card, a data sheet
    answers      what only the reader knows, for the card and the sheet
    watch        are new rows like those of the test?
    served       the model again: answers for a table, an HTTP service
    run          the order of the steps, kept as they are done
    rubric       is a project finished?
    examples     five tables to try it on
"""

"""From a table of your own to a model that is measured, exported and described:
`python -m ftlib project reviews.csv --text review --label stars`.

    table_file   a file's columns, whatever program has written it
    reading      what is wrong with them, three parts that share no text
    columns      how the columns of a table become numbers
    leakage      a column or a word that gives the label away
    candidates   counted words, a frozen encoder, the same encoder fine-tuned
    numbers      the models of a table
    folds        cross-validation inside the training part, by groups where there are
    fitting      each model within the minutes that are left
    leads        is one model better than another?
    judging      the test set, read once: intervals, slices, calibration, mistakes
    sentences    what the record says
    page         one HTML file that stands alone, a model card, a data sheet
    answers      what only the reader knows, for the card and the sheet
    watch        are new rows like those of the test?
    served       the model again: answers for a table, an HTTP service
    options      of the command
    steps        what they print and leave behind
    run          their order
    rubric       is a project finished?
    examples     five tables to try it on
"""

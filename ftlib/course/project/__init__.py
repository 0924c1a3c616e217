"""From a table of your own to a model that is measured, exported and described:
`python -m ftlib project reviews.csv --text review --label stars`.

    reading      the file, what is wrong with it, three parts that share no text
    candidates   counted words, a frozen encoder, the same encoder fine-tuned
    judging      the test set, read once: intervals, slices, calibration, mistakes
    page         one HTML file that stands alone, a model card, a data sheet
    run          the order of the steps, kept as they are done
"""

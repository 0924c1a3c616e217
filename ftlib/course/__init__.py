"""The course's furniture: data sets, figures, checks. It may import the other rooms;
they never import it.
"""

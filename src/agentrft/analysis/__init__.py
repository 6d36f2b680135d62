"""What the numbers of a job mean: alarms, statistics, and whether a grader can be made to pay.

Pure functions over nouns of the domain: nothing here touches the world, waits, or knows where episodes come from.
"""

"""What runs inside the sandbox's own process: standard library only, and nothing else of agentrft is imported.

    pool --stdin--> launcher (launcher.py): enters namespaces, builds the view of files, then supervises
                      +- zygote (zygote.py): gives up all that it may, loads the grader once, then for each request
                           +- call: a fork that runs grade(sample, item) and is gone

The launcher alone is trusted: it never runs the user's code, consents to every new process, watches memory and disk,
kills what a call leaves, and empties the scratch folder. It runs under `python -I -S` as the top-level package `inside`
(see process.py), hence the relative imports.
"""

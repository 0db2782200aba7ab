"""The probe of the walls: plants secrets, tries with every other kind of credential to reach them, and tells what it found.

It needs the whole application, which it drives in its own process; so it stands above everything but the command line.
"""

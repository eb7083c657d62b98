"""The benchmark's milter: reads the subject, adds a field with it. Argument: path of the socket to listen on."""

import sys

import Milter


class BenchMilter(Milter.Base):
    def __init__(self):
        self.subject = ""

    def envfrom(self, _sender, *_parameters):
        self.subject = ""
        return Milter.CONTINUE

    def header(self, name, value):
        if name.lower() == "subject":
            self.subject = value
        return Milter.CONTINUE

    def eom(self):
        self.addheader("X-Bench", self.subject)
        return Milter.ACCEPT


Milter.factory = BenchMilter
Milter.set_flags(Milter.ADDHDRS)
Milter.runmilter("bench", f"unix:{sys.argv[1]}", timeout=60)

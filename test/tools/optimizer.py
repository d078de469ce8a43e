# SPDX-License-Identifier: Apache-2.0
#
# optimizer.py -- the command-line tool (by way of test/tools/many.c) as something to call often
import os
import subprocess

MANY = os.environ.get("MANY", "build/test/tools/many")


class Optimizer:
    """One process that is given command after command; what they print lies in files of `folder`."""

    def __init__(self, folder):
        self.process = subprocess.Popen([MANY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.printed, self.complaints = os.path.join(folder, "stdout"), os.path.join(folder, "stderr")

    def run(self, *arguments):
        """As subprocess.run does: exit status (-n: signal n), what it printed and complained about."""
        self.process.stdin.write("\t".join([self.printed, self.complaints, *arguments]) + "\n")
        self.process.stdin.flush()
        how, number = self.process.stdout.readline().split()
        with open(self.printed, encoding="utf-8") as out, open(self.complaints, encoding="utf-8") as err:
            return subprocess.CompletedProcess(arguments, int(number) if how == "exit" else -int(number), out.read(), err.read())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

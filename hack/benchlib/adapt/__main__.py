"""`hack/bench adapt`: see its --help."""

import sys

from benchlib.adapt.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

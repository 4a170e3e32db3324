"""`python -m cobaye`: the command line."""

import sys

from cobaye.workspace.command import main

sys.exit(main())

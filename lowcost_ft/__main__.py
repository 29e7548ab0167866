"""`python -m lowcost_ft`: the same as `lowcost-ft`."""

import sys

from lowcost_ft.commands.main import main

sys.exit(main())

#!/bin/bash
# Debian's Python by its full name: another one may come first on PATH. Writes
# no bytecode, since the scripts lie in the checkout.
exec /usr/bin/python3 -B "$@"

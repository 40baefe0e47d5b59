"""`python -m handgrad`: the same as the command `handgrad`."""

from handgrad.commands import main

if __name__ == "__main__":
    main()

"""``python -m benchmarks``: every table."""

from benchmarks import product

product.main()

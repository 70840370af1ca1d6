"""``python -m benchmarks``: every table."""

from benchmarks import plane, product

product.main()
plane.main()

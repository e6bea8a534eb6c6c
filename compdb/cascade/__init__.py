"""Delete and drop in dependency order: rows or tables, with everything that depends on them.

>>> delete(lab, image, sa.select(image.c.image_id).where(image.c.quality < 0), prompt=False)
3
>>> delete(lab, image, None, dry_run=True)
{'Image': 12, 'Detection': 36, 'Detection.Blob': 41205}

Any select of primary keys says which rows: a join, a limit, rows that have children. It is run before the first row goes. The rows
downstream are found through the foreign keys of every pipeline loaded, and the catalogue of the database is asked once for
others. One transaction deletes them, set by set, children first.
"""

from compdb.cascade.deletion import Integrity, delete, dependents
from compdb.cascade.removal import drop

__all__ = ["Integrity", "delete", "dependents", "drop"]

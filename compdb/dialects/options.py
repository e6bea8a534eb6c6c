"""Table options: what makes tables of MySQL and MariaDB tell keys apart that differ in Python."""

from __future__ import annotations

__all__ = ["MARIADB", "MYSQL"]

MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_0900_bin"}
MARIADB = {"mariadb_engine": "InnoDB", "mariadb_charset": "utf8mb4", "mariadb_collate": "utf8mb4_nopad_bin"}

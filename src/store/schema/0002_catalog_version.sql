-- Schema 2. Rises by one in the transaction of each change of the catalog; one row. Whoever keeps
-- a copy of the catalog tells by it that there is another.
CREATE TABLE catalog_version (
    id      INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO catalog_version (id, version) VALUES (1, 1);

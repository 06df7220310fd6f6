-- The database and the user of nudged, with what it uses and no more. Change the password, and the
-- '%' to your nodes' network.
--
--   mariadb -uroot < vendor-config/mysql/grants.sql

CREATE DATABASE IF NOT EXISTS nudged CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The nodes: rows of the tables that `nudged migrate` has made. Ending a connection of its own,
-- which nudged does after a lost COMMIT, needs no privilege.
CREATE USER IF NOT EXISTS 'nudged'@'%' IDENTIFIED BY 'change-me';
GRANT SELECT, INSERT, UPDATE, DELETE ON nudged.* TO 'nudged'@'%';

-- For `nudged migrate` alone, which makes and alters the tables. A user of its own, so that a node
-- can't drop what it writes.
CREATE USER IF NOT EXISTS 'nudged_migrate'@'%' IDENTIFIED BY 'change-me-too';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP, LOCK TABLES, REFERENCES
    ON nudged.* TO 'nudged_migrate'@'%';

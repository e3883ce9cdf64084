-- The tables of a PostgreSQL store, made in one transaction by the first run that stores something. Where the role may
-- not make a schema, somebody else makes it beforehand: CREATE SCHEMA tokman AUTHORIZATION role.
-- What is sealed in a record is never readable here; times are the database's own.

-- Several may come at once. The lock ends with the transaction: it works behind a pooler.
SELECT pg_advisory_xact_lock(8391079418126413);

DO $$ BEGIN
    IF to_regnamespace('tokman') IS NULL THEN
        CREATE SCHEMA tokman;
        REVOKE ALL ON SCHEMA tokman FROM PUBLIC;
    END IF;
END $$;

CREATE TABLE IF NOT EXISTS tokman.token (
    provider text COLLATE "C" NOT NULL,
    profile text COLLATE "C" NOT NULL,
    -- The record as JSON, its secrets sealed; null where nothing is stored for the key.
    record text,
    -- Counts the changes of the record.
    generation bigint NOT NULL DEFAULT 0,
    -- A damaged record that was set aside.
    aside text,
    -- The request that is under way, or was when a process died, as JSON.
    in_flight text,
    -- The last exchange that failed, as JSON.
    failure text,
    -- Whose the lease is, and until when.
    owner text,
    lease_until timestamptz,
    changed_at timestamptz,
    PRIMARY KEY (provider, profile)
);

CREATE TABLE IF NOT EXISTS tokman.version (
    version integer NOT NULL,
    one boolean NOT NULL DEFAULT true PRIMARY KEY CHECK (one)
);

INSERT INTO tokman.version (version) VALUES (1) ON CONFLICT DO NOTHING;

import Replication

extension PostgresWarehouse {
    /// The oldest server that is tested for; what is used came with 11.
    private static let serverVersion_min = 12_00_00

    package func preflight() async -> [Finding] {
        do {
            return try work { session in try findings(session) }
        } catch {
            let failure = error as? ReplicationError
            return [Finding(.error, "warehouse", failure?.message ?? "\(error)", remedy: failure?.remedy)]
        }
    }

    private func findings(_ session: Session) throws -> [Finding] {
        let facts = try session.facts()
        var found: [Finding] = []
        let version = "\(facts.serverVersion / 10000).\(facts.serverVersion % 10000)"
        if facts.serverVersion < Self.serverVersion_min {
            found.append(Finding(.error, "warehouse", "PostgreSQL \(version) is too old", remedy: "use 12 or later"))
        } else {
            found.append(
                Finding(.ok, "warehouse", "PostgreSQL \(version), database \(facts.database), user \(facts.user)"))
        }
        if facts.isInRecovery {
            found.append(
                Finding(.error, "warehouse", "this server is a standby", remedy: "give the URL of the primary"))
        } else if try session.scalar("SHOW default_transaction_read_only", for: "look at settings") == "on", !isReading
        {
            found.append(
                Finding(
                    .error, "warehouse", "transactions are read-only for this user",
                    remedy: "ALTER ROLE \(try quoteIdentifier(facts.user)) SET default_transaction_read_only = off;"))
        }
        if try session.scalar("SHOW synchronous_commit", for: "look at settings") == "off" {
            found.append(
                Finding(
                    .warning, "warehouse", "synchronous_commit is off: a crash of the server can take commits back",
                    remedy: "ALTER ROLE \(try quoteIdentifier(facts.user)) SET synchronous_commit = on;"))
        }
        if try session.scalar("SHOW server_encoding", for: "look at settings") != "UTF8" {
            found.append(
                Finding(
                    .warning, "warehouse", "the database isn't in UTF8: characters that it lacks go to quarantine",
                    remedy: "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0;"))
        }
        found += try schemaFindings(session, facts)
        do {
            try MetaTables.refuseNewer(try MetaTables.version(session))
        } catch let error as ReplicationError {
            found.append(Finding(.error, "warehouse", error.message, remedy: error.remedy))
        }
        return found
    }

    /// Schemas that are missing must be made, and in those that are there tables must be.
    private func schemaFindings(_ session: Session, _ facts: Session.Facts) throws -> [Finding] {
        var schemas = [WarehouseSchema.metaSchema]
        if layout.hasCurrent { schemas += [layout.current, layout.live] }
        if layout.hasRaw { schemas += [layout.raw, layout.history] }
        let rows = try session.query(
            """
            SELECT wanted.name, n.oid IS NOT NULL, \
            coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'), false), \
            has_database_privilege(current_database(), 'CREATE') \
            FROM unnest($1::text[]) AS wanted(name) LEFT JOIN pg_namespace n ON n.nspname = wanted.name
            """, [try arrayText(schemas)], for: "look at the schemas")
        let user = try quoteIdentifier(facts.user)
        var found: [Finding] = []
        var isToldOfDatabase = false
        for row in 0..<rows.count {
            let name = rows.text(row, 0)
            if rows.bool(row, 1), !rows.bool(row, 2) {
                found.append(
                    Finding(
                        .error, "warehouse", "the user may not make tables in schema \(name)",
                        remedy: "GRANT USAGE, CREATE ON SCHEMA \(try quoteIdentifier(name)) TO \(user);"))
            } else if !rows.bool(row, 1), !rows.bool(row, 3), !isToldOfDatabase {
                isToldOfDatabase = true
                found.append(
                    Finding(
                        .error, "warehouse", "schema \(name) is missing and the user may not make it",
                        remedy: "GRANT CREATE ON DATABASE \(try quoteIdentifier(facts.database)) TO \(user);"))
            }
        }
        return found
    }
}

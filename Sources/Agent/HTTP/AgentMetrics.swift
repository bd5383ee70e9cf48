import PipelineFile
import Replication

/// `/metrics`: what this agent did since it started.
enum AgentMetrics {
    static func text(
        _ snapshot: AgentStatus.Snapshot, layout: WarehouseLayout, now_us: Int64, memory: ProcessMemory = .current()
    ) -> String {
        var text = PrometheusText()
        let report = StatusReport(snapshot, layout: layout, isRunning: true, now_us: now_us)
        text.metric(
            "millrace_up", .gauge, "1 while the agent replicates.",
            [([("pipeline", layout.pipeline)], snapshot.state == .ok || snapshot.state == .degraded ? 1 : 0)])
        text.metric(
            "millrace_standby", .gauge, "1 while the agent stands by for another one.",
            [([("pipeline", layout.pipeline)], snapshot.state == .standby ? 1 : 0)])
        text.metric(
            "millrace_events_total", .counter, "Change events, by table and where they ended.",
            report.tables.flatMap { table in outcomes(table.source, table.ledger) } + outcomes("", snapshot.unknown))
        text.metric(
            "millrace_late_events_total", .counter,
            "Change events that came when the warehouse had newer, by table; too_late: later than the table allows.",
            report.tables.flatMap { table in
                StatusReport.Table.lateCounts.map { name, path in
                    ([("table", table.source), ("kind", name)], Double(table.ledger[keyPath: path]))
                }
            })
        text.metric(
            "millrace_table_held", .gauge, "1 for each reason why a table's current stands still.",
            snapshot.holds.map { ([("table", $0.table.description), ("kind", $0.kind.rawValue)], 1) })
        text.metric(
            "millrace_gate_failures_total", .counter,
            "States of rows that weren't as expected before they were promoted, by table, rule and what it does.",
            snapshot.gates.map { count in
                let labels = [
                    ("table", count.table.description), ("rule", count.rule.name),
                    ("origin", count.rule.origin), ("on_fail", count.rule.onFail.rawValue),
                ]
                return (labels, Double(count.rows))
            })
        text.metric(
            "millrace_schema_plans_waiting", .gauge, "Schema changes of a table that wait for a person.",
            Dictionary(grouping: snapshot.schemaChanges.filter { $0.state == .waiting }, by: \.table)
                .sorted { $0.key < $1.key }.map { ([("table", $0.key.description)], Double($0.value.count)) })
        text.metric(
            "millrace_control_records_total", .counter, "Records that are no change events.", Double(snapshot.control))
        text.metric("millrace_batches_total", .counter, "Batches that are durable.", Double(snapshot.batches))
        text.metric(
            "millrace_apply_seconds_total", .counter, "Time spent in writing batches.", snapshot.applySeconds.sum)
        text.metric("millrace_apply_duration_seconds", "Time in which a batch was written.", snapshot.applySeconds)
        text.metric("millrace_batch_events", "Change events of a batch.", snapshot.batchEvents)
        text.metric(
            "millrace_rows_written_total", .counter, "Rows written to current tables.", Double(snapshot.rows))
        text.metric(
            "millrace_source_bytes_total", .counter, "Bytes of the records that were read.",
            Double(snapshot.recordBytes))
        text.metric(
            "millrace_retries_total", .counter, "Attempts that failed and were made again.", Double(snapshot.retries))
        text.metric(
            "millrace_lag_records", .gauge, "Records not read yet.",
            snapshot.lag.sorted { $0.key < $1.key }.map { (labels($0.key), Double($0.value)) })
        if let retained = snapshot.progress.retainedLog_bytes {
            text.metric(
                "millrace_retained_log_bytes", .gauge,
                "What the slot keeps a Postgres source from removing of its log.",
                Double(retained))
        }
        text.metric(
            "millrace_log_left_ratio", .gauge,
            "Of what the source keeps of its log, the part that is left before changes that weren't read are lost.",
            snapshot.progress.logLeft.sorted { $0.key < $1.key }.map { (labels($0.key), $0.value) })
        text.metric(
            "millrace_lag_seconds", .gauge, "How far a table is behind its source.",
            report.tables.compactMap { table in table.lag_ms.map { ([("table", table.source)], Double($0) / 1000) } })
        text.metric(
            "millrace_checkpoint_position", .gauge, "Where reading goes on after a restart.",
            snapshot.positions.sorted { $0.key < $1.key }.map { (labels($0.key), Double($0.value)) })
        text.metric(
            "millrace_quarantined_records", .gauge, "Records put aside since the agent started.",
            Double(snapshot.quarantined))
        text.metric(
            "millrace_lost_partitions", .gauge, "Partitions that can't be read on.", Double(snapshot.lost.count))
        text.metric(
            "millrace_waiting", .gauge, "1 while the agent waits for the warehouse or the source.",
            snapshot.lent == nil && snapshot.waitsFor != nil ? 1 : 0)
        text.metric(
            "millrace_lent", .gauge, "1 while another program has the DuckDB file.", snapshot.lent == nil ? 0 : 1)
        let promised = snapshot.freshness.values.sorted { $0.contract.table < $1.contract.table }
        text.metric(
            "millrace_table_stale", .gauge, "1 where a table lies further behind its source than its contract allows.",
            promised.map { ([("table", $0.table)], $0.isAlertRequired ? 1 : 0) })
        text.metric(
            "millrace_table_idle", .gauge, "1 where a table is fresh and its source is quiet.",
            promised.map { ([("table", $0.table)], $0.isIdle ? 1 : 0) })
        text.metric(
            "millrace_table_staleness_seconds", .gauge,
            "Time since the moment up to which a table is known to be complete.",
            promised.compactMap { table in table.staleness_us.map { ([("table", table.table)], Double($0) / 1e6) } })
        text.metric(
            "millrace_table_staleness_max_seconds", .gauge, "What a table's freshness contract allows.",
            promised.map { ([("table", $0.table)], Double($0.contract.maxStaleness_us) / 1e6) })
        let sweeps = snapshot.sweeps.sorted { $0.key < $1.key }
        text.metric(
            "millrace_sweep_differences", .gauge,
            "Rows that the last sweep of a table found to differ from its source.",
            sweeps.map { table, sweep in ([("table", table.description)], Double(sweep.last.differences)) })
        text.metric(
            "millrace_last_proof_timestamp_seconds", .gauge, "When a sweep found a table equal to its source last.",
            sweeps.compactMap { table, sweep in
                sweep.proof.map { ([("table", table.description)], Double($0.finishedAt_us) / 1e6) }
            })
        text.metric(
            "millrace_cut_transactions_total", .counter, "Source transactions that were applied in parts.",
            Double(snapshot.progress.cutTransactions))
        if !snapshot.alerts.isEmpty {
            text.metric(
                "millrace_alerts_open", .gauge, "Alerts that were sent and haven't ended, by kind.",
                Pipeline.AlertKind.allCases.map { kind in
                    let counts = snapshot.alerts.values.map { $0[kind] ?? 0 }
                    return ([("kind", kind.rawValue)], Double(counts.max() ?? 0))
                })
            text.metric("millrace_alerts_sent_total", .counter, "Notices that arrived.", Double(snapshot.alertsSent))
            text.metric(
                "millrace_alerts_failed_total", .counter, "Attempts to send a notice that failed.",
                Double(snapshot.alertsFailed))
        }
        if let lineage = snapshot.lineage {
            text.metric(
                "millrace_lineage_events_sent_total", .counter, "Lineage events that arrived.", Double(lineage.sent))
            text.metric(
                "millrace_lineage_events_failed_total", .counter, "Attempts to deliver a lineage event that failed.",
                Double(lineage.failed))
            text.metric(
                "millrace_lineage_events_dropped_total", .counter,
                "Lineage events that never arrived: refused, or too many waited.", Double(lineage.dropped))
            text.metric(
                "millrace_lineage_events_waiting", .gauge, "Lineage events on their way.", Double(lineage.waiting))
        }
        if snapshot.lastCommit_us != .min {
            text.metric(
                "millrace_last_commit_timestamp_seconds", .gauge, "When a batch became durable last.",
                Double(snapshot.lastCommit_us) / 1e6)
        }
        if let resident_bytes = memory.resident_bytes {
            text.metric(
                "process_resident_memory_bytes", .gauge, "Resident memory of the agent.", Double(resident_bytes))
        }
        if let heap_bytes = memory.heap_bytes {
            text.metric(
                "process_heap_bytes", .gauge,
                "What the C library's allocator has of the system; most of what DuckDB's engine has isn't in it.",
                Double(heap_bytes))
        }
        return text.text
    }

    private static func outcomes(
        _ table: String, _ ledger: LedgerEntry
    ) -> [(labels: [(String, String)], value: Double)] {
        if table.isEmpty, ledger.read == 0 { return [] }
        return StatusReport.Table.counts.map { name, path in
            ([("table", table), ("outcome", name)], Double(ledger[keyPath: path]))
        }
    }

    private static func labels(_ partition: TopicPartition) -> [(String, String)] {
        [("topic", partition.topic), ("partition", String(partition.partition))]
    }
}

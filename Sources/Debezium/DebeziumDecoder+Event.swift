import JSON
import Replication

/// From an envelope to a change event in the batch.
extension DebeziumDecoder {
    func append(_ c: EventContext) throws(Trouble) {
        if c.connector == .mongodb, !c.hasAdded { useDocumentColumns(c.state) }
        let header = moveHeader(of: c)
        let key = try recordKey(of: c)
        let (position, id) = try identify(c, key)
        let time_us = c.source.time_us(c.origin)
        var version = Version(epoch: epoch(of: c.record, time_us), commit: position.commit, seq: position.seq)
        let createsMovedKey = header != nil && c.operation == .create
        // The move's two halves stand at one position; the create must win.
        if createsMovedKey { version.seq += 1 }

        var event = ChangeEvent(
            operation: c.operation, table: Int32(c.state.index), version: version, id: id, offset: c.record.offset,
            sourceTime_us: time_us)
        event.span = c.record.span
        // What excluded or hashed columns stand in mustn't be put aside.
        event.record = c.state.withholdsBytes ? -1 : recordIndex
        if c.source.transactionID >= 0 { event.transaction = c.origin.int64(Int(c.source.transactionID)) ?? -1 }
        if position.leansOnRead { event.flags.insert(.alwaysProbe) }
        let follows = followsSchemas(c, position)
        c.state.begin(
            version, isPlaced: !position.isOffset, isBehind: isBehind(c.state, position, version), follows: follows)
        if follows { followBlock(c, version) }

        switch c.operation {
        case .truncate: break
        case .delete: try delete(c, key, header, &event)
        case .create, .update, .read: try upsert(c, key, header, &event)
        }
        if !position.isBehind { c.memory.notePlace(version, at: c.record.offset) }
        event.width = Int32(c.state.definition.columns.count)
        batch.events.append(event)
        if follows { followShape(c, version) }
        if event.sourceTime_us > batch.newestSourceTime_us { batch.newestSourceTime_us = event.sourceTime_us }
    }

    @inline(__always)
    func epoch(of record: RecordBatch.Record, _ time_us: Int64) -> Int64 {
        if epochs.isEmpty { return 0 }
        return epochs.epoch(
            of: records.spans[Int(record.span)].partition, at: record.offset, time_us: time_us)
    }

    /// The record's epoch begins there. What stood in an earlier one says nothing of this one's positions.
    private func start(of c: EventContext) -> Int64 {
        if epochs.isEmpty { return .min }
        return epochs.start(of: records.spans[Int(c.record.span)].partition, at: c.record.offset) ?? .min
    }

    // MARK: - Id

    /// The id hangs on nothing but what stands in the record: no types, no schema of ours.
    func identify(_ c: EventContext, _ key: RecordKey?) throws(Trouble) -> (SourcePosition, EventID) {
        var place = Hash128()
        if c.source.connector >= 0 { place.add(c.origin.rawValue(Int(c.source.connector))) }
        let position: SourcePosition
        do throws(SourcePosition.Trouble) {
            if c.showsPlace {
                position = try SourcePosition(
                    c.origin, c.source, c.connector, isRead: c.operation == .read, offset: c.record.offset,
                    lastReadLSN: c.memory.lastReadLSN(from: start(of: c), before: c.record.offset),
                    totalOrder: c.envelope.totalOrder(c.origin), hash: &place)
            } else {
                let time_us = c.source.time_us(c.origin)
                position = try SourcePosition(
                    time_us: time_us == .min ? nil : time_us, offset: c.record.offset, isRead: c.operation == .read,
                    last: c.memory.lastPlace(from: start(of: c), before: c.record.offset))
            }
        } catch {
            throw Trouble(error.rawValue)
        }
        if let lsn = position.readLSN { c.memory.noteRead(lsn, at: c.record.offset) }
        let at = place.finish()
        var hash = c.state.seed
        hash.add(UInt64(c.operation.rawValue))
        hash.add(at.high, at.low)
        let isKeyless = key == nil && c.operation != .truncate
        // Reads without a key are alike all through a snapshot.
        if position.isOffset || isKeyless && c.operation == .read {
            let partition = records.spans[Int(c.record.span)].partition
            hash.add(partition.topic)
            hash.add(Int64(partition.partition))
            hash.add(c.record.offset)
        } else if isKeyless || position.isShared {
            var image = c.state.seed
            image.add(UInt64(c.operation.rawValue))
            for i in [c.envelope.before, c.envelope.after] where i >= 0 { add(Int(i), of: c, to: &image) }
            let content = image.finish()
            hash.add(content.high, content.low)
            if isKeyless {
                let ordinal =
                    c.envelope.totalOrder(c.origin)
                    ?? (position.hasRuns ? c.memory.ordinal(of: content, at: at, offset: c.record.offset) : 0)
                hash.add(ordinal)
            }
        }
        if let key { hash.add(key.tape.rawValue(key.object)) }
        return (position, hash.finish())
    }

    /// What was added to a row may be new with each delivery.
    private func add(_ object: Int, of c: EventContext, to hash: inout Hash128) {
        guard c.hasAdded else { return hash.add(c.tape.rawValue(object)) }
        for child in c.tape.children(object) where addedFields[c.tape.rawKey(child)] == nil {
            hash.add(c.tape.rawKey(child))
            hash.add(c.tape.rawValue(child))
        }
    }

    // MARK: - Inserts, updates and reads

    private func upsert(
        _ c: EventContext, _ key: RecordKey?, _ header: MoveHeader?, _ event: inout ChangeEvent
    ) throws(Trouble) {
        let state = c.state
        let kind = c.envelope.after >= 0 ? c.tape.kind(Int(c.envelope.after)) : .null
        if kind == .string, state.connector == .mongodb {
            try readDocument(Int(c.envelope.after), of: c, into: after)
        } else if kind == .object {
            let mayLack =
                (c.operation == .update || c.operation == .create && header != nil) && !state.connector.isMySQLFamily
            try read(Int(c.envelope.after), of: c, into: after, mayLack: mayLack)
        } else {
            throw Trouble(
                state.connector == .mongodb
                    ? "an update without its document, which capture.mode=change_streams_update_full sends, and "
                        + "capture.mode.full.update.type=post_image also where it is gone by then"
                    : "there is no after-image")
        }
        let isKeyed = try settleKey(c, key, from: after)

        let hasBefore = c.envelope.before >= 0 && c.tape.kind(Int(c.envelope.before)) == .object
        let readsBefore = c.operation == .update && hasBefore && (state.identity == .full || !isKeyed)
        if readsBefore { try read(Int(c.envelope.before), of: c, into: before, mayLack: false) }
        if c.operation == .update, isKeyed, hasBefore, takesKeyFromImage(c, key) {
            try refuseMovedKey(c, hasRead: readsBefore)
        }
        let width = state.definition.columns.count
        after.extend(to: width)
        if readsBefore {
            before.extend(to: width)
            for column in 0..<width where after[column].kind == .unchanged {
                if before[column].isKnown, before[column].kind != .null { after[column] = before[column] }
            }
        }
        var isPartial = false
        for column in 0..<width where !after[column].isKnown {
            if isKeyed, state.isKeyColumn(column) { after[column] = keyImage[column] } else { isPartial = true }
        }
        if isPartial { event.flags.insert(.partial) }
        if isKeyed {
            appendKey(state, &event)
            move(c, key, header, isPartial: isPartial, &event)
        } else {
            guard c.operation != .update || readsBefore else {
                throw Trouble(
                    c.isOperationTold
                        ? "an update without a before-image, in a table without a key"
                        : "an event that doesn't say whether it inserts or updates, in a table without a key: "
                            + "add.fields=op for ExtractNewRecordState")
            }
            if c.operation != .read { try refuseScattered(c) }
            event.imageAfter = try imageHash(state, after)
            if readsBefore { event.imageBefore = try imageHash(state, before) }
        }
        if let filter = state.filter { judge(filter, state, &event) }
        event.after = after.append(to: batch)
        if readsBefore { event.before = before.append(to: batch) }
    }

    /// A row moved under a key that isn't the record's: Debezium sends no delete of the old one.
    private func refuseMovedKey(_ c: EventContext, hasRead: Bool) throws(Trouble) {
        let object = Int(c.envelope.before)
        if !hasRead { try read(object, of: c, into: before, mayLack: false, reading: .keyColumns) }
        guard hasRead || !areDefaults(c, keyColumnsOf: object) else { return }
        before.extend(to: c.state.definition.columns.count)
        for column in c.state.definition.key {
            let old = before[column]
            guard old.isKnown, old.kind != .null else { continue }
            guard sameValue(old, keyImage[column], c.state.definition.columns[column].type) else {
                throw Trouble("a key column changed under a key that the pipeline file chose")
            }
        }
    }

    private func sameValue(_ a: Field, _ b: Field, _ type: ColumnType) -> Bool {
        if !a.inArena, !b.inArena { return a.kind == b.kind && a.bits == b.bits }
        let mark = values.scratch.count
        defer { values.scratch.truncate(to: mark) }
        let x = FieldText.appendJSON(a, type, from: batch.arena, to: values.scratch)
        let y = FieldText.appendJSON(b, type, from: batch.arena, to: values.scratch)
        return values.scratch.bytes(x).elementsEqual(values.scratch.bytes(y))
    }

    // MARK: - Deletes

    private func delete(
        _ c: EventContext, _ key: RecordKey?, _ header: MoveHeader?, _ event: inout ChangeEvent
    ) throws(Trouble) {
        let state = c.state
        let hasBefore = c.envelope.before >= 0 && c.tape.kind(Int(c.envelope.before)) == .object
        let object = Int(c.envelope.before)
        let isFull = state.identity == .full
        let needsKeyFromImage = takesKeyFromImage(c, key)
        if !needsKeyFromImage { _ = try settleKey(c, key, from: before) }
        if hasBefore {
            // Only the key's columns are real, unless every column is.
            let reading: Reading = isFull || needsKeyFromImage && !isKeyedForGood(state) ? .everything : .keyColumns
            try read(object, of: c, into: before, mayLack: false, reading: reading)
        } else {
            guard !needsKeyFromImage else { throw Trouble("a delete without key and before-image") }
            before.reset(state.definition.columns.count)
        }
        let isKeyed = needsKeyFromImage ? try settleKey(c, key, from: before) : true
        if isKeyed {
            try distrustDefaults(c, key, hasBefore ? object : nil)
            before.extend(to: state.definition.columns.count)
            for column in 0..<before.count {
                if state.isKeyColumn(column) {
                    before[column] = keyImage[column]
                } else if !isFull {
                    before[column] = before[column].kind == .absent ? .absent : .unchanged
                }
            }
            appendKey(state, &event)
            move(c, key, header, isPartial: false, &event)
        } else {
            try refuseScattered(c)
            event.imageBefore = try imageHash(state, before)
        }
        event.before = before.append(to: batch)
    }

    /// Whether only key columns have to be read of a before-image.
    private func isKeyedForGood(_ state: TableState) -> Bool { state.isKeyKnown && !state.definition.isKeyless }

    /// A replica identity that doesn't cover the key gives deletes whose key is made of type defaults; they must not
    /// delete the row that has them.
    private func distrustDefaults(_ c: EventContext, _ key: RecordKey?, _ object: Int?) throws(Trouble) {
        // Only Postgres has replica identities.
        guard c.connector == .postgres || c.connector == .unknown, c.state.identity != .full,
            c.state.identity != .coversKey, areDefaults(c, key, before: object)
        else { return }
        guard c.state.identity == .incomplete || object.map({ hasOtherValues(c, $0) }) == true else { return }
        throw Trouble("a delete with an empty key: the replica identity doesn't cover the key")
    }

    /// Null keys scatter over a topic's partitions, and with them the order of a table's events.
    private func refuseScattered(_ c: EventContext) throws(Trouble) {
        guard isScattered(c.record), c.envelope.totalOrder(c.origin) == nil else { return }
        throw Trouble(
            "the table has no key, its topic several partitions, and its events no transaction metadata: their order can't be told"
        )
    }

    /// The hash that tells a keyless table's rows apart.
    private func imageHash(_ state: TableState, _ image: ImageBuffer) throws(Trouble) -> EventID {
        guard let template = state.imageTemplate else { throw Trouble("the table's key isn't settled") }
        for column in 0..<image.count where image[column].kind == .unchanged {
            throw Trouble("an unchanged column in an image of a table without a key")
        }
        return template.hash(width: image.count, in: batch.arena, scratch: values.scratch) { image[$0] }
    }

    // MARK: - The row filter

    private func judge(_ filter: any RowFilter, _ state: TableState, _ event: inout ChangeEvent) {
        let verdict = rowJudge.verdict(
            filter, state.filterColumns(filter), state.definition, in: batch.arena
        ) { after[$0] }
        event.flags.formUnion(verdict.flags)
    }
}

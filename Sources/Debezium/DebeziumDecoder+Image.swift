import JSON
import Replication

/// Row images: columns by name, with the order of the image before as a guess.
extension DebeziumDecoder {
    static let columns_max = 1600
    static let name_max_bytes = 63

    enum Reading { case everything, keyColumns }

    /// Reads the image at `object`.
    ///
    /// - Parameters:
    ///   - mayLack: unchanged columns can be in it as placeholders.
    ///   - reading: of key columns alone, the other columns become unchanged.
    func read(
        _ object: Int, of c: EventContext, into image: ImageBuffer, mayLack: Bool, reading: Reading = .everything
    ) throws(Trouble) {
        let tape = c.tape
        let state = c.state
        image.reset(state.definition.columns.count)
        state.usePlans(of: c.schema)
        var position = 0
        for child in tape.children(object) {
            let key = tape.rawKey(child)
            var slot = state.guess(position)
            if slot < 0 || !state.matches(slot, key) || tape.isKeyEscaped(child) {
                slot = try lookUp(tape, child, state, c.schema, hasAdded: c.hasAdded)
                state.learn(slot, at: position)
                image.extend(to: state.definition.columns.count)
            }
            position += 1
            var column = Int(state.slots[slot].column)
            var isOther = false
            if column < 0 || state.mayBeOthers(slot) {
                guard let place = try place(slot, tape, child, c) else { continue }
                column = place
                isOther = place != Int(state.slots[slot].column)
                image.extend(to: state.definition.columns.count)
            }
            if state.hasRetired, reading == .everything, state.isRetired(column) { try refuseRenewed(c) }
            if reading == .keyColumns, !state.isKeyColumn(column) {
                image[column] = .unchanged
                continue
            }
            if tape.isNull(child) {
                image[column] = .null
                continue
            }
            let plan =
                isOther
                ? newPlan(state.definition.columns[column], state.name(of: slot), state, c.schema)
                : plan(slot, state, c.schema)
            if mayLack || plan.operation == .document,
                placeholder.matches(tape, child, plan.operation, element: values.elementOperation(plan))
            {
                image[column] = .unchanged
                continue
            }
            do throws(Misfit) {
                image[column] = try values.field(tape, child, plan)
            } catch {
                throw trouble(error, state, column)
            }
        }
        state.sees(members: position)
    }

    /// The column of a member that hasn't one, or whose name was another column's; nil: it is left out.
    private func place(
        _ slot: Int, _ tape: JSONTape, _ child: Int, _ c: EventContext
    ) throws(Trouble) -> Int? {
        let state = c.state
        let kind = state.slots[slot].column
        // It is left out.
        guard kind != -1 else { return nil }
        if state.mayBeOthers(slot) {
            switch state.owner(of: slot) {
            case .present: break
            case .removed: return nil
            // Nil: it is removed by now.
            case .column(let identity): return state.place(of: identity)
            }
            if kind >= 0 { return Int(kind) }
        }
        if kind == TableState.Slot.added {
            guard !c.hasAdded else { return nil }
        } else if let place = state.placeOfRetired(slot) {
            return place
        } else if state.isBehind {
            return nil
        }
        return state.makeColumn(try column(columnName(tape, child), state, c.schema), of: slot)
    }

    /// The source dropped the column, and a schema block has it again behind that: it is another one. Without a block
    /// nothing tells of another one.
    private func refuseRenewed(_ c: EventContext) throws(Trouble) {
        let state = c.state
        guard state.isPlaced, !state.isBehind, !state.isUnsteady, c.schema != nil, c.operation != .delete,
            // Rows without a key are counted as they are read, once.
            !state.definition.isKeyless
        else { return }
        var trouble = Trouble("a column that was dropped is there again")
        trouble.isRenewed = true
        throw trouble
    }

    /// MongoDB's envelopes hold a document in a string: a table has the key, as the record calls it, and the document.
    func useDocumentColumns(_ state: TableState) {
        for (name, type) in [("id", ColumnType.text), ("document", .json)] where state.slot(named: name) == nil {
            let type = state.choice?.types[name] ?? type
            _ = state.addColumn(Column(name: name, type: state.choice?.hashed.contains(name) == true ? .text : type))
        }
    }

    func readDocument(_ text: Int, of c: EventContext, into image: ImageBuffer) throws(Trouble) {
        let state = c.state
        state.usePlans(of: nil)
        image.reset(state.definition.columns.count)
        guard let slot = state.slot(named: "document"), state.slots[slot].column >= 0 else { return }
        let column = Int(state.slots[slot].column)
        do throws(Misfit) {
            image[column] = try values.field(c.tape, text, plan(slot, state, nil))
        } catch {
            throw trouble(error, state, column)
        }
    }

    func trouble(_ misfit: Misfit, _ state: TableState, _ column: Int) -> Trouble {
        let column = state.definition.columns[column]
        return Trouble("column \"\(column.name)\" (\(column.type.sql)) \(misfit.reason)")
    }

    /// The slot of a member's name; a new name makes a new column.
    ///
    /// - Parameter hasAdded: what ExtractNewRecordState added stands among the columns.
    func lookUp(
        _ tape: JSONTape, _ child: Int, _ state: TableState, _ schema: ConnectSchema?, hasAdded: Bool = false
    ) throws(Trouble) -> Int {
        guard let name = tape.key(child) else { throw Trouble("a column's name has half of a surrogate pair") }
        if let slot = state.slot(named: name) { return slot }
        if hasAdded, isAdded(name, state) { return state.addMember(name, as: TableState.Slot.added) }
        if state.isBehind, state.isGone(name) { return state.addMember(name, as: TableState.Slot.gone) }
        return state.addColumn(try column(columnName(tape, child), state, schema))
    }

    /// A table can have a column of such a name, where the source's catalog or the pipeline file says so.
    func isAdded(_ name: String, _ state: TableState) -> Bool {
        var text = name
        guard text.withUTF8({ addedFields[UnsafeRawBufferPointer($0)] }) != nil else { return false }
        return state.choice?.types[name] == nil && configuration.catalogTypes[state.id]?[name] == nil
    }

    func columnName(_ tape: JSONTape, _ child: Int) throws(Trouble) -> String {
        guard let name = tape.key(child), !name.isEmpty, name.utf8.count <= Self.name_max_bytes,
            !name.utf8.contains(0)
        else {
            throw Trouble("a column's name is empty, has a NUL, or more than \(Self.name_max_bytes) bytes")
        }
        return name
    }

    func column(_ name: String, _ state: TableState, _ schema: ConnectSchema?) throws(Trouble) -> Column {
        guard state.definition.columns.count < Self.columns_max else {
            throw Trouble("there are more than \(Self.columns_max) columns")
        }
        let described = schema.flatMap { schema in
            var text = name
            return text.withUTF8 { schema.column(named: UnsafeRawBufferPointer($0)) }
        }
        let type: ColumnType
        if state.choice?.hashed.contains(name) == true {
            type = .text
        } else {
            let catalog = configuration.catalogTypes[state.id]?[name]
            let told = described?.isAssumed == true ? catalog ?? described?.type : described?.type ?? catalog
            type = state.choice?.types[name] ?? told ?? .unknown
        }
        return Column(name: name, type: type, nullable: described?.isOptional ?? true)
    }

    /// How the slot's column is decoded in an event of this schema (nil: without one).
    @inline(__always)
    func plan(_ slot: Int, _ state: TableState, _ schema: ConnectSchema?) -> ColumnPlan {
        let plan = state.plans[slot]
        return plan.operation != .unset ? plan : makePlan(slot, state, schema)
    }

    private func makePlan(_ slot: Int, _ state: TableState, _ schema: ConnectSchema?) -> ColumnPlan {
        let plan = newPlan(slot, state, schema)
        state.setPlan(plan, at: slot)
        return plan
    }

    func newPlan(_ slot: Int, _ state: TableState, _ schema: ConnectSchema?) -> ColumnPlan {
        newPlan(state.definition.columns[Int(state.slots[slot].column)], state.name(of: slot), state, schema)
    }

    /// - Parameter name: that of its member.
    func newPlan(
        _ column: Column, _ name: UnsafeRawBufferPointer, _ state: TableState, _ schema: ConnectSchema?
    ) -> ColumnPlan {
        let isHashed = state.choice?.hashed.contains(column.name) == true
        if let described = schema?.column(named: name),
            !described.isAssumed || described.type == column.type || isHashed
        {
            if let encoding = described.encoding.known(as: column.type, modes: configuration.modes) {
                return values.plan(encoding, of: column.type, for: column.type, isHashed: isHashed)
            }
            return values.plan(described.encoding, of: described.type, for: column.type, isHashed: isHashed)
        }
        let type =
            state.choice?.types[column.name] ?? configuration.catalogTypes[state.id]?[column.name]
            ?? (isHashed ? .unknown : column.type)
        if isHashed, type == .unknown { return values.plan(.loose, of: .text, for: .text, isHashed: true) }
        var encoding = ValueEncoding(inferredFrom: type, modes: configuration.modes, connector: state.connector)
        if type == .time, isShortTime(column.name, state) {
            encoding = .shortTime(configuration.modes, state.connector)
        }
        return values.plan(encoding, of: type, for: column.type, isHashed: isHashed)
    }

    private func isShortTime(_ column: String, _ state: TableState) -> Bool {
        if state.choice?.types[column] != nil { return state.choice?.shortTimes.contains(column) == true }
        return configuration.catalogShortTimes[state.id]?.contains(column) == true
    }
}

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif
import Replication

/// A source table as the decoder knows it: its definition, and where its columns stand in the events.
///
/// Here as elsewhere in the decoder, what is touched for each event is `@exclusivity(unchecked)`: it has one owner,
/// and the checks cost a tenth of the time.
final class TableState {
    /// A name that appeared in an event: a column, or an excluded one.
    struct Slot {
        /// The name's UTF-8 in `names`.
        var offset: Int32
        var length: Int32
        /// Index in the definition's columns; -1: excluded; `added`.
        var column: Int32
        /// The name was another column's before.
        var isTaken = false
        /// What ExtractNewRecordState added, in flattened events; in others the name may be a column's.
        static let added: Int32 = -2
        /// Events of before a change of the table alone had it.
        static let gone: Int32 = -3
    }

    let id: TableID
    /// Nil: the table isn't replicated.
    let choice: TableChoice?
    // Of the choice, for each event.
    let isChosen: Bool
    let hasChosenKey: Bool
    let filter: (any RowFilter)?
    /// `source.schema` (or `db`) and `source.table` as they stand in the JSON.
    let rawSchema: [UInt8]
    let rawTable: [UInt8]
    /// `source.db` of its first event, where that isn't its schema.
    @exclusivity(unchecked) private var rawDatabase: [UInt8] = []
    /// The start of every event's id.
    let seed: Hash128
    private(set) var identity: ReplicaIdentity?
    /// Of the first event that told it.
    @exclusivity(unchecked) private(set) var connector: Connector

    @exclusivity(unchecked) private(set) var definition: TableDefinition {
        didSet { noteFollowed() }
    }
    /// Where the schema that is followed was first seen, for each event; nil: none is.
    @exclusivity(unchecked) private(set) var followedSince: Version?
    /// Whether it is settled which columns are the key, or that there is none.
    @exclusivity(unchecked) private(set) var isKeyKnown: Bool
    @exclusivity(unchecked) private(set) var keyTemplate: KeyTemplate?
    @exclusivity(unchecked) private(set) var imageTemplate: ImageTemplate?
    private let equality: KeyEquality
    /// Excluded or hashed columns stand in its records.
    let withholdsBytes: Bool

    @exclusivity(unchecked) private(set) var slots = ContiguousArray<Slot>()
    let names = ByteArena(capacity: 256)
    private var slotsByName: [String: Int] = [:]
    /// The slot of the n-th member of the last image.
    @exclusivity(unchecked) private var order = ContiguousArray<Int32>()
    @exclusivity(unchecked) private var isKey = ContiguousArray<Bool>()
    /// By slot, for events of the schema `plansOf` (0: without one).
    @exclusivity(unchecked) private(set) var plans = ContiguousArray<ColumnPlan>()
    @exclusivity(unchecked) private var plansOf = 0
    private var otherPlans: [Int: ContiguousArray<ColumnPlan>] = [:]
    private static let schemas_max = 256
    private var filterIndices: [Int] = []
    private var filterWidth = -1
    @exclusivity(unchecked) private var keyOrder = ContiguousArray<Int32>()
    private var keyPlans: [Int: ContiguousArray<ColumnPlan>] = [:]

    /// Nil: none of its events was flattened.
    var flattened: FlattenedTraits?

    /// Of the current batch.
    @exclusivity(unchecked) var batch = 0
    @exclusivity(unchecked) var index = 0

    /// Since its source changed it: what the warehouse has, or gets with the batch, and what events have from here on. They
    /// differ where a change waits for a person. The definition in hand has the wanted one's columns in places of its own,
    /// and beside them those that were dropped.
    private var changed: (applied: TableDefinition, wanted: TableDefinition)?
    /// How often each schema was come to. Where one comes again and again, events of several are mixed, and none of them is
    /// the later one: nothing is followed any more.
    private var visits: [Int: Int] = [:]
    /// How often a name came again that had stayed away.
    private var returns = 0
    private static let visits_max = 3
    /// Columns that stayed away since this run began.
    private var wentHere: Set<Int> = []
    @exclusivity(unchecked) private(set) var isUnsteady = false
    /// Numbers of blocks that show what is followed.
    private var sameBlocks: Set<Int> = []
    private static let sameBlocks_max = 64
    /// Events of the schema of this number show what is followed (0: those without one); -1: none was looked at.
    @exclusivity(unchecked) var followedNumber = -1
    /// Of the last image that was looked at.
    @exclusivity(unchecked) private var members = -1
    /// The last image had other members than the one before, or in another order.
    @exclusivity(unchecked) var hasNewShape = true

    /// The event in hand is of before the schema that is followed.
    @exclusivity(unchecked) var isBehind = false
    @exclusivity(unchecked) private(set) var version = Version.none
    /// The source made that.
    @exclusivity(unchecked) private(set) var isPlaced = false
    /// It tells what its table is like.
    @exclusivity(unchecked) var follows = false
    /// Columns that it was the first to bring.
    @exclusivity(unchecked) private var brought: [String] = []
    /// By column: nobody writes it any more.
    @exclusivity(unchecked) private var isRetired = ContiguousArray<Bool>()
    @exclusivity(unchecked) private(set) var hasRetired = false

    /// Slots that it made columns of, and what they were.
    private var renewed: [(slot: Int, kind: Int32)] = []

    /// As it was before the event in hand, once that changes it.
    @exclusivity(unchecked) private var saved: (definition: TableDefinition, slots: Int, isKeyKnown: Bool)?

    init(
        id: TableID, choice: TableChoice?, rawSchema: UnsafeRawBufferPointer, rawTable: UnsafeRawBufferPointer,
        known: TableDefinition?, identity: ReplicaIdentity?, connector: Connector, equality: KeyEquality,
        withholdsBytes: Bool
    ) {
        self.withholdsBytes = withholdsBytes
        self.id = id
        self.choice = choice
        isChosen = choice != nil
        hasChosenKey = choice?.key != nil
        filter = choice?.filter
        self.rawSchema = Array(rawSchema)
        self.rawTable = Array(rawTable)
        self.identity = identity ?? (connector.isMySQLFamily ? .full : nil)
        self.connector = connector
        self.equality = equality
        var seed = Hash128()
        seed.add(id.schema)
        seed.add(id.table)
        self.seed = seed
        definition = known ?? TableDefinition(source: id, target: choice?.target ?? "", columns: [], key: [])
        Self.drop(choice?.excluded ?? [], from: &definition)
        if let choice {
            definition.target = choice.target
            definition.metadata = choice.metadata
            definition.existing = choice.existing
            definition.isFiltered = choice.filter != nil
        }
        // A truncate alone shows neither columns nor key.
        isKeyKnown = !definition.columns.isEmpty
        for column in definition.key { definition.columns[column].isKey = true }
        for (column, known) in definition.columns.enumerated() {
            if let type = choice?.types[known.name] { definition.columns[column].type = type }
            if choice?.hashed.contains(known.name) == true { definition.columns[column].type = .text }
            appendSlot(known.name, column: choice?.excluded.contains(known.name) == true ? -1 : Int32(column))
        }
        for name in choice?.excluded.sorted() ?? [] where slotsByName[name] == nil { appendSlot(name, column: -1) }
        isKey = ContiguousArray(definition.columns.map(\.isKey))
        noteFollowed()
        if isKeyKnown { makeTemplates() }
    }

    /// Columns that were replicated once and are excluded now. The key's can't be: their events go to quarantine.
    private static func drop(_ excluded: Set<String>, from definition: inout TableDefinition) {
        let kept = definition.columns.indices.filter {
            definition.key.contains($0) || !excluded.contains(definition.columns[$0].name)
        }
        guard kept.count < definition.columns.count else { return }
        // Their numbers stay theirs.
        definition.identify()
        if definition.followed != nil {
            let names = definition.columns.indices.filter { !kept.contains($0) }.map { definition.columns[$0].name }
            for name in names { definition.retire(name) }
            return
        }
        definition.key = definition.key.compactMap { kept.firstIndex(of: $0) }
        definition.spentIdentity = max(definition.spentIdentity, definition.columns.map(\.identity).max() ?? 0)
        definition.columns = kept.map { definition.columns[$0] }
    }

    func slot(named name: String) -> Int? { slotsByName[name] }

    @inline(__always)
    func isOf(database: UnsafeRawBufferPointer) -> Bool {
        if rawDatabase.isEmpty { rawDatabase = Array(database) }
        return rawDatabase.count == database.count
            && rawDatabase.withUnsafeBytes { $0.elementsEqual(database) }
    }

    /// The first event that tells the connector, of a table that was known without.
    func learn(_ connector: Connector) {
        guard self.connector == .unknown, connector != .unknown else { return }
        self.connector = connector
        if identity == nil, connector.isMySQLFamily { identity = .full }
        forgetPlans()
    }

    /// An image had that many members.
    @inline(__always)
    func sees(members count: Int) {
        if follows, count != members {
            members = count
            hasNewShape = true
        }
    }

    /// A slot for a member that is no column: `Slot.added`, `Slot.gone`.
    func addMember(_ name: String, as kind: Int32) -> Int {
        appendSlot(name, column: kind)
        return slots.count - 1
    }

    /// Another event than a flattened one has a column of that name. Returns its index.
    func makeColumn(_ column: Column, of slot: Int) -> Int {
        save()
        definition.columns.append(column)
        isKey.append(column.isKey)
        renewed.append((slot, slots[slot].column))
        slots[slot].column = Int32(definition.columns.count - 1)
        brought.append(column.name)
        hasNewShape = true
        if isKeyKnown, definition.isKeyless { imageTemplate = ImageTemplate(columns: definition.columns) }
        return definition.columns.count - 1
    }

    @inline(__always)
    func isKeyColumn(_ column: Int) -> Bool { isKey[column] }

    /// Which slot the n-th member of an image is, going by the last image; or -1.
    @inline(__always)
    func guess(_ position: Int) -> Int { position < order.count ? Int(order[position]) : -1 }

    @inline(__always)
    func matches(_ slot: Int, _ key: UnsafeRawBufferPointer) -> Bool {
        let slot = slots[slot]
        guard Int(slot.length) == key.count, let bytes = key.baseAddress else { return false }
        return memcmp(names.base + Int(slot.offset), bytes, key.count) == 0
    }

    func learn(_ slot: Int, at position: Int) {
        hasNewShape = true
        while order.count <= position { order.append(-1) }
        order[position] = Int32(slot)
    }

    // MARK: - Plans

    /// Makes `plans` those of events with this schema.
    @inline(__always)
    func usePlans(of schema: ConnectSchema?) {
        let number = schema?.number ?? 0
        if number != plansOf { switchPlans(to: number) }
    }

    private func switchPlans(to number: Int) {
        if otherPlans.count >= Self.schemas_max { otherPlans.removeAll() }
        otherPlans[plansOf] = plans
        plans = otherPlans.removeValue(forKey: number) ?? []
        while plans.count < slots.count { plans.append(ColumnPlan()) }
        plansOf = number
    }

    func forgetPlans() {
        otherPlans.removeAll()
        keyPlans.removeAll()
        plans = ContiguousArray(repeating: ColumnPlan(), count: slots.count)
    }

    func setPlan(_ plan: ColumnPlan, at slot: Int) { plans[slot] = plan }

    func name(of slot: Int) -> UnsafeRawBufferPointer {
        names.bytes(ByteRange(offset: Int(slots[slot].offset), length: Int(slots[slot].length)))
    }

    private func appendSlot(_ name: String, column: Int32) {
        let range = names.append(name)
        slotsByName[name] = slots.count
        slots.append(
            Slot(
                offset: Int32(range.offset), length: Int32(range.length), column: column,
                isTaken: definition.takenNames.contains { $0.name == name }))
        plans.append(ColumnPlan())
    }

    // MARK: - The record's key

    /// Which slot the n-th member of a key is, going by the last key; or -1.
    @inline(__always)
    func guessInKey(_ position: Int) -> Int { position < keyOrder.count ? Int(keyOrder[position]) : -1 }

    func learnInKey(_ slot: Int, at position: Int) {
        while keyOrder.count <= position { keyOrder.append(-1) }
        keyOrder[position] = Int32(slot)
    }

    /// The plan of a key column where the key has a schema of its own; unset if there is none yet.
    func keyPlan(_ slot: Int, schema: Int) -> ColumnPlan {
        guard let plans = keyPlans[schema], slot < plans.count else { return ColumnPlan() }
        return plans[slot]
    }

    func setKeyPlan(_ plan: ColumnPlan, at slot: Int, schema: Int) {
        if keyPlans[schema] == nil, keyPlans.count >= Self.schemas_max { keyPlans.removeAll() }
        while keyPlans[schema, default: []].count <= slot { keyPlans[schema, default: []].append(ColumnPlan()) }
        keyPlans[schema, default: []][slot] = plan
    }

    /// Indices of the columns that the filter looks at; -1 for one that no event had yet.
    func filterColumns(_ filter: any RowFilter) -> [Int] {
        if filterIndices.count != filter.columns.count || filterWidth != definition.columns.count {
            filterWidth = definition.columns.count
            filterIndices = filter.indices(in: definition)
        }
        return filterIndices
    }

    // MARK: - What an event adds

    private func save() {
        guard saved == nil else { return }
        saved = (definition, slots.count, isKeyKnown)
        renewed.removeAll()
    }

    /// A column that no event had before. Returns its slot.
    func addColumn(_ column: Column) -> Int {
        save()
        // Events of before bring a column that was dropped since.
        let name = column.name
        let dropped = retired(named: name, isBehind: isBehind)
        let column = dropped ?? column
        if dropped == nil { brought.append(name) }
        if let index = definition.columns.firstIndex(where: { dropped != nil && $0.identity == column.identity }) {
            appendSlot(name, column: Int32(index))
            return slots.count - 1
        }
        definition.columns.append(column)
        isKey.append(column.isKey)
        appendSlot(name, column: Int32(definition.columns.count - 1))
        if isKeyKnown, definition.isKeyless { imageTemplate = ImageTemplate(columns: definition.columns) }
        return slots.count - 1
    }

    /// Settles the key: columns by index, none for a table without a key.
    func setKey(_ columns: [Int]) {
        save()
        definition.key = columns
        for column in columns {
            definition.columns[column].isKey = true
            definition.columns[column].nullable = false
            isKey[column] = true
        }
        isKeyKnown = true
        makeTemplates()
    }

    private func makeTemplates() {
        keyTemplate = definition.isKeyless ? nil : KeyTemplate(definition, equality: equality)
        imageTemplate = definition.isKeyless ? ImageTemplate(columns: definition.columns) : nil
    }

    // MARK: - Schemas

    /// The first schema that is followed.
    func begin(_ schema: SourceSchema) {
        var schema = schema
        if !hasChosenKey, schema.key == nil { schema.key = definition.keyNames }
        schema.columns.removeAll { choice?.excluded.contains($0.name) == true }
        definition.followed = schema
        definition.identify()
    }

    /// What a schema of the source makes of the table; nil: nothing new.
    ///
    /// - Parameter isOfNames: types of new columns are what we found for them, not what the source has.
    func evolve(to schema: SourceSchema, policy: SchemaPolicy, isOfNames: Bool) -> SchemaEvolution? {
        guard let choice, isKeyKnown, !isUnsteady, let followed = definition.followed else { return nil }
        var schema = schema
        if hasChosenKey { schema.key = nil }
        schema.columns.removeAll { choice.excluded.contains($0.name) }
        // Members come in any order.
        schema.columns = Self.ordered(schema.columns, as: followed.columns)
        var later = schema.completed(from: followed)
        guard !later.isSame(as: followed), !schema.isOlder(than: followed) else { return nil }
        guard isSteady(later, followed) else {
            // What stayed away in turn is there, and nothing of it is taken for dropped.
            guard isOfNames else { return nil }
            let names = Set(later.columns.map(\.name))
            later.columns +=
                followed.columns.filter { !names.contains($0.name) }
                + definition.retired.filter { !$0.isKept && wentHere.contains($0.identity) }
                .map { .init($0.nameAtSource, type: nil) }.filter { !names.contains($0.name) }
            guard later.columns.count > names.count else { return nil }
            return follow(later, choice, policy, isOfNames)
        }
        return follow(later, choice, policy, isOfNames)
    }

    private static func ordered(
        _ columns: [SourceSchema.Column], as known: [SourceSchema.Column]
    ) -> [SourceSchema.Column] {
        let there = known.compactMap { column in columns.first { $0.name == column.name } }
        let names = Set(there.map(\.name))
        return there + columns.filter { !names.contains($0.name) }
    }

    /// False: it was come to so often that events of several schemas must be mixed.
    private func isSteady(_ later: SourceSchema, _ followed: SourceSchema) -> Bool {
        var named = later
        named.position = 0
        named.place = 0
        named.columns.sort { $0.name < $1.name }
        visits[named.hashValue, default: 0] += 1
        let isBack = later.columns.contains { column in
            !followed.columns.contains { $0.name == column.name } && retired(named: column.name) != nil
        }
        if isBack { returns += 1 }
        isUnsteady = visits[named.hashValue, default: 0] > Self.visits_max || returns > Self.visits_max
        return !isUnsteady
    }

    private func follow(
        _ later: SourceSchema, _ choice: TableChoice, _ policy: SchemaPolicy, _ isOfNames: Bool
    ) -> SchemaEvolution {
        definition.identify()
        let followed = definition.followed ?? later
        let told = Set(later.columns.map(\.name)).subtracting(followed.columns.map(\.name)).intersection(brought)
        var base = definition
        base.remove { !$0.isKey && told.contains($0.name) }
        var (applied, wanted) = changed ?? (base, base)
        // What events brought that tell no schema.
        for column in definition.columns where wanted.lacks(column) && !told.contains(column.name) {
            wanted.columns.append(column)
            if applied.lacks(column) { applied.columns.append(column) }
        }
        wanted.leaveRetired()
        applied.leaveRetired()
        var evolution = SchemaEvolution(
            applied, wanted: wanted, to: later, told: .init(), choice: choice, policy: policy, revives: isOfNames)
        wentHere.formUnion(Set(evolution.wanted.retired.map(\.identity)).subtracting(wanted.retired.map(\.identity)))
        if isOfNames {
            evolution.applied.forgetTypes(but: followed)
            evolution.wanted.forgetTypes(but: followed)
        }
        // Nobody is asked what rows of before have.
        evolution.needsCopy = false
        evolution.isOfEvents = true
        changed = (evolution.applied, evolution.wanted)
        // A new one is in the image that showed it.
        for index in definition.columns.indices where isNew(definition.columns[index], beside: wanted) {
            let made = evolution.wanted.columns.first { $0.name == definition.columns[index].name }
            if let made { definition.columns[index].identity = made.identity }
        }
        set(evolution.wanted.layout(over: definition))
        return evolution
    }

    private func isNew(_ column: Column, beside wanted: TableDefinition) -> Bool {
        !(wanted.columns + wanted.retired).contains { $0.name == column.name }
    }

    private func noteFollowed() {
        followedSince = definition.followed.map { Version(epoch: $0.epoch, commit: $0.position, seq: $0.place) }
        hasRetired = !definition.retired.isEmpty
        guard hasRetired else { return }
        let gone = Set(definition.retired.map(\.identity))
        isRetired = ContiguousArray(definition.columns.map { gone.contains($0.identity) })
    }

    /// Of a column of the definition in hand: the source dropped it.
    func isRetired(_ column: Int) -> Bool { hasRetired && column < isRetired.count && isRetired[column] }

    // MARK: Names of before

    /// The event in hand is of before a name went from one column to another.
    @inline(__always)
    func mayBeOthers(_ slot: Int) -> Bool { isBehind && slots[slot].isTaken }

    /// Whose a member's name was when the event in hand was written.
    func owner(of slot: Int) -> NameOwner { definition.owner(of: text(of: slot), at: version) }

    private func text(of slot: Int) -> String {
        names.string(ByteRange(offset: Int(slots[slot].offset), length: Int(slots[slot].length)))
    }

    /// Where the column stands in the definition in hand, also one that the source dropped; nil: it is nowhere.
    func place(of identity: Int) -> Int? {
        if let index = definition.columns.firstIndex(where: { $0.identity == identity }) { return index }
        guard let column = definition.retired.first(where: { $0.identity == identity }) else { return nil }
        save()
        definition.columns.append(column)
        isKey.append(false)
        if isKeyKnown, definition.isKeyless { imageTemplate = ImageTemplate(columns: definition.columns) }
        return definition.columns.count - 1
    }

    /// Of a member whose column the source dropped: where that stands.
    func placeOfRetired(_ slot: Int) -> Int? {
        guard hasRetired else { return nil }
        return retired(named: text(of: slot), isBehind: isBehind).flatMap { place(of: $0.identity) }
    }

    /// A batch begins: what the source dropped is nobody's to write any more, unless events of before bring it.
    func beginBatch() {
        guard hasRetired, isRetired.contains(true) else { return }
        var next = definition
        next.leaveRetired()
        set(next)
        order.removeAll()
        keyOrder.removeAll()
    }

    /// What the source dropped, and the warehouse keeps.
    ///
    /// - Parameter isBehind: also one that stands aside since another has its name.
    func retired(named name: String, isBehind: Bool = true) -> Column? {
        definition.retired.last { !$0.isKept && ($0.name == name || isBehind && $0.formerNames.contains(name)) }
    }

    /// It was removed from the warehouse, too.
    func isGone(_ name: String) -> Bool { definition.spentNames.contains(name) && retired(named: name) == nil }

    /// Before each event.
    @inline(__always)
    func begin(_ version: Version, isPlaced: Bool, isBehind: Bool, follows: Bool) {
        self.version = version
        self.isPlaced = isPlaced
        self.isBehind = isBehind
        self.follows = follows
        if !brought.isEmpty { brought.removeAll() }
    }

    /// What an event that fails behind it is to leave as it was.
    struct Snapshot {
        fileprivate(set) var definition: TableDefinition
        fileprivate var changed: (applied: TableDefinition, wanted: TableDefinition)?
        fileprivate var visits: [Int: Int]
        fileprivate var returns: Int
        fileprivate var isUnsteady: Bool
        fileprivate var wentHere: Set<Int>
        fileprivate var slots: Int
    }

    var snapshot: Snapshot {
        Snapshot(
            definition: definition, changed: changed, visits: visits, returns: returns, isUnsteady: isUnsteady,
            wentHere: wentHere, slots: slots.count)
    }

    func restore(_ snapshot: Snapshot) {
        (changed, visits) = (snapshot.changed, snapshot.visits)
        (returns, isUnsteady, wentHere) = (snapshot.returns, snapshot.isUnsteady, snapshot.wentHere)
        guard definition != snapshot.definition else { return }
        dropSlots(beyond: snapshot.slots)
        order.removeAll()
        keyOrder.removeAll()
        hasNewShape = true
        set(snapshot.definition)
    }

    /// Whether a block was looked at since the table last changed.
    func isSame(_ block: Int) -> Bool { sameBlocks.contains(block) }

    func noteSame(_ block: Int) {
        if sameBlocks.count >= Self.sameBlocks_max { sameBlocks.removeAll() }
        sameBlocks.insert(block)
    }

    private func set(_ next: TableDefinition) {
        definition = next
        sameBlocks.removeAll()
        let there = changed?.wanted.columns ?? next.columns
        let taken = Set(next.takenNames.map(\.name))
        for slot in taken.isEmpty ? 0..<0 : slots.indices { slots[slot].isTaken = taken.contains(text(of: slot)) }
        // Not what is left out.
        for slot in slots.indices where slots[slot].column != -1 {
            let name = names.string(ByteRange(offset: Int(slots[slot].offset), length: Int(slots[slot].length)))
            let column = there.first { $0.nameAtSource == name }
            let index = column.flatMap { column in
                next.columns.firstIndex { $0.identity == column.identity && $0.name == column.name }
            }
            if let index {
                slots[slot].column = Int32(index)
            } else if slots[slot].column >= 0 {
                // One that the source dropped, if it is there yet.
                let known = next.columns.firstIndex { $0.name == name || $0.formerNames.contains(name) }
                slots[slot].column = known.map { Int32($0) } ?? Slot.gone
            }
        }
        for column in there where slotsByName[column.nameAtSource] == nil {
            guard let index = next.columns.firstIndex(where: { $0.name == column.name }) else { continue }
            appendSlot(column.nameAtSource, column: Int32(index))
        }
        isKey = ContiguousArray(next.columns.map(\.isKey))
        filterWidth = -1
        forgetPlans()
        if isKeyKnown { makeTemplates() }
    }

    /// The event was good: what it added stays.
    @inline(__always)
    func keepChanges() {
        if saved != nil { saved = nil }
    }

    private func dropSlots(beyond count: Int) {
        while slots.count > count {
            let name = names.string(
                ByteRange(
                    offset: Int(slots[slots.count - 1].offset), length: Int(slots[slots.count - 1].length)))
            slotsByName[name] = nil
            slots.removeLast()
        }
    }

    /// The event goes to quarantine: nothing of it stays.
    func undoChanges() {
        guard let saved else { return }
        self.saved = nil
        definition = saved.definition
        isKeyKnown = saved.isKeyKnown
        dropSlots(beyond: saved.slots)
        for (slot, kind) in renewed where slot < slots.count { slots[slot].column = kind }
        renewed.removeAll()
        // All these name slots that are gone.
        order.removeAll()
        keyOrder.removeAll()
        filterWidth = -1
        forgetPlans()
        isKey = ContiguousArray(definition.columns.map(\.isKey))
        if isKeyKnown {
            makeTemplates()
        } else {
            keyTemplate = nil
            imageTemplate = nil
        }
    }
}

extension TableDefinition {
    /// A column that was dropped, and that an event of before brought, counts as dropped still.
    fileprivate mutating func leaveRetired() {
        let gone = Set(retired.map(\.identity))
        remove { gone.contains($0.identity) }
    }

    fileprivate mutating func remove(_ isGone: (Column) -> Bool) {
        guard columns.contains(where: isGone) else { return }
        let names = keyNames
        columns.removeAll(where: isGone)
        key = names.compactMap { name in columns.firstIndex { $0.name == name } }
    }

    /// What isn't known of the source's types.
    fileprivate mutating func forgetTypes(but known: SourceSchema) {
        guard var schema = followed else { return }
        for index in schema.columns.indices {
            let name = schema.columns[index].name
            if !known.columns.contains(where: { $0.name == name }) { schema.columns[index].type = nil }
        }
        followed = schema
    }
}

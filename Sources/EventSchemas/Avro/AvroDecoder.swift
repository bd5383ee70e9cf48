import Replication

/// Avro's binary encoding, read with the writer's schema and written as JSON.
///
/// Every length is held against what is left, every depth and count against a limit.
struct AvroDecoder {
    static let depth_max = 40

    let schema: AvroSchema
    let text: PayloadText
    private let bytes: UnsafeRawBufferPointer
    private var at: Int

    /// - Parameter bytes: the payload without its header.
    init(_ schema: AvroSchema, _ bytes: UnsafeRawBufferPointer, to text: PayloadText) {
        self.schema = schema
        self.text = text
        self.bytes = bytes
        at = 0
    }

    /// - Throws: where the bytes aren't one value of the schema and nothing else.
    mutating func decode() throws(SchemaTrouble) {
        try value(schema.root, depth: 0)
        guard at == bytes.count else {
            throw SchemaTrouble("\(bytes.count - at) bytes are left behind what its schema describes")
        }
    }

    private mutating func value(_ index: Int32, depth: Int) throws(SchemaTrouble) {
        try text.count()
        let node = schema.nodes[Int(index)]
        switch node.kind {
        case .null: text.null()
        case .boolean:
            let byte = try take(1)[0]
            guard byte <= 1 else { throw SchemaTrouble("a boolean is neither 0 nor 1") }
            text.bool(byte == 1)
        case .int:
            guard let value = Int32(exactly: try varint()) else { throw SchemaTrouble("an int is out of range") }
            text.integer(Int64(value))
        case .long: text.integer(try varint())
        case .float:
            let bits = UInt32(littleEndian: try take(4).loadUnaligned(as: UInt32.self))
            text.floating(Double(Float(bitPattern: bits)), single: true)
        case .double:
            let bits = UInt64(littleEndian: try take(8).loadUnaligned(as: UInt64.self))
            text.floating(Double(bitPattern: bits), single: false)
        case .string: text.string(try stretch())
        case .bytes: text.base64(try stretch())
        case .fixed: text.base64(try take(Int(node.count)))
        case .enum:
            let symbol = try varint()
            guard (0..<Int64(node.count)).contains(symbol) else { throw SchemaTrouble("an enum has no such symbol") }
            _ = text.arena.append(schema.labels.bytes(schema.symbols[Int(node.first) + Int(symbol)]))
        case .union:
            let branch = try varint()
            guard (0..<Int64(node.count)).contains(branch) else { throw SchemaTrouble("a union has no such branch") }
            try value(schema.branches[Int(node.first) + Int(branch)], depth: depth)
        case .record: try record(node, depth: depth + 1)
        case .array: try array(node.first, depth: depth + 1)
        case .map: try map(node.first, depth: depth + 1)
        }
    }

    private mutating func record(_ node: AvroSchema.Node, depth: Int) throws(SchemaTrouble) {
        guard depth <= Self.depth_max else { throw SchemaTrouble("it is nested too deeply") }
        text.arena.append(byte: 0x7B)
        let first = Int(node.first)
        for i in first..<first + Int(node.count) {
            // A copy of two words; the name and the default stay where they are.
            let (label, type) = (schema.fields[i].label, schema.fields[i].node)
            _ = text.arena.append(schema.labels.bytes(label))
            try value(type, depth: depth)
        }
        text.arena.append(byte: 0x7D)
    }

    private mutating func array(_ element: Int32, depth: Int) throws(SchemaTrouble) {
        guard depth <= Self.depth_max else { throw SchemaTrouble("it is nested too deeply") }
        text.arena.append(byte: 0x5B)
        var isFirst = true
        while true {
            let count = try blockCount()
            if count == 0 { break }
            for _ in 0..<count {
                if !isFirst { text.arena.append(byte: 0x2C) }
                isFirst = false
                try value(element, depth: depth)
            }
        }
        text.arena.append(byte: 0x5D)
    }

    private mutating func map(_ element: Int32, depth: Int) throws(SchemaTrouble) {
        guard depth <= Self.depth_max else { throw SchemaTrouble("it is nested too deeply") }
        text.arena.append(byte: 0x7B)
        var isFirst = true
        while true {
            let count = try blockCount()
            if count == 0 { break }
            for _ in 0..<count {
                if !isFirst { text.arena.append(byte: 0x2C) }
                isFirst = false
                text.string(try stretch())
                text.arena.append(byte: 0x3A)
                try value(element, depth: depth)
            }
        }
        text.arena.append(byte: 0x7D)
    }

    /// How many elements follow; a negative count is followed by the block's bytes, which nobody needs here. That there
    /// are as many is found by reading them: `PayloadText.count` ends what takes no bytes.
    private mutating func blockCount() throws(SchemaTrouble) -> Int {
        let count = try varint()
        guard count < 0 else { return Int(count) }
        let size = try varint()
        guard count > .min, size >= 0, size <= bytes.count - at else { throw SchemaTrouble("a block's size is wrong") }
        return Int(-count)
    }

    // MARK: - Bytes

    @inline(__always)
    private mutating func take(_ count: Int) throws(SchemaTrouble) -> UnsafeRawBufferPointer {
        guard count <= bytes.count - at else { throw Self.tooShort }
        defer { at += count }
        return UnsafeRawBufferPointer(rebasing: bytes[at..<at + count])
    }

    private mutating func stretch() throws(SchemaTrouble) -> UnsafeRawBufferPointer {
        let length = try varint()
        guard length >= 0, length <= Int64(bytes.count - at) else { throw Self.tooShort }
        return try take(Int(length))
    }

    /// Zigzag, up to ten bytes.
    @inline(__always)
    private mutating func varint() throws(SchemaTrouble) -> Int64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            // The tenth byte holds the highest bit and nothing else.
            guard shift < 63 || byte <= 1 else { throw Self.badNumber }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1) }
            shift += 7
        }
        throw Self.tooShort
    }

    private static let tooShort = SchemaTrouble("it ends before what its schema describes")
    private static let badNumber = SchemaTrouble("a number has more than 64 bits")
}

/// Tells whether the file at a path is still the one a checkpoint was made of: its size and a hash of
/// its first 4 KiB, both of the file as it lies there (compressed, if it is).
package struct EventFileIdentity: Equatable, Sendable {
    package var size_bytes: Int64
    /// FNV-1a, 64 bits.
    package var headHash: UInt64

    package init(size_bytes: Int64, headHash: UInt64) {
        self.size_bytes = size_bytes
        self.headHash = headHash
    }

    static let head_bytes = 4096

    static func hash(_ bytes: [UInt8]) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes {
            hash ^= UInt64(byte)
            hash &*= 0x0000_0100_0000_01b3
        }
        return hash
    }
}

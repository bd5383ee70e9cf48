import CMalloc
import Foundation

/// How the C library's allocator keeps memory.
package enum Allocator {
    /// Batches are a few large blocks that come and go. Left alone, glibc serves them from heaps (up to 8 a core) that
    /// grow with each and rarely shrink: the agent then takes twice what it uses. Blocks of this size and more are mapped
    /// on their own, and given back when they are freed; of heaps for the others there are two.
    package static func keepLittle() { cmalloc_keep_little(256 << 10, 1 << 20, 2) }
}

/// What the process takes of the machine's memory.
struct ProcessMemory {
    /// Everything; nil where the system doesn't say, as below.
    var resident_bytes: Int?
    /// What the C library's allocator has, used or not: the agent's own, and a little of DuckDB's engine, which brings an
    /// allocator for what is large.
    var heap_bytes: Int?

    static func current() -> ProcessMemory {
        let held = cmalloc_held_bytes()
        var memory = ProcessMemory(heap_bytes: held > 0 ? held : nil)
        if let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8),
            let pages = text.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        {
            memory.resident_bytes = pages * Int(sysconf(Int32(_SC_PAGESIZE)))
        }
        return memory
    }
}

#if canImport(Glibc)
    import Glibc
#endif

/// How the C library's allocator keeps memory.
enum Allocator {
    /// Batches are a few large blocks that come and go. Left alone, glibc serves them from heaps (up to 8 a core) that
    /// grow with each and rarely shrink: the agent then takes twice what it uses. Blocks of this size and more are mapped
    /// on their own, and given back when they are freed.
    static func keepLittle() {
        #if canImport(Glibc)
            // Its header isn't in the module.
            guard let symbol = dlsym(nil, "mallopt") else { return }
            let set = unsafeBitCast(symbol, to: (@convention(c) (Int32, Int32) -> Int32).self)
            // M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX.
            _ = set(-3, 256 << 10)
            _ = set(-1, 4 << 20)
            _ = set(-8, 4)
        #endif
    }
}

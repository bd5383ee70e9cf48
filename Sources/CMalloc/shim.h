#include <stddef.h>
#if defined(__GLIBC__) || defined(__linux__)
#include <malloc.h>
#endif

// What the C library's allocator has of the system, in bytes; 0 where it doesn't say.
static inline size_t cmalloc_held_bytes(void) {
#if defined(__GLIBC__)
#if __GLIBC_PREREQ(2, 33)
    struct mallinfo2 info = mallinfo2();
    return info.arena + info.hblkhd;
#endif
#endif
    return 0;
}

// See mallopt(3); left alone where the C library is another.
static inline void cmalloc_keep_little(int mapped_min_bytes, int trimmed_min_bytes, int arenas_max) {
#if defined(__GLIBC__)
    mallopt(M_MMAP_THRESHOLD, mapped_min_bytes);
    mallopt(M_TRIM_THRESHOLD, trimmed_min_bytes);
    mallopt(M_ARENA_MAX, arenas_max);
#else
    (void)mapped_min_bytes, (void)trimmed_min_bytes, (void)arenas_max;
#endif
}

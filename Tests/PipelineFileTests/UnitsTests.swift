import Testing

@testable import PipelineFile

@Suite struct UnitsTests {
    @Test(arguments: [
        ("32MiB", 32 << 20), ("512MiB", 512 << 20), ("1 GiB", 1 << 30), ("2tib", 2 << 40), ("64KiB", 65_536), ("7B", 7),
        ("33554432", 33_554_432), ("0", 0), ("5MB", 5_000_000), ("1kb", 1_000),
    ])
    func bytes(text: String, bytes: Int) {
        #expect(ByteCount(text)?.bytes == bytes)
    }

    @Test(arguments: [
        "", "MiB", "-1MiB", "1.5GiB", "32 MiBs", "1  MiB", "9999999TiB", "99999999999999999999", "٣MiB", "0x10",
    ])
    func noBytes(text: String) {
        #expect(ByteCount(text) == nil)
    }

    @Test(arguments: [(32 << 20, "32MiB"), (1 << 30, "1GiB"), (1_500, "1500B"), (0, "0B"), (1 << 10, "1KiB")])
    func bytesPrinted(bytes: Int, text: String) {
        #expect(ByteCount(bytes: bytes).description == text)
    }

    @Test(arguments: [
        ("500ms", Duration.milliseconds(500)), ("10s", .seconds(10)), ("15m", .seconds(900)), ("6h", .seconds(21_600)),
        ("30d", .seconds(2_592_000)), ("0ms", .zero), ("90 s", .seconds(90)),
    ])
    func durations(text: String, duration: Duration) {
        #expect(Duration(pipelineText: text) == duration)
        #expect(Duration(pipelineText: duration.pipelineText) == duration)
    }

    @Test(arguments: ["", "500", "ms", "-1s", "1.5h", "1h30m", "10S", "3w", "9999999999999999d"])
    func noDuration(text: String) {
        #expect(Duration(pipelineText: text) == nil)
    }

    @Test(arguments: [
        ("1970-01-01", 0, 0), ("1970-01-01T00:00:00Z", 0, 0), ("2000-02-29 12:30", 951_827_400, 0),
        ("2026-05-01T02:00:00+02", 1_777_593_600, 0), ("2026-04-30T20:00:00-0400", 1_777_593_600, 0),
        ("2026-05-01T00:00:00.5", 1_777_593_600, 500_000_000), ("1969-12-31T23:59:59.000000001Z", -1, 1),
        ("0001-01-01", -62_135_596_800, 0), ("2026-05-01T05:30:00.123456789123+05:30:00", 1_777_593_600, 123_456_789),
    ])
    func instants(text: String, seconds: Int64, nanoseconds: Int64) {
        let instant = Instant(text)
        #expect(instant?.seconds == seconds)
        #expect(instant?.nanoseconds == nanoseconds)
    }

    @Test(arguments: [
        "", "2026", "2026-13-01", "2026-02-30", "1900-02-29", "2026-05-01T", "2026-05-01T25:00", "2026-05-01T10:00:",
        "2026-05-01T10:00:00.", "2026-05-01T10:00:00+", "2026-05-01x", "infinity", "2026-05-01 10:00 BC",
    ])
    func noInstant(text: String) {
        #expect(Instant(text) == nil)
    }
}

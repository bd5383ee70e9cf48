import Foundation
import PipelineFile
import Testing

struct CronScheduleTests {
    private static func seconds(_ text: String) throws -> Int64 {
        let formatter = ISO8601DateFormatter()
        return Int64(try #require(formatter.date(from: text)).timeIntervalSince1970)
    }

    @Test(arguments: [
        ("0 3 * * *", "2026-11-26T02:59:59Z", "2026-11-26T03:00:00Z"),
        ("0 3 * * *", "2026-11-26T03:00:00Z", "2026-11-27T03:00:00Z"),
        ("*/15 * * * *", "2026-11-26T23:46:10Z", "2026-11-27T00:00:00Z"),
        ("5-20/5 1,13 * * *", "2026-11-26T13:15:00Z", "2026-11-26T13:20:00Z"),
        ("0 0 29 2 *", "2026-11-26T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 * * sun", "2026-11-26T00:00:00Z", "2026-11-29T00:00:00Z"),
        ("0 0 * * 7", "2026-11-26T00:00:00Z", "2026-11-29T00:00:00Z"),
        ("0 0 1 * fri", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z"),
        ("0 0 1 dec fri", "2026-11-26T00:00:00Z", "2026-12-01T00:00:00Z"),
        ("30 4 * JAN-mar 1-5", "2026-11-26T00:00:00Z", "2027-01-01T04:30:00Z"),
        ("@hourly", "2026-12-31T23:00:00Z", "2027-01-01T00:00:00Z"),
        ("@weekly", "2026-11-26T00:00:00Z", "2026-11-29T00:00:00Z"),
        ("59 23 31 12 *", "1999-12-31T23:59:00Z", "2000-12-31T23:59:00Z"),
    ]) func theNextTime(expression: String, after: String, next: String) throws {
        let schedule = try #require(CronSchedule(expression))
        #expect(schedule.next(after: try Self.seconds(after)) == (try Self.seconds(next)))
    }

    @Test func everyMinuteAgreesWithTheCalendar() throws {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(identifier: "UTC"))
        let schedule = try #require(CronSchedule("7 */6 13,29 * *"))
        var time = try Self.seconds("2096-01-01T00:00:00Z")
        for _ in 0..<2000 {
            let next = try #require(schedule.next(after: time))
            #expect(next > time)
            let parts = calendar.dateComponents(
                [.day, .hour, .minute], from: Date(timeIntervalSince1970: Double(next)))
            #expect([13, 29].contains(parts.day) && [0, 6, 12, 18].contains(parts.hour) && parts.minute == 7)
            time = next
        }
        // 2100 has no 29 February.
        #expect(time > (try Self.seconds("2110-01-01T00:00:00Z")))
    }

    @Test(arguments: [
        "", "never", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
        "*/0 * * * *",
        "5-1 * * * *", "1,,2 * * * *", "-1 * * * *", "1/2/3 * * * *", "@yearly", "* * * foo *", "٣ * * * *",
        "999 * * * *",
    ]) func whatIsNone(expression: String) { #expect(CronSchedule(expression) == nil) }

    @Test func aDayThatNeverComesIsNone() throws {
        #expect(try #require(CronSchedule("0 0 30 2 *")).next(after: 0) == nil)
    }
}

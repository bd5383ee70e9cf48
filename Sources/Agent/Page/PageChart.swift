import Replication

/// A line over the last hour, as SVG that needs no script and no style of its own.
struct PageChart {
    struct Point: Equatable {
        var at_us: Int64
        /// Nil: not known, the line has a gap.
        var value: Double?
    }

    static let width = 600
    static let height = 120
    static let span_us: Int64 = 3600 * 1_000_000

    var id: String
    var title: String
    /// As a screen reader says it: `12 events/s`.
    var text: (Double) -> String
    var points: [Point]
    var now_us: Int64

    /// Rates between neighbours; a count that began anew has none.
    static func rates(_ samples: [PageHistory.Sample]) -> [Point] {
        zip(samples, samples.dropFirst()).map { a, b in
            let seconds = Double(b.at_us - a.at_us) / 1e6
            guard seconds > 0, b.events >= a.events else { return Point(at_us: b.at_us, value: nil) }
            return Point(at_us: b.at_us, value: Double(b.events - a.events) / seconds)
        }
    }

    static func lags(_ samples: [PageHistory.Sample]) -> [Point] {
        samples.map { Point(at_us: $0.at_us, value: $0.lag_ms.map(Double.init)) }
    }

    /// Of the hour that is shown.
    private var known: [Double] {
        points.filter { now_us - $0.at_us <= Self.span_us }.compactMap(\.value).filter(\.isFinite)
    }

    /// A round number above all.
    static func top(_ largest: Double) -> Double {
        guard largest > 0 else { return 1 }
        var unit = 1.0
        while unit * 10 <= largest { unit *= 10 }
        while unit > largest { unit /= 10 }
        return [1, 2, 5, 10].map { $0 * unit }.first { $0 >= largest } ?? largest
    }

    var summary: String {
        guard let last = known.last, let most = known.max() else { return "\(title): nothing is known yet" }
        return "\(title) in the last hour: now \(text(last)), at most \(text(most))"
    }

    /// One `d` of a path: a line for each stretch without a gap.
    func path(top: Double) -> String {
        var path = ""
        var isDrawing = false
        for point in points where now_us - point.at_us <= Self.span_us {
            guard let value = point.value, value.isFinite else {
                isDrawing = false
                continue
            }
            let x = Double(Self.width) * (1 - Double(now_us - point.at_us) / Double(Self.span_us))
            let y = Double(Self.height) * (1 - value / top)
            path += "\(isDrawing ? "L" : "M")\(Self.tenths(x)) \(Self.tenths(y))"
            isDrawing = true
        }
        return path
    }

    private static func tenths(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(abs(tenths % 10))"
    }

    var html: String {
        let top = Self.top(known.max() ?? 0)
        return """
            <figure><figcaption>\(title) <b>\(known.last.map(text) ?? "–")</b></figcaption>
            <svg viewBox="0 0 \(Self.width) \(Self.height)" role=img aria-labelledby=\(id) preserveAspectRatio=none>\
            <title id=\(id)>\(summary)</title>\
            <path class=grid d="M0 0H\(Self.width)M0 \(Self.height / 2)H\(Self.width)M0 \(Self.height)H\(Self.width)"/>\
            <path class=line d="\(path(top: top))"/></svg>
            <p class=axis><span>an hour ago</span><span>top: \(text(top))</span><span>now</span></p></figure>
            """
    }
}
